"""Retention, backup and restore between real runs: what comes after them still works.

The tests of this file share one installation and follow its course, in this order.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from fl_tasks.contracts.stage import StageSpec, write_spec
from fl_tasks.data.forecast_files import forecast_path
from fl_tasks.secagg.errors import JournalBroken
from fl_tasks.stages.runner import run_stage
from fl_tasks.upkeep.agency_backup import back_up_agency, restore_agency
from fl_tasks.upkeep.agency_runs import retain_agency
from fl_tasks.upkeep.archive import BackupRefused
from fl_tasks.upkeep.coordinator_runs import retain_coordinator
from fl_tasks.upkeep.retain import Limits
from tests.learning_worker import lent_worker
from tests.stages.federation_run import AGENCIES, INTERVAL, REPOSITORY, SCENARIO, Run

pytestmark = [
    pytest.mark.timeout(900),  # four agencies train before the first test
    pytest.mark.skipif(
        not (REPOSITORY / ".venv-fl" / "bin" / "python").exists(), reason="needs the learning environment: make setup"
    ),
]
AGENCY = AGENCIES[0]
FIRST, SECOND, THIRD, FOURTH = (f"{SCENARIO}__manual__{number}" for number in (1, 2, 3, 4))
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=100)
LIMITS = Limits(days=60, keep=1)


@pytest.fixture(scope="module", autouse=True)
def worker():
    with lent_worker():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """One promoted run, and a second one that came to its data only."""
    run = Run(tmp_path_factory.mktemp("run"), rounds=1, run_id=FIRST)
    # One round is not always enough to beat persistence; what is wanted here is a champion.
    run.install([("share_better: 0.75", "share_better: 0.0"), ("tolerance: 0.02", "tolerance: 1.0")])
    run.stage("plan")
    run.stage("receive", AGENCY)
    set_up(run)
    run.each("train", AGENCIES, 1)
    run.finish_round(AGENCIES, 1)
    run.each("evaluate", AGENCIES)
    for stage in ("gate", "promote", "report", "verdict"):
        run.stage(stage)
    run.run_id = SECOND
    run.prepare(AGENCIES)
    age(run.home.root, FIRST)
    return run


@pytest.fixture(scope="module")
def archive(run) -> Path:
    return run.home.root.parent / "agency.tar"


def set_up(run):
    run.prepare(AGENCIES)
    run.stage("cohort")
    run.set_up(AGENCIES)


def age(root: Path, run_id: str) -> None:
    """Let a run's files be an hour older than the next one's."""
    for folder in root.rglob(run_id):
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))


def tree(root: Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}


def forecast(run, name: str):
    """Forecast at one agency; gives the results of ingest and predict."""
    results = {}
    for stage in ("ingest", "anonymize", "standardize", "predict"):
        spec = StageSpec(
            stage=stage,
            scenario=SCENARIO,
            run_id=f"forecast.{SCENARIO}__{name}",
            data_interval=INTERVAL,
            home=run.home.root,
            federation=run.federation,
            agency=AGENCY,
        )
        results[stage] = run_stage(write_spec(spec))
    return results["ingest"], results["predict"]


def test_the_run_was_promoted(run):
    assert run.home.registry(SCENARIO).joinpath("champions", "1.json").exists()


def test_nothing_goes_while_a_session_may_go_on(run):
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    before = tree(run.home.root)
    assert retain_agency(run.home, AGENCY, Limits(days=1, keep=1), soon, dry_run=False) == []
    assert retain_coordinator(run.home, Limits(days=1, keep=1), soon, dry_run=False) == []
    assert tree(run.home.root).keys() >= before.keys()


def test_a_dry_run_removes_nothing(run):
    before = tree(run.home.root)
    assert [one.run_id for one in retain_agency(run.home, AGENCY, LIMITS, LATER, dry_run=True)] == [FIRST]
    assert [one.run_id for one in retain_coordinator(run.home, LIMITS, LATER, dry_run=True)] == [FIRST]
    assert tree(run.home.root) == before


def test_what_no_later_run_needs_goes_and_the_rest_stays(run):
    home = run.home
    before = tree(home.root)
    agency, others = f"agencies/{AGENCY}", [f"agencies/{other}" for other in AGENCIES[1:]]
    retain_agency(home, AGENCY, LIMITS, LATER, dry_run=False)
    left = tree(home.root)
    gone = before.keys() - left.keys()
    delivered = f"deliveries/{AGENCY}/{FIRST}/"
    assert all(name.startswith((f"{agency}/runs/{FIRST}/", f"{agency}/prepared/", delivered)) for name in gone)
    assert {f"{delivered}plan", f"{delivered}code.tar.xz"} <= gone
    assert [name for name in left if name.startswith(f"{agency}/runs/{FIRST}/")] == [
        f"{agency}/runs/{FIRST}/prepared.json"
    ]
    for kept in ("keys", "approved", "secagg", "head", "incoming", f"runs/{SECOND}"):
        found = {name for name in before if name.startswith(f"{agency}/{kept}/")}
        assert found, kept
        assert found <= left.keys(), kept

    retain_coordinator(home, LIMITS, LATER, dry_run=False)
    last = tree(home.root)
    assert {name.split("/")[-1] for name in left.keys() - last.keys()} >= {"cohort", "model.npz", "gate.json"}
    places = (f"exchange/{FIRST}/", f"coordinator/runs/{FIRST}/")
    assert all(name.startswith(places) for name in left.keys() - last.keys())
    assert not [name for name in last if name.startswith(places)]
    assert {f"runs/{FIRST}/report.json", f"runs/{FIRST}/report.html"} <= last.keys()  # of a promoted model
    for kept in (*others, "exchange/registry", "exchange/rosters", "coordinator/mlflow", "coordinator/keys"):
        assert {name for name in left if name.startswith(f"{kept}/")} <= last.keys(), kept


def test_a_second_call_finds_nothing(run):
    assert retain_agency(run.home, AGENCY, LIMITS, LATER, dry_run=False) == []
    assert retain_coordinator(run.home, LIMITS, LATER, dry_run=False) == []


def test_a_forecast_takes_its_data_from_the_newest_run_and_uses_the_champion(run):
    ingest, predict = forecast(run, "after")
    assert f"as in {SECOND}" in ingest.reason
    assert (predict.status, predict.version) == ("done", 1)
    assert forecast_path(run.home.agency(AGENCY), SCENARIO, f"forecast.{SCENARIO}__after").exists()


def test_a_backup_is_put_back_before_any_later_round(run, archive):
    done = back_up_agency(run.home, AGENCY, archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    inside = set(done.files)
    wanted = ("keys/protocol.key", "policy.yaml", "approved/code.json", f"approved/{SCENARIO}.json")
    assert {*wanted, f"secagg/{SCENARIO}/journal.jsonl", f"runs/{FIRST}/prepared.json"} <= inside
    rows = (".parquet", ".npy", ".npz", ".gz", ".csv")
    assert not [name for name in inside if name.endswith(rows) or name.startswith(("head/", "incoming/"))]
    assert not [name for name in inside if name.startswith("secagg/") and name.count("/") > 2]  # secrets of sessions
    for name in wanted:
        (run.home.agency(AGENCY) / name).unlink()
    assert restore_agency(run.home, AGENCY, archive) == done


def test_the_next_run_comes_to_its_sessions(run):
    run.run_id = THIRD
    set_up(run)
    assert (run.exchange / "setup" / "close").exists()


def test_a_journal_that_is_older_than_the_head_is_not_put_back(run, archive):
    before = tree(run.home.agency(AGENCY))
    with pytest.raises(BackupRefused, match="--journal-lost") as caught:
        restore_agency(run.home, AGENCY, archive)
    assert "nothing was changed" in str(caught.value)
    assert tree(run.home.agency(AGENCY)) == before


def test_where_the_newer_journal_is_lost_open_sessions_stay_refused_until_a_new_run(run, archive):
    restore_agency(run.home, AGENCY, archive, journal_lost=True)
    with pytest.raises(JournalBroken, match="until a new run starts"):
        run.stage("shares", AGENCY)
    run.run_id = FOURTH
    set_up(run)
    assert (run.exchange / "setup" / "close").exists()
