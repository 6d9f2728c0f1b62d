"""Whole runs of the real DAGs in a real Airflow, with a stand-in for what the stages do: who runs, who is skipped.

All cases run in one process, because Airflow takes longer to start than to run any of them.
"""

import collections
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fl_airflow.embedded.progress import Progress
from fl_airflow.federation import prepare_airflow
from fl_airflow.installation import DAGS_FOLDER
from fl_airflow.settings import environment

from fl_tasks.contracts.stage import StageResult
from tests.airflow_side import sinks
from tests.airflow_side.cases import CASES, EAST, MODEL, RED, WEST

# Every run counts in the first test's time.
pytestmark = pytest.mark.timeout(900)
GONE = {"skipped", "upstream_failed"}


class Run:
    """What one case left behind."""

    def __init__(self, found: dict) -> None:
        self.found = found
        self.states: dict[str, str] = found["states"]

    def of(self, *words: str) -> set[str]:
        """The states of all tasks whose names hold all these words."""
        states = {state for task, state in self.states.items() if set(words) <= set(task.split("."))}
        assert states
        return states


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def hook():
    with sinks.webhook() as server:
        yield server


@pytest.fixture(scope="module")
def mail():
    with sinks.mailbox() as server:
        yield server


@pytest.fixture(scope="module")
def runs(home, hook, mail) -> dict[str, Run]:
    dags = home / "dags"
    shutil.copytree(DAGS_FOLDER, dags, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (dags / "federation" / "agencies").glob("*.yaml"):
        if file.stem not in (EAST, WEST):
            file.unlink()
    scenarios = dags / "federation" / "scenarios"
    for file in scenarios.glob("*.yaml"):
        if file.stem != "traffic_districts":
            file.unlink()
    path = scenarios / "traffic_districts.yaml"
    config = yaml.safe_load(path.read_text())
    config["rounds"] = {"wanted": 2, "spare": 1}
    config["tasks"] |= {"retries": 1, "retry_delay_seconds": 1}
    config["officers"] = None  # the stand-in of the stages gives no answer
    config["notify"] = {
        "webhook_connection": "fl_webhook",
        "email_connection": "fl_mail",
        "email_to": ["ops@example.org"],
    }
    path.write_text(yaml.safe_dump(config))
    prepare_airflow(home)
    env = environment(home, lineage=home / "openlineage.jsonl") | {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    env |= sinks.connections(hook, mail)
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


def test_a_complete_run_skips_the_rounds_that_it_does_not_need_and_is_green(runs):
    run = runs["promoted"]
    assert run.found["state"] == "success"
    assert run.of("round_01") == {"success"}
    assert run.of("round_02") == run.of("round_03") == {"skipped"}
    assert run.of("evaluate") == run.of("report") == run.of("verdict") == {"success"}


def test_a_promoted_model_updates_the_asset_and_says_which_model_and_which_data(runs):
    run = runs["promoted"]
    assert run.of("gate") == run.of("promote") == {"success"}
    extra = {
        "version": 3,
        "model_sha256": MODEL,
        "data_interval": ["2012-05-01T00:00:00-07:00", "2012-06-01T00:00:00+02:00"],
    }
    name = "global_model/traffic_districts"
    assert run.found["events"] == [[name, f"huiliu://{name}", "promote", extra]]


def test_a_version_is_announced_once(runs):
    run = runs["promoted_again"]
    assert run.found["state"] == "success"
    assert run.of("promote") == {"skipped"}
    assert run.of("report") == run.of("verdict") == {"success"}


def test_no_other_run_updates_the_asset(runs):
    assert {name for name, run in runs.items() if run.found["events"]} == {"promoted"}


def test_a_held_model_and_an_agency_that_cannot_judge_it_leave_the_run_green(runs):
    run = runs["held"]
    assert run.found["state"] == "success"
    assert run.of("evaluate", EAST) == {"failed"}
    assert run.of("promote") == {"skipped"}
    assert run.of("gate") == run.of("report") == run.of("verdict") == {"success"}


def test_a_dry_run_ends_with_the_cohort_and_is_green(runs):
    run = runs["dry_run"]
    assert run.found["state"] == "success"
    assert run.of("prepare") == run.of("cohort") == {"success"}
    assert {state for task, state in run.states.items() if not task.startswith(("prepare.", "cohort"))} == {"skipped"}
    prepared = ("ingest", "anonymize", "standardize", "validate", "cohort")
    assert {spec["stage"]: spec["dry_run"] for spec in run.found["specs"]} == dict.fromkeys(prepared, True)


def test_a_spec_says_who_does_what_in_which_round_of_which_run_on_which_data(runs, home):
    run = runs["promoted"]
    specs = run.found["specs"]
    assert {spec["run_id"] for spec in specs} == {run.found["run_id"]}
    assert {spec["rounds"] for spec in specs} == {1}
    assert {tuple(spec["data_interval"]) for spec in specs} == {
        ("2012-05-01T00:00:00-07:00", "2012-06-01T00:00:00+02:00")
    }
    assert {spec["federation"] for spec in specs} == {str(home / "dags" / "federation")}
    scheduled = {tuple(spec["data_interval"]) for spec in runs["burnt"].found["specs"]}
    assert scheduled == {("2012-03-01T08:00:00Z", "2012-04-01T07:00:00Z")}
    trained = [(spec["agency"], spec["round"]) for spec in runs["burnt"].found["specs"] if spec["stage"] == "train"]
    assert sorted(trained) == [(agency, round_) for agency in (EAST, WEST) for round_ in (1, 2)]


def test_an_agency_that_fails_its_checks_is_left_out_and_the_run_stays_green(runs):
    run = runs["rejected"]
    assert run.found["state"] == "success"
    assert run.states[f"prepare.{EAST}.validate"] == "failed"
    later = {task for task in run.states if task.endswith(EAST)}
    assert {run.states[task] for task in later} <= GONE
    assert run.of("round_01", WEST) == run.of("evaluate", WEST) == {"success"}


def test_an_agency_lost_in_a_round_is_back_in_the_next(runs):
    run = runs["lost_in_round_1"]
    assert run.found["state"] == "success"
    assert run.states[f"round_01.train.{EAST}"] == "failed"
    assert run.of("round_01", "ack", EAST) == run.of("round_01", "reveal", EAST) == {"upstream_failed"}
    assert run.of("round_01", WEST) == {"success"}
    assert run.of("round_02", EAST) == {"success"}


def test_a_final_error_is_not_retried_what_is_busy_soon_and_a_crash_after_a_growing_delay(runs):
    run = runs["lost_in_round_1"]
    assert run.found["tries"][f"round_01.train.{EAST}"] == 1
    busy, crashed = f"setup.shares.{WEST}", f"round_01.reveal.{WEST}"
    for task in (busy, crashed):
        assert run.found["tries"][task] == 2
        assert run.states[task] == "success"
    # None: the task's own delay, which doubles.
    assert run.found["delays"] == {busy: 1.0, crashed: None}


def test_a_burnt_round_ends_at_once_and_the_next_one_runs(runs):
    run = runs["burnt"]
    assert run.found["state"] == "success"
    assert run.of("round_01", "train") == run.of("round_01", "manifest") == {"success"}
    for step in ("ack", "all_acks", "reveal", "all_reveals", "aggregate"):
        assert run.of("round_01", step) == {"skipped"}
    assert run.of("round_01", "close_round") == run.of("round_02") == {"success"}


@pytest.mark.parametrize(
    ("case", "failed"),
    [("no_cohort", "cohort"), ("no_sum", "round_02.aggregate"), ("no_gate", "gate"), ("no_promotion", "promote")],
)
def test_a_failed_step_of_the_coordinator_stops_the_run_which_is_red_and_reported(runs, case, failed):
    run = runs[case]
    assert run.found["state"] == "failed"
    assert run.of("report") == {"success"}
    assert run.of("verdict") == {"upstream_failed"}
    assert [task for task, state in run.states.items() if state == "failed"] == [failed]
    if case in ("no_cohort", "no_sum"):
        assert run.of("evaluate") == run.of("gate") == run.of("round_03", "train") == {"upstream_failed"}


def test_nothing_is_done_after_a_cohort_that_failed(runs):
    stages = {spec["stage"] for spec in runs["no_cohort"].found["specs"]}
    assert stages == {"ingest", "anonymize", "standardize", "validate", "cohort", "report"}


def test_a_run_without_a_usable_end_is_red(runs):
    assert runs["red_verdict"].found["state"] == "failed"
    assert runs["red_verdict"].of("verdict") == {"failed"}
    assert runs["red_verdict"].found["tries"]["verdict"] == 1


def test_agencies_that_a_run_leaves_out_do_nothing_at_all(runs):
    run = runs["fewer_agencies"]
    assert run.of(EAST) == {"skipped"}
    assert EAST not in {spec["agency"] for spec in run.found["specs"]}
    assert run.of("round_01", "train", WEST) == {"success"}


def test_a_stage_that_answers_skipped_is_skipped_with_what_follows_from_it(runs):
    run = runs["fewer_agencies"]
    assert run.of("round_01", "ack", WEST) == run.of("round_01", "reveal", WEST) == {"skipped"}
    assert run.of("round_01", "aggregate") == {"success"}


def test_a_spec_says_when_the_run_was_started(runs):
    for run in runs.values():
        (started,) = {dt.datetime.fromisoformat(spec["run_started"]) for spec in run.found["specs"]}
        assert dt.timedelta() < dt.datetime.now(dt.UTC) - started < dt.timedelta(minutes=15)


def test_a_promotion_starts_a_forecast_of_its_data_interval_at_every_agency(runs):
    specs = runs["forecast"].found["specs"]
    assert {tuple(spec["data_interval"]) for spec in specs} == {
        ("2012-05-01T00:00:00-07:00", "2012-06-01T00:00:00+02:00")
    }
    assert {spec["agency"] for spec in specs if spec["stage"] == "predict"} == {EAST, WEST}
    assert {spec["scenario"] for spec in specs} == {"traffic_districts"}


def test_a_forecast_by_hand_takes_its_parameter_or_the_last_interval_that_is_over(runs):
    specs = runs["forecast_by_hand"].found["specs"]
    assert {tuple(spec["data_interval"]) for spec in specs} == {("2012-03-01T08:00:00Z", "2012-04-01T07:00:00Z")}
    assert {spec["agency"] for spec in specs} == {WEST}
    specs = runs["forecast_of_an_interval"].found["specs"]
    assert {tuple(spec["data_interval"]) for spec in specs} == {
        ("2012-05-01T00:00:00-07:00", "2012-06-01T00:00:00-07:00")
    }


def test_an_agency_without_a_forecast_makes_the_run_red_and_the_others_have_theirs(runs):
    run = runs["forecast"]
    assert run.found["state"] == "failed"
    assert run.of("predict", EAST) == {"failed"}
    assert run.of("predict", WEST) == {"success"}


def test_the_runs_of_different_dags_never_share_a_folder(runs):
    prefixes = {run.found["run_id"].removesuffix(run.found["airflow_run_id"]) for run in runs.values()}
    assert prefixes == {
        "traffic_districts__",
        "forecast.traffic_districts__",
        "rollback.traffic_districts__",
    }


def test_a_rollback_hands_its_version_to_the_one_stage_that_it_has(runs):
    run = runs["rollback"]
    assert run.found["state"] == "success"
    (spec,) = run.found["specs"]
    assert (spec["stage"], spec["version"], spec["agency"]) == ("rollback", 2, None)


def test_a_red_run_and_no_other_is_told_once_to_the_webhook_and_once_by_mail(runs, hook, mail):
    assert {name for name, run in runs.items() if run.found["state"] == "failed"} == RED
    red = sorted(runs[name].found["run_id"] for name in RED)
    assert {path for path, _ in hook.received} == {"/hooks/fl"}
    assert sorted(notice["run_id"] for _, notice in hook.received) == red
    assert sorted(message["Subject"] for message in mail.received) == [f"Huiliu: red run {run_id}" for run_id in red]
    assert {message["To"] for message in mail.received} == {"ops@example.org"}


def test_a_notice_names_the_task_and_the_agency_that_the_run_failed_at(runs, hook):
    notices = {notice["run_id"]: notice for _, notice in hook.received}
    told = {name: notices[runs[name].found["run_id"]] for name in RED}
    assert {name: notice["task"] for name, notice in told.items()} == {
        "no_cohort": "cohort",
        "no_sum": "round_02.aggregate",
        "no_gate": "gate",
        "no_promotion": "promote",
        "red_verdict": "verdict",
        "forecast": f"{EAST}.predict",
    }
    assert {name: notice["agency"] for name, notice in told.items() if notice["agency"]} == {"forecast": EAST}


def test_the_report_gets_the_summed_run_time_of_every_stage_that_ran(runs):
    (spec,) = [spec for spec in runs["burnt"].found["specs"] if spec["stage"] == "report"]
    assert spec["seconds_by_stage"]["train"] == pytest.approx(4 * 0.5)
    assert spec["seconds_by_stage"]["manifest"] == pytest.approx(2 * 0.5)
    assert spec["seconds_by_stage"]["aggregate"] == pytest.approx(0.5)
    assert "report" not in spec["seconds_by_stage"]


def test_xcom_holds_stage_results_only(runs):
    for run in runs.values():
        assert run.found["xcom"]
        for _, key, value in run.found["xcom"]:
            assert key == "return_value"
            StageResult.model_validate_json(json.dumps(value if isinstance(value, dict) else json.loads(value)))


def test_lineage_has_one_start_and_one_end_for_every_task_that_ran(runs, home):
    events = collections.Counter()
    outputs = {}
    for line in (home / "openlineage.jsonl").read_text().splitlines():
        event = json.loads(line)
        run_id = event["run"]["facets"]["airflow"]["dagRun"]["run_id"]
        task = event["job"]["name"].partition(".")[2]
        events[run_id, task, event["eventType"]] += 1
        if event["eventType"] == "COMPLETE":
            outputs[run_id, task] = event["outputs"]
    for name, run in runs.items():
        run_id = run.found["airflow_run_id"]
        for task, state in run.states.items():
            tries = run.found["tries"][task]
            if state in ("success", "failed"):
                assert events[run_id, task, "START"] == tries, (name, task)
                assert events[run_id, task, "COMPLETE"] == (state == "success"), (name, task)
                assert events[run_id, task, "FAIL"] == tries - (state == "success"), (name, task)
        if CASES[name].get("dag") is None:
            (output,) = outputs[run_id, "prepare." + WEST + ".ingest"]
            assert (output["namespace"], output["name"]) == ("exchange", f"ingest:{WEST}")


def test_progress_tells_every_step_that_is_over_and_what_a_failed_one_said(runs, home):
    rows: list[str] = []
    progress = Progress(home / "log", rows.append)
    progress.read()
    progress.read()
    tries = sum(
        run.found["tries"][task]
        for run in runs.values()
        for task, state in run.states.items()
        if state in ("success", "failed") and not task.rpartition(".")[2].startswith("all_")
    )
    answered_skipped = sum("skipped" in row for row in rows)
    assert len(rows) == tries + answered_skipped
    assert any("round 1" in row and "train" in row and EAST in row and "failed: exit code 10" in row for row in rows)
    assert any("burnt" in row for row in rows)
    failed = next(step for step in progress.failed if step.title == "cohort")
    assert failed.lines == ("canary-environment []",)


def test_a_stage_does_not_get_airflows_settings(runs, home):
    lines = [line for line in (home / "log").read_text().splitlines() if "canary-environment" in line]
    assert lines
    assert all("canary-environment []" in line for line in lines)
    assert any("AIRFLOW" in name for name in os.environ)
