"""Two months in a row without a hand: retrained by the schedule, used by the promotion, rolled back, filled in.

Four made-up cities, two of them replayed from other years. The tests of this file follow each other.
"""

from __future__ import annotations

import datetime as dt
import json
import time

import pyarrow.parquet as pq
import pytest
from fl_airflow.installation import federated_run_id, forecast_dag_id, retraining_dag_id, rollback_dag_id
from mlflow import MlflowClient

from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.paths import Home
from fl_tasks.data.forecast_files import forecast_path
from tests.faults import canary
from tests.faults.conftest import MONTHLY
from tests.faults.faulty_run import SECONDS, by_hand, change_scenario
from tests.faults.test_canary import database_url
from tests.server.airflow_server import OVER

pytestmark = pytest.mark.timeout(2400)
RETRAINING, FORECAST, ROLLBACK = (name(MONTHLY) for name in (retraining_dag_id, forecast_dag_id, rollback_dag_id))
APRIL = ["2018-04-01T04:00:00+00:00", "2018-05-01T04:00:00+00:00"]
MAY = [APRIL[1], "2018-06-01T04:00:00+00:00"]
JUNE = [MAY[1], "2018-07-01T04:00:00+00:00"]


def until_over(server, dag_id, count):
    """Wait for the first runs of a DAG; gives all that there are."""
    end = time.monotonic() + count * SECONDS
    while True:
        runs = server.runs(dag_id)
        if len(runs) >= count and all(run["state"] in OVER for run in runs[:count]):
            return runs
        assert time.monotonic() < end, [(run["dag_run_id"], run["state"]) for run in runs]
        time.sleep(1)


def report_of(home, airflow_run_id):
    run_id = federated_run_id(MONTHLY, airflow_run_id)
    return json.loads((home / "runs" / run_id / "report.json").read_bytes())


def chain(home):
    """What the records of the chain of champions say."""
    folder = Home(home).registry(MONTHLY) / "champions"
    paths = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    return [json.loads(path.read_bytes())["body"] for path in paths]


def forecasts(home, dags, airflow_run_id):
    """The forecast of each agency in one run of the forecast DAG."""
    run_id = federated_run_id(MONTHLY, airflow_run_id, "forecast")
    members = [member.agency for member in load_federation(dags / "federation").members(MONTHLY)]
    return {
        member: pq.read_table(forecast_path(Home(home).agency(member), MONTHLY, run_id)).to_pylist()
        for member in members
    }


@pytest.fixture(scope="module")
def months(installation):
    """Let the schedule run May and June and no more; gives the runs of the two DAGs."""
    server, _, _ = installation
    server.unpause(FORECAST)
    server.unpause(RETRAINING)
    runs = until_over(server, RETRAINING, 2)
    server.pause(RETRAINING)
    for run in server.runs(RETRAINING)[2:]:
        server.give_up(RETRAINING, run["dag_run_id"])
    return runs[:2], until_over(server, FORECAST, 2)


def test_two_months_in_a_row_run_by_the_schedule(installation, months):
    _, home, dags = installation
    runs, _ = months
    assert [(run["run_type"], run["state"]) for run in runs] == [("scheduled", "success")] * 2
    reports = [report_of(home, run["dag_run_id"]) for run in runs]
    intervals = [[dt.datetime.fromisoformat(time) for time in report["data_interval"]] for report in reports]
    assert intervals == [[dt.datetime.fromisoformat(time) for time in month] for month in (MAY, JUNE)]
    assert runs[0]["end_date"] <= runs[1]["start_date"]
    members = [member.agency for member in load_federation(dags / "federation").members(MONTHLY)]
    assert [report["cohort"] for report in reports] == [sorted(members)] * 2
    assert [report["status"] for report in reports] == ["promoted"] * 2


def test_the_second_month_is_held_against_the_first_ones_champion(installation, months):
    _, home, _ = installation
    first, second = (report_of(home, run["dag_run_id"]) for run in months[0])
    assert first["gate"]["reference"] == "persistence"
    assert second["gate"]["reference"] == f"version {first['model']['version']}"
    assert all(item["champion"] for item in second["evaluation"]["agencies"].values())


def test_each_promotion_starts_a_forecast_of_every_agency_with_the_new_version(installation, months):
    _, home, dags = installation
    _, runs = months
    assert [(run["run_type"], run["state"]) for run in runs] == [("asset_triggered", "success")] * 2
    for run, record in zip(runs, chain(home), strict=True):
        for agency, rows in forecasts(home, dags, run["dag_run_id"]).items():
            assert rows, agency
            used = {(row["model_version"], row["model_sha256"]) for row in rows}
            assert used == {(record["version"], record["model_sha256"])}, agency


def test_a_rollback_restores_the_former_champion_and_the_next_forecast_uses_it(installation, months):
    server, home, dags = installation
    assert server.wait(ROLLBACK, server.trigger(ROLLBACK)) == "success"
    may, june, restored = chain(home)
    assert [record["action"] for record in (may, june, restored)] == ["promote", "promote", "rollback"]
    assert (restored["version"], restored["model_sha256"]) == (may["version"], may["model_sha256"])
    assert champion_of_mlflow(home) == may["version"]
    run = server.trigger(FORECAST, {"interval": JUNE})
    assert server.wait(FORECAST, run, timeout=SECONDS) == "success", server.failures(FORECAST, run)
    for agency, rows in forecasts(home, dags, run).items():
        assert {row["model_version"] for row in rows} == {may["version"]}, agency


def backfill(server, month, *words):
    """Let Airflow make the runs of one month, by the how-to's command; gives what it said."""
    done = server.command(
        *("airflow", "backfill", "create", "--dag-id", RETRAINING, "--max-active-runs", "1"),
        *("--from-date", month, "--to-date", month, *words),
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def listed(server, month, *words):
    """Whether the month that begins then is among those that a dry run names."""
    said = backfill(server, month, *words, "--dry-run")
    _, head, runs = said.partition("Runs to be attempted:")
    assert head, said
    return f"{month[:10]} {month[11:16]}" in runs


def test_a_backfill_trains_on_a_past_month_is_held_and_does_not_move_todays_champion(installation, months):
    server, home, dags = installation
    before = chain(home)
    change_scenario(dags, MONTHLY, by_hand)  # the schedule would go on with July
    server.parse(RETRAINING)
    server.unpause(RETRAINING)
    forecasts_before = len(server.runs(FORECAST))
    assert listed(server, APRIL[0])
    backfill(server, APRIL[0])
    (run,) = (run for run in server.runs(RETRAINING) if run["run_type"] == "backfill")
    id_ = run["dag_run_id"]
    assert server.wait(RETRAINING, id_, timeout=SECONDS) == "success", server.failures(RETRAINING, id_)
    report = report_of(home, id_)
    assert [dt.datetime.fromisoformat(time) for time in report["data_interval"]] == [
        dt.datetime.fromisoformat(time) for time in APRIL
    ]
    assert report["status"] == "held"
    assert report["gate"]["backfill"]
    assert chain(home) == before
    assert champion_of_mlflow(home) == before[-1]["version"]
    assert len(server.runs(FORECAST)) == forecasts_before


def test_a_month_that_has_a_run_is_backfilled_only_if_asked(installation, months):
    server, _, _ = installation
    assert not listed(server, MAY[0])
    assert listed(server, MAY[0], "--reprocess-behavior", "completed")


def test_a_bare_date_does_not_select_the_month_that_begins_on_it(installation, months):
    server, _, _ = installation
    assert not listed(server, APRIL[0][:10])


def test_a_plate_is_nowhere_outside_the_agency_that_drops_or_hashes_it(installation, months):
    _, home, _ = installation
    assert canary.search(canary.outside(home, database_url(home)), canary.plate_needles()) == {}
    inside = canary.search(canary.inside(home), canary.plate_needles())["plate"]
    for agency in canary.PLATE_FILES:
        names = [name for name in inside if name.startswith(f"agencies/{agency}/")]
        # In what came in, and in no file of a run after its anonymize.
        assert any("/incoming/" in name for name in names)
        assert {name.rsplit("/", 1)[1] for name in names if "/incoming/" not in name} == {"raw.parquet"}


def champion_of_mlflow(home):
    client = MlflowClient(f"sqlite:///{Home(home).mlflow / 'mlflow.db'}")
    return int(client.get_model_version_by_alias(MONTHLY, "champion").version)
