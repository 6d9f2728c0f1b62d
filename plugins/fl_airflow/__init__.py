"""The Airflow side: operators, DAG builders, lineage, the embedded mode."""
