"""How Airflow and Great Expectations are configured on one machine: by environment alone, and never phoning home."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fl_airflow.installation import DAGS_FOLDER, PLUGINS_FOLDER


def airflow_home(home: Path) -> Path:
    """Return where the Airflow of this machine keeps its database and its log."""
    return home / "airflow"


def tasks_here() -> int:
    """Return how many tasks this machine runs at a time: two a core, since most wait for their imports first."""
    return 2 * (os.cpu_count() or 1)


def environment(home: Path, *, lineage: Path | None = None) -> dict[str, str]:
    """Return the environment of a process that runs on this machine.

    Args:
        home: The installation's home folder.
        lineage: File that gets the lineage events of a run, one a line, unless openlineage.yml in the home folder names
            another transport; without it there are none.
    """
    airflow = airflow_home(home)
    # An Airflow of the user's own, set by environment, must not reach into this one.
    env = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
    env |= {
        "HUILIU_HOME": str(home),
        "AIRFLOW_HOME": str(airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_FOLDER),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS_FOLDER),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow / 'airflow.db'}",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__OPENLINEAGE__DISABLED": str(lineage is None),
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PYTHONUNBUFFERED": "1",
    }
    if lineage is not None:
        env |= {
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "huiliu",
            **_transport(home, lineage),
            "AIRFLOW__OPENLINEAGE__EMISSION_POLICY": json.dumps(
                [
                    {
                        "scope": {},
                        # A run in one process announces its end but not its start: tasks tell both.
                        "controls": {
                            "include_source_code": False,
                            "include_full_task_info": False,
                            "emit_dag_events": False,
                        },
                        "locked": True,
                    }
                ]
            ),
            # Forking a process with threads can hang, and takes twice as long.
            "AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD": "True",
        }
    return env


def _transport(home: Path, lineage: Path) -> dict[str, str]:
    """Say where lineage events go: by the operator's own file where there is one."""
    own = home / "openlineage.yml"
    if own.exists():
        return {"AIRFLOW__OPENLINEAGE__CONFIG_PATH": str(own)}
    transport = {"type": "file", "log_file_path": str(lineage), "append": True}
    return {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
