"""A federation under a real scheduler and LocalExecutor, whose parties can be killed and taken away."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from fl_airflow.installation import DAGS_FOLDER, federated_run_id, retraining_dag_id
from fl_airflow.process_tree import descendants

from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.paths import Home
from fl_tasks.scenarios import load
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.stages import enrol
from tests.server.airflow_server import OVER, AirflowServer
from tests.stages.federation_run import SCENARIO

DAG = retraining_dag_id(SCENARIO)
SECONDS = 900.0
SECONDS_TO_DIE = 30.0
# A stage of a daemon may be over in a tenth of a second.
_SECONDS_BETWEEN_LOOKS = 0.01
_SECONDS_BETWEEN_QUESTIONS = 3.0

Change = Callable[[dict[str, Any]], None]


def copy_dags(folder: Path) -> Path:
    """Copy the repository's DAG folder below a folder, for changes."""
    dags = folder / "dags"
    shutil.copytree(DAGS_FOLDER, dags, ignore=shutil.ignore_patterns("__pycache__"))
    return dags


def change_scenario(dags: Path, scenario: str, change: Change) -> None:
    """Change one scenario's YAML."""
    path = dags / "federation" / "scenarios" / f"{scenario}.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def small(config: dict[str, Any]) -> None:
    """Make a scenario's model and run small, and its gate open, so that faults and not figures are tested."""
    config["learning"] |= {"model": "mlp", "units": 4, "local_epochs": 1}
    config["rounds"] = {"wanted": 2, "spare": 1}
    config["tasks"] |= {"retries": 2, "retry_delay_seconds": 1}
    config["gate"] = {"share_better": 0.0, "tolerance": 1.0}


def by_hand(config: dict[str, Any]) -> None:
    """Let a scenario's first scheduled interval lie ahead, so that only triggered runs run."""
    config["schedule"] |= {"start_date": dt.date.today() - dt.timedelta(days=1), "catchup": False}


def found(home: Path, dags: Path, scenario: str) -> None:
    """Hand out generated data, make keys and a roster, and let every agency approve it."""
    places, federation = Home(home), dags / "federation"
    hand_out(scenario, load(scenario).generate(seed=5), places, federation)
    members = [member.agency for member in load_federation(federation).members(scenario)]
    for agency in members:
        enrol.init_agency(places, federation, scenario, agency)
    roster = enrol.init_coordinator(places, federation, scenario)
    for agency in members:
        enrol.approve(places, scenario, agency, roster.sha256.hex())


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


class FaultyRun:
    """One run of the retraining DAG on an interval of its own: no two share a model and an interval.

    Args:
        server: Where it runs.
        home: The federation's home folder.
        end: Of the data interval, a date.
        rounds: Aggregated rounds, if fewer than the scenario wants.
    """

    def __init__(self, server: AirflowServer, home: Path, end: str, *, rounds: int | None = None) -> None:
        self._follow(server, home, server.trigger(DAG, {"interval": ["2012-03-01", end], "rounds": rounds}))

    @classmethod
    def of(cls, server: AirflowServer, home: Path, id_: str) -> FaultyRun:
        """Follow a run that something else has started."""
        run = cls.__new__(cls)
        run._follow(server, home, id_)
        return run

    def _follow(self, server: AirflowServer, home: Path, id_: str) -> None:
        self._server = server
        self._home = home
        self.id = id_
        self.run_id = federated_run_id(SCENARIO, self.id)
        self.exchange = home / "exchange" / self.run_id

    def until(self, what: Callable[[], Any], message: str) -> Any:
        """Wait until something is there while the run goes on; gives it."""
        end = time.monotonic() + SECONDS
        ask = time.monotonic() + _SECONDS_BETWEEN_QUESTIONS
        while not (value := what()):
            now = time.monotonic()
            assert now < end, f"not within {SECONDS:.0f} s: {message}"
            if now > ask:
                state = self._server.run(DAG, self.id)["state"]
                failures = self._server.failures(DAG, self.id) if state in OVER else ""
                assert state not in OVER, f"the run ended as {state}; {message}\n{failures}"
                ask = now + _SECONDS_BETWEEN_QUESTIONS
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        return value

    def until_sent(self, name: str) -> None:
        self.until((self.exchange / name).exists, f"{name} was never sent")

    def kill_stage(self, stage: str, label: str) -> None:
        """Kill the first process of a stage of this run, and see it gone.

        Args:
            stage: Its name.
            label: Its name with its round, as its spec is called.
        """
        words = (f"run {stage} ", f"{self.run_id}/specs/{label}.json")
        self._kill(self.until(lambda: self._find(words), f"no process with {words}"))

    def kill_training(self, agency: str) -> None:
        """Kill the learning worker that trains at an agency in this run, and see it gone."""
        self._kill(self.until_training(agency))

    def until_training(self, agency: str) -> int:
        """Wait until a learning worker has an agency's examples of this run in memory; gives its process id."""
        examples = f"/agencies/{agency}/runs/{self.run_id}/examples/fit/x.npy"
        return int(self.until(lambda: self._find(("fl_tasks.learning",), examples), f"{agency} does not train"))

    def kill_daemon(self) -> None:
        """Kill the daemon, and see everything gone that it has started."""
        daemon = self.until(self._server.daemon, "no daemon")
        below = descendants(daemon)
        os.kill(daemon, signal.SIGKILL)
        self._until_gone(daemon, *below)

    def kill_idle_daemon(self) -> None:
        """Kill the daemon at a moment at which it runs no stage."""
        self.until(self._kill_if_idle, "the daemon runs stages all the time")

    def _kill_if_idle(self) -> bool:
        daemon = self._server.daemon()
        if daemon is None:
            return False
        os.kill(daemon, signal.SIGSTOP)  # nothing begins between the look and the kill
        below = descendants(daemon)
        # A stage that has ended counts until the daemon has seen it, and told its task.
        if not all("-m fl_tasks.learning." in _command(pid) for pid in below):
            os.kill(daemon, signal.SIGCONT)
            return False
        os.kill(daemon, signal.SIGKILL)
        self._until_gone(daemon, *below)
        return True

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self._until_gone(pid)

    def _until_gone(self, *pids: int) -> None:
        end = time.monotonic() + SECONDS_TO_DIE
        while left := [pid for pid in pids if _command(pid)]:  # a zombie has none
            assert time.monotonic() < end, f"these go on: {[_command(pid) for pid in left]}"
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _find(self, words: tuple[str, ...], mapped: str = "") -> int | None:
        """Return a process whose command line holds all words and which has a file of this name in memory."""
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            command = _command(pid)
            with suppress(OSError):
                if all(word in command for word in words) and mapped in (folder / "maps").read_text():
                    return pid
        return None

    def take_away(self, agency: str) -> None:
        """Take an agency's folder away, as if its machine were off: whatever is asked of it fails."""
        folder = self._home / "agencies" / agency
        folder.rename(folder.with_name(f"{agency}.away"))

    def bring_back(self, agency: str) -> None:
        """Put it back; what tasks that failed meanwhile left in its place goes."""
        folder = self._home / "agencies" / agency
        while folder.with_name(f"{agency}.away").exists():
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # a task that is failing at this moment has written there again
                folder.with_name(f"{agency}.away").rename(folder)

    def end(self, state: str = "success") -> None:
        """Wait for the run's end, which has to be in this state."""
        ended = self._server.wait(DAG, self.id, timeout=SECONDS)
        assert ended == state, f"the run ended as {ended}\n{self._server.failures(DAG, self.id)}"

    def clear(self, task_id: str) -> None:
        """Clear a task and all after it."""
        self._server.clear(DAG, self.id, [task_id])

    def report(self) -> dict[str, Any]:
        return json.loads((self._home / "runs" / self.run_id / "report.json").read_bytes())

    def tasks(self) -> dict[str, dict[str, Any]]:
        return self._server.task_instances(DAG, self.id)

    def done(self) -> dict[str, tuple[int, str]]:
        """Return try number and start of each task that has succeeded so far."""
        return {
            name: (task["try_number"], task["start_date"])
            for name, task in self.tasks().items()
            if task["state"] == "success"
        }
