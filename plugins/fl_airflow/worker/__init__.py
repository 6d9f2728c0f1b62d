"""An agency's edge worker: its configuration, its environment, and the command that runs it."""
