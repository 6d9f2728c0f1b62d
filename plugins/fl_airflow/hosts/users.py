"""The environment of processes that run as a party's user."""

from __future__ import annotations

import os
from pathlib import Path

from fl_airflow.hosts.layout import AgencyHost


def user_environment(home: Path) -> dict[str, str]:
    """Return what a process of a user that the system does not know has to be told; nothing of ours is inherited."""
    passed = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {
        **passed,
        "HOME": str(home),
        "USER": "huiliu",
        "LOGNAME": "huiliu",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONUNBUFFERED": "1",
    }


def agency_environment(host: AgencyHost) -> dict[str, str]:
    """Return the environment of an agency's daemon and commands."""
    return {
        **user_environment(host.home.root),
        "HUILIU_HOME": str(host.home.root),
        "HUILIU_FEDERATION": str(host.dags / "federation"),
    }
