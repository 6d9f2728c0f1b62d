"""Names and places that the operators and the embedded mode share; knows no Airflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parents[2]
DAGS_FOLDER = REPOSITORY / "dags"
PLUGINS_FOLDER = REPOSITORY / "plugins"
FEDERATION = DAGS_FOLDER / "federation"

# First word of the line that a task logs when its stage is over; a JSON object follows.
STEP = "fl-step"


def installation_home() -> Path:
    """Return the folder of keys, data and runs: $HUILIU_HOME, by default var/ in the checkout."""
    return Path(os.environ.get("HUILIU_HOME") or REPOSITORY / "var").resolve()


def federation_folder() -> Path:
    """Return the folder with scenarios/ and agencies/: $HUILIU_FEDERATION, by default the checkout's."""
    return Path(os.environ.get("HUILIU_FEDERATION") or FEDERATION).resolve()


DagKind = Literal["retraining", "forecast", "rollback", "watch"]
# A survey is a run of its own inside the DAG of the retraining that it prepares.
RunKind = Literal[DagKind, "survey"]


def retraining_dag_id(scenario: str) -> str:
    """Return the name of the DAG that retrains a scenario."""
    return f"federated_retraining__{scenario}"


def forecast_dag_id(scenario: str) -> str:
    """Return the name of the DAG in which each agency uses a scenario's champion."""
    return f"forecast__{scenario}"


def rollback_dag_id(scenario: str) -> str:
    """Return the name of the DAG that restores a former champion of a scenario."""
    return f"model_rollback__{scenario}"


def watch_dag_id(scenario: str) -> str:
    """Return the name of the DAG in which each agency watches its newest data."""
    return f"drift_watch__{scenario}"


def asset_name(scenario: str) -> str:
    """Return the name of the asset that a promoted model updates."""
    return f"global_model/{scenario}"


def federated_run_id(scenario: str, airflow_run_id: str, kind: RunKind = "retraining") -> str:
    """Return the name of a run's folders and messages.

    Surveys and runs of the other DAGs are named `<kind>.<scenario>__<Airflow run id>`: no scenario's name holds a dot,
    so that none of them can ever take the folder of a retraining.
    """
    prefix = "" if kind == "retraining" else f"{kind}."
    return f"{prefix}{scenario}__{airflow_run_id}"
