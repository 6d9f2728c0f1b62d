"""How a federation over many hosts grows: each agency in a network namespace, with an edge worker and a daemon.

No peer and no ratio: what is shown is whether the cost of an agency-round stays the same as agencies come. Needs root.
"""

from __future__ import annotations

import datetime as dt
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import yaml
from fl_airflow.hosts.founding import free_network, make
from fl_airflow.hosts.layout import FederationFile, Layout
from fl_airflow.hosts.retraining import open_api, start_retraining
from fl_airflow.hosts.starting import start
from fl_airflow.installation import federated_run_id, retraining_dag_id
from fl_airflow.process_tree import descendants, tree_pss_bytes
from fl_airflow.server import control
from fl_airflow.server.state import read_state

from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.report import Report
from fl_tasks.scenarios.hand_out import hand_out
from tests.benchmarks.growth_federation import SCENARIO, Size, readings, write_federation
from tests.benchmarks.round_measure import MeasurementFailed
from tests.federation.site import Patient, not_possible

AGENCIES = (20, 16, 8, 4)  # what cannot be had on a machine is said first
ROUNDS = 3
ROWS_EACH = 5000
MOST_SECONDS = 1800.0
INTERVAL = ["2012-03-01", "2012-04-01"]
_WATCH_SECONDS = 10.0  # to look at hundreds of processes takes a while itself
_QUIET = 0.6  # twenty idle agencies ask for work all the time
_TICKS = os.sysconf("SC_CLK_TCK")
Say = Callable[[str], None]


def rows(say: Say, agencies: tuple[int, ...] = AGENCIES) -> Iterator[dict]:
    """Retrain over federations of some sizes, one after another; a row each.

    Raises:
        MeasurementFailed: If there can be no federation on this machine, or a run is not green.
    """
    reason = not_possible()
    if reason is not None:
        raise MeasurementFailed(reason)
    for number in agencies:
        with tempfile.TemporaryDirectory(prefix="huiliu-bench-") as name:
            root = Path(name)
            root.chmod(0o755)
            yield _row(root, Size(agencies=number, rows=number * ROWS_EACH, rounds=ROUNDS), say)


def _row(root: Path, size: Size, say: Say) -> dict:
    layout = _made(root, size)
    say(f"bench: {size.agencies} agencies, {ROUNDS} rounds")
    began = time.monotonic()
    start(layout, say)
    start_seconds = time.monotonic() - began
    try:
        figures = _retrained(layout, size, say)
    finally:
        control.down(layout.home, say)
    return {
        "work": {"agencies": size.agencies, "rounds": ROUNDS, "parameters": size.parameters, "rows": size.rows},
        "ours": {"start": start_seconds, **figures},
        "peer": {},
        "ratio": {},
        "limit_ratio": {},
    }


def _made(root: Path, size: Size) -> Layout:
    federation = write_federation(size, root / "source")
    path = federation / "scenarios" / f"{SCENARIO}.yaml"
    scenario = yaml.safe_load(path.read_text())
    # Its first scheduled interval lies ahead, so that only the measured run runs.
    scenario["schedule"]["start_date"] = dt.date.today() - dt.timedelta(days=1)
    scenario["tasks"]["retries"] = 2  # as every scenario has; what had to be tried again is reported
    path.write_text(yaml.safe_dump(scenario))
    file = FederationFile(
        schema=1,
        scenario=SCENARIO,
        agencies=tuple(size.names),
        first_uid=64000,
        network=free_network(),
        absent_seconds=600,  # twenty start at once on two cores
    )

    def give(home: Path) -> None:
        hand_out(SCENARIO, readings(size), Home(home), federation)

    return make(root / "hosts", file, federation.parent, give)


def _retrained(layout: Layout, size: Size, say: Say) -> dict[str, float]:
    api, dag_id = Patient(open_api(layout)), retraining_dag_id(SCENARIO)
    state = read_state(layout.home)
    assert state is not None
    scheduler, supervisor = state.parts["scheduler"].process, state.supervisor
    assert scheduler is not None
    _until_quiet(size)
    run_id = start_retraining(layout, open_api(layout), {"interval": INTERVAL, "local_only": False})
    path = f"/dags/{dag_id}/dagRuns/{run_id}"
    while (run := api.call("GET", path))["state"] == "queued":
        time.sleep(0.5)
    before, began = _scheduler_and_tasks(scheduler.pid), time.monotonic()
    peak = [0]
    over = threading.Event()
    memory = threading.Thread(target=_watch_memory, args=(supervisor.pid, peak, over))
    memory.start()
    try:
        while (run := api.call("GET", path))["state"] == "running":
            if time.monotonic() - began > MOST_SECONDS:
                raise MeasurementFailed(f"{size.agencies} agencies: not over after {MOST_SECONDS:.0f} s")
            time.sleep(2.0)
    finally:
        over.set()
        memory.join()
    wall = time.monotonic() - began
    own, local = (after - start for after, start in zip(_scheduler_and_tasks(scheduler.pid), before, strict=True))
    if run["state"] != "success":
        raise MeasurementFailed(f"{size.agencies} agencies: the run is {run['state']}; {layout.root}")
    tasks = _tasks(api, path)
    for task in tasks:
        if task["try_number"] > 1:
            say(f"tried again: {task['task_id']}")
    report = Report.model_validate_json(
        (Home(layout.home).report(federated_run_id(SCENARIO, run_id)) / "report.json").read_bytes()
    )
    whole = [one for one in report.rounds if one.status == "aggregated" and set(one.survivors) == set(size.names)]
    if len(whole) != ROUNDS:
        raise MeasurementFailed(f"{size.agencies} agencies: {len(whole)} of {ROUNDS} rounds had all of them")
    agency_rounds = size.agencies * ROUNDS
    of_rounds = [task for task in tasks if task["task_id"].startswith("round_") and task["state"] == "success"]
    waits = [_seconds(task, "queued_when", "start_date") for task in of_rounds if task["queue"] != "default"]
    return {
        "wall": wall,
        "wall_each": wall / agency_rounds,
        "tasks_each": len(of_rounds) / agency_rounds,
        "scheduler_cpu_each": own / agency_rounds,
        "coordinator_cpu_each": local / agency_rounds,
        "tries": sum(task["try_number"] - 1 for task in tasks if task["try_number"]),
        "queued": statistics.median(waits),
        "peak_pss": peak[0],
    }


def _until_quiet(size: Size) -> None:
    """Wait until no party starts any more: workers have reported while their daemons still load TensorFlow."""
    end = time.monotonic() + MOST_SECONDS
    while _busy(seconds=10.0) > _QUIET:
        if time.monotonic() > end:
            raise MeasurementFailed(f"{size.agencies} agencies: the machine did not come to rest")


def _busy(seconds: float) -> float:
    """Return the share of the machine's CPU time that is used in the next so many seconds."""

    def idle_and_all() -> tuple[int, int]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)  # idle, and waiting for a disk

    before = idle_and_all()
    time.sleep(seconds)
    idle, every = (after - earlier for after, earlier in zip(idle_and_all(), before, strict=True))
    return 1.0 - idle / every


def _tasks(api: Patient, path: str) -> list[dict]:
    found: list[dict] = []
    while True:
        page = api.call("GET", f"{path}/taskInstances?limit=100&offset={len(found)}&order_by=id")
        found += page["task_instances"]
        if len(found) >= page["total_entries"]:
            return found


def _seconds(task: dict, start: str, end: str) -> float:
    return (dt.datetime.fromisoformat(task[end]) - dt.datetime.fromisoformat(task[start])).total_seconds()


def _scheduler_and_tasks(scheduler: int) -> tuple[float, float]:
    """Return the scheduler's own CPU seconds, and those of its children (the coordinator's tasks), over or not."""
    own, ended = _cpu(scheduler)
    for pid in descendants(scheduler):
        with suppress(FileNotFoundError, ProcessLookupError):  # over meanwhile: its parent has it
            ended += sum(_cpu(pid))
    return own, ended


def _cpu(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of those of its children that it has waited for."""
    user, system, children_user, children_system = (
        int(field) / _TICKS for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    )
    return user + system, children_user + children_system


def _watch_memory(pid: int, peak: list[int], over: threading.Event) -> None:
    while not over.wait(_WATCH_SECONDS):
        peak[0] = max(peak[0], tree_pss_bytes(pid))
