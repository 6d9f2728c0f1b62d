"""OpenLineage: what a stage told of its data sets, as facets. Imported where an event is made, not at parse time."""
