"""Start a federation that was made: its supervisor, in namespaces of its own."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Callable

from fl_airflow.hosts.founding import configure_server, refresh_dags
from fl_airflow.hosts.layout import HOSTS, Layout
from fl_airflow.hosts.retraining import open_api
from fl_airflow.server import control
from fl_airflow.server.api import AirflowApi
from fl_airflow.server.config import ServerConfig
from fl_airflow.server.errors import ApiError, ServerError

_SECONDS_EACH = 30.0  # to enrol an agency, and again for its worker to report
_SECONDS_BETWEEN_LOOKS = 2.0
_READY = ("idle", "running")


def start(layout: Layout, say: Callable[[str], None]) -> None:
    """Start everything, enrol the agencies the first time, and return once every part and every worker is ready.

    Raises:
        ServerError: If something cannot be started; nothing is left running then. If a worker does not report, all
            that runs goes on.
    """
    began = dt.datetime.now(dt.UTC)
    supervise = [
        *("unshare", "--mount", "--net", "--propagation", "private", "--"),
        *(sys.executable, "-P", "-m", "fl_airflow.hosts", "supervise", "--machine", str(os.getpid())),
    ]
    os.environ[HOSTS] = str(layout.root)
    seconds = control.START_SECONDS + _SECONDS_EACH * len(layout.hosts)

    def configured() -> ServerConfig:
        refresh_dags(layout)
        return configure_server(layout)

    control.bring_up(layout.home, configured, supervise, say, seconds=seconds, stop="make federation-down")
    _wait_for_workers(layout, began, seconds)
    say(f"agencies: {', '.join(layout.file.agencies)}, each in a network namespace of its own; {layout.root}")


def _wait_for_workers(layout: Layout, since: dt.datetime, seconds: float) -> None:
    """Wait until every agency's worker has reported since then: before, a run would only load the machine further."""
    api, end = open_api(layout), time.monotonic() + seconds
    while missing := set(layout.file.agencies) - _reported(api, since):
        if time.monotonic() > end:
            logs = ", ".join(str(host.folder / "logs") for host in layout.hosts if host.name in missing)
            raise ServerError(
                f"no word of the workers of {', '.join(sorted(missing))} after {seconds:.0f} s; read {logs}. "
                "`make federation-down` stops the rest"
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _reported(api: AirflowApi, since: dt.datetime) -> set[str]:
    """Return the workers that are ready and have said so since then, as Airflow knows them."""
    try:
        workers = api.call("GET", "/worker", root="/edge_worker/ui")["workers"]
    except ApiError:  # busy, like all of the machine meanwhile
        return set()
    found = [one for one in workers if one["state"] in _READY and one["last_heartbeat"] is not None]
    return {one["worker_name"] for one in found if _time(one["last_heartbeat"]) >= since}


def _time(text: str) -> dt.datetime:
    time_ = dt.datetime.fromisoformat(text)
    return time_ if time_.tzinfo else time_.replace(tzinfo=dt.UTC)
