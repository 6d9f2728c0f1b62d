"""One file a stage; each combines the rooms above into one idempotent step of a run."""
