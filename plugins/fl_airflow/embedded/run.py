"""Run one of a scenario's DAGs to its end in a process of its own, showing what happens, leaving no process behind."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fl_airflow.embedded.dag_run import airflow_run_id
from fl_airflow.embedded.memory import PeakMemory
from fl_airflow.embedded.progress import Progress
from fl_airflow.installation import (
    DAGS_FOLDER,
    DagKind,
    federated_run_id,
    federation_folder,
    forecast_dag_id,
    retraining_dag_id,
)
from fl_airflow.process_tree import kill_descendants
from fl_airflow.settings import airflow_home, environment
from fl_airflow.stage_process import OWNER, start_daemon
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home

_SECONDS_BETWEEN_LOOKS = 0.3
_FILES: dict[DagKind, str] = {"retraining": "federated_retraining.py", "forecast": "forecast.py"}

Daemon = subprocess.Popen[bytes]


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


def run_retraining(
    scenario: str,
    home: Path,
    *,
    interval_end: dt.datetime,
    rounds: int,
    local_only: bool = True,
    daemon: Daemon | None = None,
) -> Outcome:
    """Retrain once on the data interval that ends at a time.

    Args:
        scenario: Which DAG.
        home: The installation's home folder.
        interval_end: End of a data interval of the scenario's schedule, with its UTC offset.
        rounds: Aggregated rounds, at most those that the scenario wants.
        local_only: Whether each agency also trains alone, to compare with.
        daemon: Runs the stages, and goes on afterwards; without it the run has one of its own.

    Raises:
        ConfigError: If the scenario asks a person before it promotes.
    """
    if load_scenario(federation_folder(), scenario).asks:
        raise ConfigError(
            f"scenario {scenario}: field promotion.approval: it asks a person, and this mode has no server on which to "
            "answer; use `make up`, or set it to false"
        )
    # One logical date is one run to Airflow. Any moment soon after the end stands for the same interval.
    soon_after = dt.timedelta(microseconds=time.time_ns() // 1000 % 3_600_000_000)
    logical_date = interval_end + soon_after
    conf = {"rounds": rounds, "local_only": local_only}
    return _run("retraining", scenario, home, retraining_dag_id(scenario), logical_date, conf, daemon)


def run_forecast(
    scenario: str, home: Path, *, interval: tuple[dt.datetime, dt.datetime], daemon: Daemon | None = None
) -> Outcome:
    """Let each agency forecast with the champion at the end of a data interval; as the promotion would on a server."""
    conf = {"interval": [moment.isoformat() for moment in interval]}
    return _run("forecast", scenario, home, forecast_dag_id(scenario), dt.datetime.now(dt.UTC), conf, daemon)


def _run(
    kind: DagKind,
    scenario: str,
    home: Path,
    dag_id: str,
    logical_date: dt.datetime,
    conf: Mapping[str, object],
    daemon: Daemon | None,
) -> Outcome:
    """Run one DAG; whatever it starts is over on return."""
    now = dt.datetime.now(dt.UTC)
    run_id = federated_run_id(scenario, airflow_run_id(now), kind)
    folder = Home(home).report(run_id)
    folder.mkdir(parents=True, mode=0o700)
    log = airflow_home(home) / "runs" / f"{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    argv = [
        *(sys.executable, "-P", "-m", "fl_airflow.embedded.dag_run", str(DAGS_FOLDER / _FILES[kind]), dag_id),
        *("--logical-date", logical_date.isoformat()),
        *("--run-after", now.isoformat()),
        *("--conf", json.dumps(conf)),
    ]
    env = environment(home, lineage=folder / "openlineage.jsonl") | {OWNER: str(os.getpid())}
    began = time.monotonic()
    if daemon is None:
        start_daemon(home, env)
    with log.open("wb") as output, PeakMemory(folder / "resources.json") as memory:
        # A file, not a pipe: nobody who still holds it can keep this process waiting.
        process = subprocess.Popen(
            argv,
            env=env,
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
            kill_descendants(spare=None if daemon is None else daemon.pid)
    return Outcome(process.returncode == 0, folder, log, progress, time.monotonic() - began, memory.peak_bytes)
