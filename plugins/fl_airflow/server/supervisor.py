"""Start the parts of a server, start again what dies, and stop everything on SIGTERM.

```
PostgreSQL -> airflow-init.sh (tables, pools) -> api-server, scheduler, dag-processor, triggerer
```

Every process below it carries the server's id and its part's name in the environment, and orphans come to the
supervisor (it is their subreaper): so a part is not started beside what is left of its predecessor, and a stop
leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from fl_airflow.installation import REPOSITORY
from fl_airflow.process_tree import adopt_orphans, kill_descendants
from fl_airflow.server.config import (
    DATABASE,
    cluster_folder,
    database_password,
    read_config,
    server_environment,
    server_folder,
)
from fl_airflow.server.errors import ServerError
from fl_airflow.server.postgres import PostgresCluster
from fl_airflow.server.processes import SERVER_ID, SERVER_PART, ProcessId, kill_marked, marked, wait_until_gone
from fl_airflow.server.state import PartState, ServerState, write_state

POSTGRES = "postgres"
# In the order in which they are asked to stop; the API last, since what still runs talks to it.
AIRFLOW_PARTS = ("scheduler", "dag-processor", "triggerer", "api-server")

_SECONDS_BETWEEN_LOOKS = 0.2
_POLITE_SECONDS = 10.0
_POSTGRES_SECONDS = 30.0
_LARGEST_LOG_BYTES = 20 * 2**20

log = logging.getLogger("huiliu.server")


class Restarts:
    """When a part that ends again and again is started once more: after 1, 2, 4, 8 and 16 seconds, then not.

    A death counts for five minutes.
    """

    _most = 5
    _seconds = 300.0

    def __init__(self) -> None:
        self._deaths: list[float] = []

    def wait_after_death(self, now: float) -> float | None:
        """Note a death and return after how many seconds to start again; None to leave the part alone.

        Args:
            now: Seconds on a clock that never goes back.
        """
        self._deaths = [*(then for then in self._deaths if now - then < self._seconds), now]
        return None if len(self._deaths) > self._most else 2.0 ** (len(self._deaths) - 1)


class Steadily:
    """When a part on another party's host is started once more: always, after the same time, as systemd would.

    Args:
        seconds: After which.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wait_after_death(self, now: float) -> float | None:
        """Return after how many seconds to start again."""
        return self._seconds


class _Stopped(Exception):
    """A signal asked the supervisor to stop."""


@dataclass
class Part:
    """A process that is started again when it dies: what to start, and how it fares."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    popen_arguments: dict[str, Any] = field(default_factory=dict)
    pid: int | None = None
    process: ProcessId | None = None
    starts: int = 0
    restarts: Restarts | Steadily = field(default_factory=Restarts)
    start_at: float | None = None
    gave_up: bool = False


class Supervisor:
    """The one process that `make up` leaves in the background.

    Args:
        home: The installation's home folder; it was configured before.
        server_id: The id that `make up` gave this server; in our own environment, too.
        cluster: Its database; by default the one below the home folder.
    """

    def __init__(self, home: Path, server_id: str, cluster: PostgresCluster | None = None) -> None:
        own = ProcessId.of(os.getpid())
        assert own is not None
        self._home = home
        self._id = server_id
        self._own = own
        self._cluster = cluster or PostgresCluster(cluster_folder(home), read_config(home).database_port)
        self._parts: dict[str, Part] = {}
        self._exit_codes: dict[int, int] = {}
        self._stop = False

    def run(self) -> int:
        """Run until a signal comes; 0 if it then left nothing behind, 1 if the server could not be started."""
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        adopt_orphans()
        failed = ""
        try:
            self.start()
            self.say("running", "all parts are started")
            while True:
                self._look()
        except _Stopped:
            log.info("asked to stop")
        except Exception as error:  # whatever it is, what was started has to be stopped
            failed = str(error) or type(error).__name__
            log.error("%s", failed, exc_info=not isinstance(error, ServerError))
        self.say("stopping", failed or "asked to stop")
        self._end()
        self.say("failed" if failed else "stopped", failed or "stopped")
        return int(bool(failed))

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def start(self) -> None:
        """Start every part, each when what it needs is there."""
        self.say("starting", "PostgreSQL")
        self._cluster.create()
        arguments = self._cluster.popen_arguments()
        self.add(Part(POSTGRES, self._cluster.argv(), os.environ, self._cluster.log, arguments))
        end = time.monotonic() + _POSTGRES_SECONDS
        while not self._cluster.ready():
            self.pause()
            if self._parts[POSTGRES].pid is None or time.monotonic() > end:
                raise ServerError(f"PostgreSQL did not start; {self._cluster.log}: {self._cluster.last_lines()}")
        self._cluster.ensure_database(DATABASE, database_password(self._home))
        self.say("starting", "Airflow's tables")
        init = self.airflow_part("airflow-init", str(REPOSITORY / "scripts" / "airflow-init.sh"))
        pid = self._spawn(init)
        while pid not in self._exit_codes:
            self.pause()
        if self._exit_codes[pid] != 0:
            raise ServerError(
                f"Airflow's tables could not be made (exit code {self._exit_codes[pid]}); {init.log}: {_tail(init.log)}"
            )
        self.say("starting", "Airflow")
        script = str(REPOSITORY / "scripts" / "airflow-part.sh")
        for name in reversed(AIRFLOW_PARTS):
            self.add(self.airflow_part(name, script, name))

    def add(self, part: Part) -> None:
        """Start a part, and from then on start it again when it dies."""
        self._parts[part.name] = part
        self._launch(part)

    def _look(self) -> None:
        """Notice who died and start again whose time has come; then wait a little."""
        self.pause()
        now = time.monotonic()
        for part in self._parts.values():
            if part.start_at is not None and now >= part.start_at:
                self._launch(part)
                self.say("running", f"{part.name} was started again")

    def pause(self) -> None:
        """Wait a little and reap; a signal that came ends `start` and the watch."""
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        self._reap()
        if self._stop:
            raise _Stopped

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                code = os.waitstatus_to_exitcode(status)
                self._exit_codes[pid] = code
                for part in self._parts.values():
                    if part.pid == pid:
                        self._died(part, code)

    def _died(self, part: Part, code: int) -> None:
        part.pid = part.process = None
        if self._stop:
            return
        now = time.monotonic()
        wait = part.restarts.wait_after_death(now)
        if wait is None:
            part.gave_up = True
            message = f"{part.name} ended again and again (last exit code {code}) and is left alone; {part.log}"
        else:
            part.start_at = now + wait
            message = f"{part.name} ended (exit code {code}); it is started again in {wait:.0f} s"
        log.warning("%s", message)
        self.say("running", message)

    def _launch(self, part: Part) -> None:
        # The workers and the tasks of a scheduler that died would go on beside those of the next one.
        kill_marked(self._id, part.name)
        part.start_at = None
        part.starts += 1
        part.pid = self._spawn(part)
        part.process = ProcessId.of(part.pid)

    def _spawn(self, part: Part) -> int:
        part.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with part.log.open("ab") as output:
            process = subprocess.Popen(
                part.argv,
                env={**part.env, SERVER_ID: self._id, SERVER_PART: part.name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **part.popen_arguments,
            )
        process.returncode = 0  # `_reap` waits for it, not this object
        log.info("%s is process %d", part.name, process.pid)
        return process.pid

    def airflow_part(self, name: str, *argv: str) -> Part:
        """Return a part that runs a script in the server's environment."""
        path = server_folder(self._home) / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > _LARGEST_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        env = {**server_environment(self._home, read_config(self._home)), "HUILIU_PYTHON": sys.executable}
        return Part(name, list(argv), env, path)

    def _end(self) -> None:
        """Stop Airflow, then PostgreSQL, then whatever is still there.

        A scheduler that is asked to stop waits for its tasks, which can take an hour: after a while all are killed.
        What a stage has sent is journaled and the next start retries the task, so killing loses nothing.
        """
        self._stop = True
        airflow = [part.process for name in AIRFLOW_PARTS if (part := self._parts.get(name)) and part.process]
        for process in airflow:
            process.signal(signal.SIGTERM)
        self._wait(airflow, _POLITE_SECONDS)
        kill_marked(self._id, spare=(POSTGRES,))
        stop_postgres(self._id, self._wait)
        kill_descendants()

    def _wait(self, processes: list[ProcessId], seconds: float) -> list[ProcessId]:
        left = wait_until_gone(processes, seconds)
        self._reap()
        return left

    def say(self, phase: Literal["starting", "running", "stopping", "stopped", "failed"], message: str) -> None:
        """Leave word of where the server is."""
        log.info("%s: %s", phase, message)
        parts = {
            name: PartState(process=part.process, starts=part.starts, gave_up=part.gave_up)
            for name, part in self._parts.items()
        }
        write_state(
            self._home,
            ServerState(schema=1, server_id=self._id, supervisor=self._own, phase=phase, message=message, parts=parts),
        )


def stop_postgres(server_id: str, wait: Callable[[list[ProcessId], float], list[ProcessId]] = wait_until_gone) -> None:
    """Stop a server's PostgreSQL: connections are cut, what was committed stays."""
    for number, seconds in ((signal.SIGINT, _POSTGRES_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        processes = list(marked(server_id, POSTGRES))
        for process in processes:
            process.signal(number)
        if not wait(processes, seconds):
            return


def _tail(path: Path, count: int = 3) -> str:
    with suppress(FileNotFoundError):
        return " | ".join(path.read_text(errors="replace").strip().splitlines()[-count:])
    return "nothing"
