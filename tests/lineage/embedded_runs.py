"""Runs of the real DAGs on generated data, in the embedded mode, and the events that they leave."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from fl_airflow.embedded.run import Outcome, run_retraining
from fl_airflow.federation import found_federation, hand_out_data, prepare_airflow
from fl_airflow.installation import DAGS_FOLDER, rollback_dag_id
from fl_airflow.settings import environment

SCENARIO = "traffic_districts"
AGENCY = "district_northeast"
INTERVAL_END = dt.datetime(2012, 4, 1, tzinfo=ZoneInfo("America/Los_Angeles"))

SENSOR = "zz_canary_sensor"
"""A column that nobody declared: this agency's series are taken as they come."""

REJECTED = "district_southwest"
"""An agency whose delivery ends after a few hours."""

VALUE = "61.7351937"
"""A speed that no generator gives."""


def plant(home: Path) -> None:
    """Put the canaries into one delivery: the name of its last column, and a value of a row. Cut another short."""
    path = home / "agencies" / AGENCY / "incoming" / "speed_5min.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines[0] = ",".join([*lines[0].split(",")[:-1], SENSOR])
    lines[700] = ",".join([*lines[700].split(",")[:-1], VALUE])
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    path = home / "agencies" / REJECTED / "incoming" / "speed_5min.csv.gz"
    few = gzip.decompress(path.read_bytes()).decode().splitlines()[:40]
    path.write_bytes(gzip.compress("\n".join(few).encode()))


def retrain(home: Path) -> Outcome:
    """Found the federation, plant the canaries, and retrain for one round."""
    hand_out_data(SCENARIO, home, None)
    plant(home)
    found_federation(SCENARIO, home)
    prepare_airflow(home)
    return run_retraining(SCENARIO, home, interval_end=INTERVAL_END, rounds=1, local_only=False)


def roll_back(home: Path) -> None:
    """Run the one task of a rollback, whatever becomes of it."""
    argv = [sys.executable, "-P", "-m", "fl_airflow.embedded.dag_run", str(DAGS_FOLDER / "model_rollback.py")]
    now = dt.datetime.now(dt.UTC).isoformat()
    argv += [rollback_dag_id(SCENARIO), "--logical-date", now, "--run-after", now]
    env = environment(home, lineage=home / "by_default.jsonl")
    with (home / "rollback.log").open("wb") as log:
        subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False, timeout=120
        )


def events_in(path: Path) -> list[dict]:
    """Return the events of a file, one a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def task_of(event: dict) -> str:
    """Return the task that an event is of, without its DAG."""
    return event["job"]["name"].partition(".")[2]


def completed(events: list[dict]) -> dict[str, dict]:
    """Return the events of tasks that ended well, by task."""
    return {task_of(event): event for event in events if event["eventType"] == "COMPLETE"}
