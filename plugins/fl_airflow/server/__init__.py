"""A server on one machine: Airflow with PostgreSQL, started, watched and stopped as one (`make up`, `make down`)."""
