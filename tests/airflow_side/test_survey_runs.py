"""Whole runs of a retraining with a survey in a real Airflow, with a stand-in for the stages: who runs, who is not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fl_airflow.federation import prepare_airflow
from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.settings import environment

from fl_tasks.contracts.stage import SESSION_STAGES, SURVEY_STAGES
from tests.airflow_side.test_runs import Run

# Every run counts in the first test's time.
pytestmark = pytest.mark.timeout(900)
SCENARIO, EAST, WEST = "welfare", "styria", "tyrol"
ONE_ROUND = {"close_round:1": {"finished": True}}
CASES = {
    "done": {"stand_in": ONE_ROUND},
    "unread": {"stand_in": ONE_ROUND | {f"ingest:{EAST}": {"exit": 10}}},
    "lost": {"stand_in": ONE_ROUND | {f"count:{EAST}:1": {"exit": 10}}},
    "burnt": {"stand_in": {"manifest:1": {"burnt": True}, "recode": {"exit": 10}}},
    "no_recoding": {"stand_in": {"recode": {"exit": 10}}},
    "not_opened": {"stand_in": {"survey": {"exit": 10}}},
    "dry_run": {"conf": {"dry_run": True}, "stand_in": {"survey": {"finished": True}}},
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
    path = dags / "federation" / "scenarios" / f"{SCENARIO}.yaml"
    config = yaml.safe_load(path.read_text())
    config["rounds"] = {"wanted": 1, "spare": 0}
    config["tasks"] |= {"retries": 0}
    config["officers"] = None  # the stand-in of the stages gives no answer
    path.write_text(yaml.safe_dump(config))
    prepare_airflow(home)
    env = environment(home) | {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "CASES_SCENARIO": SCENARIO}
    with (home / "log").open("w+") as log:
        script = Path(__file__).with_name("run_cases.py")
        done = subprocess.run(
            [sys.executable, "-P", str(script), str(dags), json.dumps(CASES)],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=880, check=False,
        )  # fmt: skip
        log.seek(0)
        text = log.read()
    assert done.returncode == 0, text[-3000:]
    found = [json.loads(line.removeprefix("CASE ")) for line in text.splitlines() if line.startswith("CASE ")]
    return {case["name"]: Run(case) for case in found}


def test_a_whole_run_is_green_and_its_survey_works_under_a_run_of_its_own(runs):
    run = runs["done"]
    assert run.found["state"] == "success"
    assert run.of("survey") == run.of("prepare") == run.of("cohort") == {"success"}
    retraining = run.found["run_id"]
    stages = {}
    for spec in run.found["specs"]:
        stages.setdefault(spec["run_id"], set()).add(spec["stage"])
    assert stages.keys() == {retraining, f"survey.{retraining}"}
    assert not stages[retraining] & set(SURVEY_STAGES)
    assert set(SESSION_STAGES) <= stages[retraining]
    assert stages[f"survey.{retraining}"] == {*SURVEY_STAGES, *SESSION_STAGES}


def test_an_agency_whose_data_were_not_read_is_in_neither_session(runs):
    run = runs["unread"]
    assert run.found["state"] == "success"
    assert run.of("survey", EAST) == run.of("setup", EAST) == {"upstream_failed"}
    assert run.of("prepare", EAST, "anonymize") == {"upstream_failed"}
    assert run.of("survey", WEST) == run.of("round_01", WEST) == run.of("survey", "recode") == {"success"}


def test_an_agency_that_is_lost_in_the_survey_trains_all_the_same(runs):
    run = runs["lost"]
    assert run.found["state"] == "success"
    assert run.of("survey", "count", EAST) == {"failed"}
    assert run.of("survey", "reveal", EAST) == {"upstream_failed"}
    assert run.of("prepare", EAST) == run.of("round_01", EAST) == {"success"}


@pytest.mark.parametrize("case", ["burnt", "no_recoding", "not_opened"])
def test_a_survey_that_fails_ends_in_a_report_and_a_red_run(runs, case):
    run = runs[case]
    assert run.found["state"] == "failed"
    for task in ("anonymize", "cohort", "verdict"):
        assert run.of(task) == {"upstream_failed"}
    assert run.of("report") == {"success"}


def test_after_a_burnt_manifest_only_recode_is_done(runs):
    run = runs["burnt"]
    assert run.of("survey", "ack") == run.of("survey", "reveal") == {"skipped"}
    assert run.of("survey", "recode") == {"failed"}
    assert runs["no_recoding"].of("survey", "reveal") == {"success"}


def test_a_dry_run_ends_with_the_opening_of_the_survey_and_is_green(runs):
    run = runs["dry_run"]
    assert run.found["state"] == "success"
    assert run.of("prepare", "ingest") == run.of("survey", "open") == {"success"}
    done = {task for task, state in run.states.items() if state == "success"}
    assert done == {"survey.open", *(f"prepare.{agency}.ingest" for agency in (EAST, WEST))}
