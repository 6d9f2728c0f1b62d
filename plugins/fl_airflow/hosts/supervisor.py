"""The supervisor of a federation on one machine: the coordinator's server, then each agency's daemon and worker.

It runs as root, in a network namespace of its own, which is the coordinator's, and in a mount namespace of its own;
what it starts runs as the party's user. How an agency comes to take part is in enrolment.py.
"""

from __future__ import annotations

import sys
import time

from fl_airflow.hosts.enrolment import enrol_agencies
from fl_airflow.hosts.layout import AgencyHost, Layout
from fl_airflow.hosts.network import as_user, build_network, in_host
from fl_airflow.hosts.reach import needed_folders, open_to_all
from fl_airflow.hosts.users import agency_environment, user_environment
from fl_airflow.installation import REPOSITORY
from fl_airflow.server.api import health
from fl_airflow.server.config import authority_file, read_config
from fl_airflow.server.errors import ApiError, ServerError
from fl_airflow.server.postgres import PostgresCluster
from fl_airflow.server.supervisor import Part, Steadily, Supervisor

_API_SECONDS = 120.0
_RESTART_SECONDS = 5.0
DAEMON, WORKER = "daemon", "worker"


class FederationSupervisor(Supervisor):
    """What `make federation` leaves in the background.

    Args:
        layout: The federation; its server was configured before.
        server_id: As for `Supervisor`.
        machine: Process id of one in the machine's own network namespace.
    """

    def __init__(self, layout: Layout, server_id: str, machine: int) -> None:
        port = read_config(layout.home).database_port
        super().__init__(layout.home, server_id, PostgresCluster(layout.root / "postgres", port))
        self._layout = layout
        self._machine = machine

    def start(self) -> None:
        """Start everything, and enrol the agencies the first time."""
        open_to_all(needed_folders())
        build_network(self._layout, self._machine)
        super().start()
        self.say("starting", "Airflow's API")
        self._wait_for_api()
        enrol_agencies(self._layout, lambda message: self.say("starting", message))
        self.say("starting", "daemons and workers of the agencies")
        for host in self._layout.hosts:
            self.add(agency_part(host, DAEMON))
            self.add(agency_part(host, WORKER))

    def airflow_part(self, name: str, *argv: str) -> Part:
        """Return a part of the server, run as the coordinator's user."""
        part = super().airflow_part(name, *argv)
        part.argv = [*as_user(self._layout.uid), *part.argv]
        part.env = {**part.env, **user_environment(self._layout.home)}
        return part

    def _wait_for_api(self) -> None:
        config = read_config(self._layout.home)
        end = time.monotonic() + _API_SECONDS
        while True:
            self.pause()
            try:
                health(config.url, authority_file(self._layout.home, config))
            except ApiError as error:
                if time.monotonic() > end:
                    raise ServerError(f"Airflow's API does not answer after {_API_SECONDS:.0f} s: {error}") from error
            else:
                return


def agency_part(host: AgencyHost, what: str) -> Part:
    """Return an agency's daemon or worker, on its host and as its user."""
    if what == DAEMON:
        argv = [host.name, str(host.socket_folder), str(host.worker_uid)]
        # In the worker's group, to give it the daemon's socket.
        user, env = as_user(host.daemon_uid, host.worker_uid), agency_environment(host)
    else:
        argv = [str(host.worker)]
        user, env = as_user(host.worker_uid), user_environment(host.worker)
    return Part(
        name=f"{host.name}.{what}",
        argv=[*in_host(host), *user, str(REPOSITORY / "scripts" / f"agency-{what}.sh"), *argv],
        env={**env, "HUILIU_PYTHON": sys.executable},
        log=host.folder / "logs" / f"{what}.log",
        # The server admits a second worker of one name only once it has missed the first for a while.
        restarts=Steadily(_RESTART_SECONDS),
    )
