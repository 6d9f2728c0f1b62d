"""What stands before Airflow's API where agencies reach it: everyone gets at what is their own, and at nothing else."""
