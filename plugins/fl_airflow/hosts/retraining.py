"""One retraining of a federation on one machine, by the server's own API, as an operator would start it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from fl_airflow.hosts.layout import Layout
from fl_airflow.installation import federated_run_id, retraining_dag_id
from fl_airflow.server.api import AirflowApi
from fl_airflow.server.config import USER, admin_password, authority_file, read_config
from fl_airflow.server.errors import ApiError, ServerError
from fl_tasks import scenarios
from fl_tasks.contracts.paths import Home

_SECONDS_BETWEEN_LOOKS = 1.0
_PARSE_SECONDS = 120.0


def open_api(layout: Layout) -> AirflowApi:
    """Return the API of the federation's server, as its administrator."""
    authority = authority_file(layout.home, read_config(layout.home))
    return AirflowApi(layout.url, USER, admin_password(layout.home), authority)


def retrain(layout: Layout, say: Callable[[str], None], *, conf: dict[str, object]) -> bool:
    """Start a retraining, wait for its end, and tell it.

    Args:
        layout: The federation; it is up.
        say: Gets a line for each thing that is worth telling.
        conf: The run's parameters, as in docs/dags.md; by default its interval is the month of the demo's data.

    Returns:
        Whether the run succeeded.

    Raises:
        ApiError: If the server does not answer.
        ServerError: If the DAG does not appear.
    """
    api = open_api(layout)
    run_id = start_retraining(layout, api, conf)
    say(f"run {run_id}")
    dag_id = retraining_dag_id(layout.file.scenario)
    started, told = time.monotonic(), ""
    while True:
        state = api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
        if state != told:
            say(f"{state} after {time.monotonic() - started:.0f} s")
            told = state
        if state in ("success", "failed"):
            folder = Home(layout.home).report(federated_run_id(layout.file.scenario, run_id))
            say(f"report {folder / 'report.html'}")
            return bool(state == "success")
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def start_retraining(layout: Layout, api: AirflowApi, conf: dict[str, object]) -> str:
    """Start a retraining once its DAG is there, and return Airflow's id of the run; arguments as of `retrain`."""
    dag_id = retraining_dag_id(layout.file.scenario)
    end = time.monotonic() + _PARSE_SECONDS
    while True:
        try:
            api.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
            break
        except ApiError as error:
            if error.status != 404:
                raise
            if time.monotonic() > end:
                raise ServerError(f"{dag_id} was not parsed within {_PARSE_SECONDS:.0f} s; read the logs") from error
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    conf = {"interval": demo_interval(layout), **conf}
    run = api.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
    return str(run["dag_run_id"])


def demo_interval(layout: Layout) -> list[str]:
    """Return the month in which the scenario's generated and real data lie: first day, and first day of the next."""
    end = dt.date.fromisoformat(scenarios.load(layout.file.scenario).DEMO_INTERVAL_END)
    return [(end - dt.timedelta(days=1)).replace(day=1).isoformat(), end.isoformat()]
