"""An agency's data: ingest, standardize, judge, cut into examples."""
