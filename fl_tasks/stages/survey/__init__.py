"""A survey: one round of secure sums before training, from which all agencies' recoding and scales are chosen."""
