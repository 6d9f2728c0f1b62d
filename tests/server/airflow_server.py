"""A whole server for tests: Airflow with PostgreSQL, started and stopped as by `make up` and `make down`."""

from __future__ import annotations

import datetime as dt
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fl_airflow.server.api import AirflowApi
from fl_airflow.server.config import USER, admin_password, authority_file, read_config
from fl_airflow.server.errors import ApiError
from fl_airflow.server.postgres import free_port
from fl_airflow.server.state import ServerState, read_state

from fl_tasks.daemon import place

OVER = ("success", "failed")
_MARK = "HUILIU_TEST_SERVER"


class AirflowServer:
    """One server in a home folder of its own, on free ports of the loopback address.

    Args:
        home: Its home folder; PostgreSQL's user has to reach it if we are root (see `reachable_folder`).
        dags_folder: With the DAG files; by default the repository's.
        env: What its processes get beside our own environment.
    """

    def __init__(self, home: Path, dags_folder: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.port = free_port()
        self._dags_folder = dags_folder
        self._mark = uuid.uuid4().hex
        self._env = {**os.environ, **(env or {}), "HUILIU_HOME": str(home), _MARK: self._mark}
        self._api: AirflowApi | None = None

    @property
    def url(self) -> str:
        return read_config(self.home).url

    @property
    def api(self) -> AirflowApi:
        """A client that is logged in as the admin."""
        if self._api is None:
            authority = authority_file(self.home, read_config(self.home))
            self._api = AirflowApi(self.url, USER, admin_password(self.home), authority)
        return self._api

    @property
    def state(self) -> ServerState:
        state = read_state(self.home)
        assert state is not None
        return state

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m fl_airflow.server WORDS` for this server; its standard error is in its output."""
        # A file, not a pipe: the server that `up` leaves behind must not be able to hold it open.
        output = self.home.parent / f"{self.home.name}-{words[0]}.txt"
        with output.open("w+") as file:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "fl_airflow.server", *words],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        return subprocess.CompletedProcess(done.args, done.returncode, output.read_text())

    def start(self) -> str:
        """Start it, and return what the command said once every part was healthy."""
        words = ["up", "--port", str(self.port)]
        done = self.command(*words, *([] if self._dags_folder is None else ["--dags-folder", str(self._dags_folder)]))
        if done.returncode != 0:
            raise AssertionError(f"the server did not start:\n{done.stdout}\n{self.logs()}")
        return done.stdout

    def stop(self) -> str:
        """Stop it, and return what the command said."""
        done = self.command("down")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def processes(self) -> dict[int, str]:
        """Return every living process that this server's start left, by its environment, its folder or its title."""
        found = self.stages()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                marked = f"{_MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                # PostgreSQL's children overwrite their environment, and work in the cluster's folder.
                if marked or (folder / "cwd").readlink().is_relative_to(self.home):
                    found[int(folder.name)] = _command(folder)[:120]
        return found

    def stages(self) -> dict[int, str]:
        """Return the stages that run now, as `ps` shows them: `fl run STAGE --spec FILE`, the file in our home."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = _command(folder)
                if command.startswith("fl run ") and f" --spec {self.home}/" in command:
                    found[int(folder.name)] = command
        return found

    def daemon(self) -> int | None:
        """Return the process that answers on the daemon's socket; None if there is none."""
        channel = place.connect(self.home)
        if channel is None:
            return None
        with channel:
            return int(struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])

    def trigger(
        self, dag_id: str, conf: Mapping[str, object] | None = None, logical_date: dt.datetime | None = None
    ) -> str:
        """Unpause a DAG as soon as it is parsed, trigger a run of it, and return the run's id."""
        self.unpause(dag_id)
        body = {"conf": dict(conf or {}), "logical_date": None if logical_date is None else logical_date.isoformat()}
        return str(self.api.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def unpause(self, dag_id: str, timeout: float = 90.0) -> None:
        """Let a DAG run, waiting at most so many seconds until it is parsed."""
        end = time.monotonic() + timeout
        while True:
            try:
                self.api.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
                return
            except ApiError as error:
                if error.status != 404 or time.monotonic() > end:
                    raise
            time.sleep(0.5)

    def pause(self, dag_id: str) -> None:
        """Let nothing more of a DAG start; what runs goes on."""
        self.api.call("PATCH", f"/dags/{dag_id}", {"is_paused": True})

    def give_up(self, dag_id: str, run_id: str) -> None:
        """End a run now: what runs of it is stopped, what did not start is skipped, and the run is red."""
        self.api.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def parse(self, dag_id: str, timeout: float = 90.0) -> None:
        """Have a DAG's file read again now, and return once it was."""
        before = self.api.call("GET", f"/dags/{dag_id}")
        self.api.call("PUT", f"/parseDagFile/{before['file_token']}")
        end = time.monotonic() + timeout
        while self.api.call("GET", f"/dags/{dag_id}")["last_parsed_time"] == before["last_parsed_time"]:
            assert time.monotonic() < end, f"{dag_id} was not parsed again within {timeout:.0f} s"
            time.sleep(0.5)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return what the API says of a run."""
        return dict(self.api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return a DAG's runs, oldest first."""
        return self._all(f"/dags/{dag_id}/dagRuns?order_by=run_after", "dag_runs")

    def wait(self, dag_id: str, run_id: str, timeout: float = 60.0) -> str:
        """Return the state in which a run ended; the one it is in if it did not within so many seconds."""
        end = time.monotonic() + timeout
        while (state := str(self.run(dag_id, run_id)["state"])) not in OVER and time.monotonic() < end:
            time.sleep(0.3)
        return state

    def task_instances(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return what the API says of each task of a run, by task id: state, try_number, start_date ..."""
        found = self._all(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?order_by=id", "task_instances")
        return {str(instance["task_id"]): instance for instance in found}

    def clear(self, dag_id: str, run_id: str, task_ids: list[str], *, downstream: bool = True) -> None:
        """Clear tasks of a run, with all tasks after them, and let the run go on."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": task_ids,
            "include_downstream": downstream,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.api.call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def failures(self, dag_id: str, run_id: str) -> str:
        """Return the last lines of the logs of a run's failed tasks."""
        texts = []
        for name, task in self.task_instances(dag_id, run_id).items():
            if task["state"] == "failed":
                lines = self.log(dag_id, run_id, name, task["try_number"]).splitlines()
                texts.append("\n".join([f"--- {name}", *(line[:500] for line in lines[-8:])]))
        return "\n".join(texts)

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """Return the log of one try of a task; empty if there is none."""
        folder = self.home / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        path = folder / f"attempt={attempt}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logs(self) -> str:
        """Return the end of each part's log."""
        texts = []
        for path in sorted((self.home / "server" / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            texts.append("\n".join([f"--- {path.name}", *lines]))
        return "\n".join(texts)

    def _all(self, path: str, key: str) -> list[dict[str, Any]]:
        """Return all entries of a list that the API hands out in pages."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.api.call("GET", f"{path}&limit=100&offset={len(found)}")
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found


def _command(folder: Path) -> str:
    return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Make a temporary folder that PostgreSQL's user can go through; those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="huiliu-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
