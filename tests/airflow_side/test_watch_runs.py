"""Whole runs of a drift watch in a real Airflow, with a stand-in for the stages: when it starts a retraining."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fl_airflow.federation import prepare_airflow
from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.settings import environment

from tests.airflow_side.cases import EAST, WEST
from tests.airflow_side.test_runs import Run

# Every run counts in the first test's time.
pytestmark = pytest.mark.timeout(600)
SCENARIO = "traffic_districts"
CALM = {"drift": {"status": "skipped", "reason": "too few"}}
CASES = {
    # Airflow starts runs of DAGs that it knows: this one makes the retraining known.
    "retraining": {"conf": {"dry_run": True}, "stand_in": {"cohort": {"finished": True}}},
    "calm": {"dag": "watch", "stand_in": CALM},
    "away": {"dag": "watch", "stand_in": CALM | {f"ingest:{EAST}": {"exit": 10}}},
    "uncounted": {"dag": "watch", "stand_in": {"drift": {"exit": 10}}},
    "moved": {"dag": "watch"},
    "moved_beside": {"dag": "watch", "conf": {"interval": ["2012-05-09", "2012-05-10"]}},
    "moved_again": {"dag": "watch", "over": True},
    "moved_later": {"dag": "watch", "conf": {"interval": ["2012-05-14", "2012-05-15"]}},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    home = tmp_path_factory.mktemp("home")
    dags = home / "dags"
    shutil.copytree(DAGS_FOLDER, dags, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, kept in (("agencies", (EAST, WEST)), ("scenarios", (SCENARIO,))):
        for file in (dags / "federation" / kind).glob("*.yaml"):
            if file.stem not in kept:
                file.unlink()
    prepare_airflow(home)
    env = environment(home) | {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "CASES_SCENARIO": SCENARIO}
    with (home / "log").open("w+") as log:
        script = Path(__file__).with_name("run_cases.py")
        done = subprocess.run(
            [sys.executable, "-P", str(script), str(dags), json.dumps(CASES)],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=580, check=False,
        )  # fmt: skip
        log.seek(0)
        text = log.read()
    assert done.returncode == 0, text[-3000:]
    found = [json.loads(line.removeprefix("CASE ")) for line in text.splitlines() if line.startswith("CASE ")]
    return {case["name"]: Run(case) for case in found}


def test_while_too_few_agencies_have_moved_nothing_is_started(runs):
    run = runs["calm"]
    assert run.found["state"] == "success"
    assert run.of("watch") == {"success"}
    assert run.of("drift") == run.of("retrain") == {"skipped"}
    assert run.found["waiting"] == []


def test_an_agency_that_is_away_keeps_nobody_waiting(runs):
    run = runs["away"]
    assert run.found["state"] == "success"
    assert run.of(EAST, "watch") == {"upstream_failed"}
    assert run.of(WEST, "watch") == {"success"}
    assert run.of("drift") == {"skipped"}


def test_words_that_cannot_be_counted_make_the_run_red(runs):
    run = runs["uncounted"]
    assert run.found["state"] == "failed"
    assert run.of("retrain") == {"upstream_failed"}
    assert run.found["waiting"] == []


def test_data_that_have_moved_start_a_retraining_on_as_long_a_span_up_to_now(runs):
    run = runs["moved"]
    assert run.found["state"] == "success"
    assert run.of("drift") == run.of("retrain") == {"success"}
    ((run_id, conf),) = run.found["waiting"]
    assert run_id.startswith("drift__2012-04-01T")
    assert conf == {"interval": ["2012-03-01T08:00:00+00:00", "2012-04-01T07:00:00+00:00"]}


def test_none_is_started_beside_one_that_is_not_over(runs):
    run = runs["moved_beside"]
    assert run.found["state"] == "success"
    assert run.of("retrain") == {"skipped"}
    assert run.found["waiting"] == runs["moved"].found["waiting"]


def test_none_is_started_twice_in_an_interval_of_the_schedule(runs):
    run = runs["moved_again"]
    assert run.found["state"] == "success"
    assert run.of("retrain") == {"skipped"}
    assert run.found["waiting"] == []


def test_the_next_interval_of_the_schedule_has_its_own(runs):
    ((run_id, conf),) = runs["moved_later"].found["waiting"]
    assert run_id.startswith("drift__2012-05-01T")
    assert conf["interval"][1].startswith("2012-05-15T")
