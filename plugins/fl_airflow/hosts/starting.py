"""Start a federation that was made: its supervisor, in namespaces of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from fl_airflow.hosts.founding import configure_server, refresh_dags
from fl_airflow.hosts.layout import HOSTS, Layout
from fl_airflow.server import control
from fl_airflow.server.config import ServerConfig

_SECONDS_EACH = 30.0  # to enrol an agency


def start(layout: Layout, say: Callable[[str], None]) -> None:
    """Start everything, enrol the agencies the first time, and return once every part says that it is healthy.

    Raises:
        ServerError: If something cannot be started; nothing is left running then.
    """
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
    say(f"agencies: {', '.join(layout.file.agencies)}, each in a network namespace of its own; {layout.root}")
