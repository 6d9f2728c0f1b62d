"""The data stages of scenarios that forecast series: wide tables, one row a time, one column a series."""
