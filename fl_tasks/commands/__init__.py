"""What the command-line tool `fl` does: a module for each group of commands."""
