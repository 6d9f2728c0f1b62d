"""The embedded mode: one machine, no server. It makes a federation of one folder and runs its DAG to the end."""
