"""The federated server: the exchange over HTTP, for agencies outside; knows no Airflow, which only mounts it."""
