"""A whole federation on one machine, each party as on a host of its own: network namespace, users, folders, TLS."""
