"""What an agency's operator does beside the runs: join the coordinator's server, change keys, look, install units."""
