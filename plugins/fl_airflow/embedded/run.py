"""Run a scenario's DAG to its end in a process of its own, showing what happens, leaving no process behind."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fl_airflow.embedded.dag_run import airflow_run_id
from fl_airflow.embedded.memory import PeakMemory
from fl_airflow.embedded.process_tree import kill_descendants
from fl_airflow.embedded.progress import Progress
from fl_airflow.embedded.settings import airflow_home, environment
from fl_airflow.installation import DAGS_FOLDER, federated_run_id, retraining_dag_id
from fl_tasks.contracts.paths import Home

_SECONDS_BETWEEN_LOOKS = 0.3


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        green: Whether Airflow calls it a success.
        folder: What it left: report.json, openlineage.jsonl, resources.json.
        log: Everything that Airflow and the stages said.
        progress: Which steps failed.
        seconds: Wall time.
        peak_pss_bytes: Largest sampled memory of all processes together.
    """

    green: bool
    folder: Path
    log: Path
    progress: Progress
    seconds: float
    peak_pss_bytes: int


def run_scenario(scenario: str, home: Path, *, interval_end: dt.datetime, rounds: int | None) -> Outcome:
    """Run one retraining on the data interval that ends at a time; whatever it starts is over on return.

    Args:
        scenario: Which DAG.
        home: The installation's home folder.
        interval_end: End of a data interval of the scenario's schedule, with its UTC offset.
        rounds: Aggregated rounds; by default those that the scenario wants.
    """
    now = dt.datetime.now(dt.UTC)
    run_id = federated_run_id(scenario, airflow_run_id(now))
    folder = Home(home).report(run_id)
    folder.mkdir(parents=True, mode=0o700)
    log = airflow_home(home) / "runs" / f"{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One logical date is one run to Airflow. Any moment soon after the end stands for the same interval.
    soon_after = dt.timedelta(microseconds=int(now.timestamp() * 1e6) % 3_600_000_000)
    argv = [
        *(sys.executable, "-P", "-m", "fl_airflow.embedded.dag_run", str(DAGS_FOLDER), retraining_dag_id(scenario)),
        *("--logical-date", (interval_end + soon_after).isoformat()),
        *("--run-after", now.isoformat()),
        *("--conf", json.dumps({} if rounds is None else {"rounds": rounds})),
    ]
    began = time.monotonic()
    with log.open("wb") as output, PeakMemory(folder / "resources.json") as memory:
        # A file, not a pipe: nobody who still holds it can keep this process waiting.
        process = subprocess.Popen(
            argv,
            env=environment(home, lineage=folder / "openlineage.jsonl"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        progress = Progress(log)
        try:
            while process.poll() is None:
                progress.read()
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            progress.read()
        finally:
            # What a stage has sent is journaled: killing loses nothing. (On a polite signal Airflow would
            # end the task that runs, and retry it.) Airflow goes first, so that it starts nothing more.
            process.kill()
            process.wait()
            kill_descendants()
    return Outcome(process.returncode == 0, folder, log, progress, time.monotonic() - began, memory.peak_bytes)
