"""The data rooms run in the Airflow environment only."""

import importlib.util

if importlib.util.find_spec("pyarrow") is None:
    collect_ignore_glob = ["test_*.py"]
