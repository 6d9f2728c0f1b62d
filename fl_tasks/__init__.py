"""The work of a federated run. Runs from a shell and knows no Airflow."""
