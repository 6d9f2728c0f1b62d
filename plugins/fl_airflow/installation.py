"""Names and places that the operators and the embedded mode share; knows no Airflow."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DAGS_FOLDER = REPOSITORY / "dags"
PLUGINS_FOLDER = REPOSITORY / "plugins"
FEDERATION = DAGS_FOLDER / "federation"

# First word of the line that a task logs when its stage is over; a JSON object follows.
STEP = "fl-step"


def installation_home() -> Path:
    """Return the folder of keys, data and runs: $HUILIU_HOME, by default var/ in the checkout."""
    return Path(os.environ.get("HUILIU_HOME") or REPOSITORY / "var").resolve()


def retraining_dag_id(scenario: str) -> str:
    """Return the name of a scenario's DAG."""
    return f"federated_retraining__{scenario}"


def federated_run_id(scenario: str, airflow_run_id: str) -> str:
    """Return the name of a run's folders and messages."""
    return f"{scenario}__{airflow_run_id}"
