"""A whole run with one agency missing and one round burnt: what is sent, kept, repeated, refused and reported.

The tests of this file share one run and follow its course, in this order.
"""

from __future__ import annotations

import gzip
import json
import logging
import struct

import pytest

from fl_tasks.contracts.data import Prepared, prepared_path
from fl_tasks.contracts.errors import ConfigError, QuorumMissing
from fl_tasks.contracts.report import Report
from fl_tasks.secagg.errors import RosterNotApproved, WeightTooLarge
from tests.learning_worker import lent_worker
from tests.stages.federation_run import AGENCIES, REPOSITORY, SCENARIO, Run

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / ".venv-fl" / "bin" / "python").exists(), reason="needs the learning environment: make setup"
)
ABSENT, *PRESENT = AGENCIES
# A speed that no generator gives: if it shows up anywhere outside the agency, a row has leaked.
CANARY = "61.7351937"


@pytest.fixture(scope="module", autouse=True)
def worker():
    with lent_worker():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Two rounds wanted, one to spare; the first agency's file is missing."""
    run = Run(tmp_path_factory.mktemp("run"), rounds=2)
    run.install()
    (run.home.agency(ABSENT) / "incoming" / "speed_5min.csv.gz").unlink()
    source = run.home.agency(PRESENT[0]) / "incoming" / "speed_5min.csv.gz"
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    cells = lines[700].split(",")
    lines[700] = ",".join([*cells[:3], CANARY, *cells[4:]])
    source.write_bytes(gzip.compress("\n".join(lines).encode()))
    return run


@pytest.fixture(scope="module")
def log():
    """Everything that the stages log in this process."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler = Keep(level=logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def test_a_missing_file_ends_ingest_for_good_and_is_named(run):
    ended = run.command("ingest", ABSENT)
    assert ended.returncode == 10
    assert "InputError" in ended.stderr
    assert "speed_5min.csv.gz" in ended.stderr
    assert not (run.spec("ingest", ABSENT).folder / "raw.parquet").exists()
    assert not run.spec("ingest", ABSENT).result_path.exists()


def test_a_cohort_below_the_threshold_fails_and_says_who_was_left_out(run):
    run.prepare(PRESENT[:2])
    with pytest.raises(QuorumMissing) as caught:
        run.stage("cohort")
    assert "2 agencies may take part, 3 are needed" in str(caught.value)
    assert ABSENT in str(caught.value)
    assert "speed_5min.csv.gz" in str(caught.value)


def test_the_run_goes_on_without_an_agency_while_the_threshold_holds(run, log):
    run.prepare(PRESENT[2:])
    assert run.stage("cohort").members == tuple(PRESENT)
    run.set_up(PRESENT)
    run.each("train", PRESENT, 1)
    assert not run.finish_round(PRESENT, 1).finished


def test_an_agency_that_was_left_out_has_nothing_to_do(run):
    assert run.stage("keys", ABSENT).status == "skipped"


def test_clearing_every_task_of_the_round_sends_the_same_bytes(run):
    before = run.sent()
    run.set_up(PRESENT)
    run.each("train", PRESENT, 1)
    run.finish_round(PRESENT, 1)
    assert run.stage("cohort").members == tuple(PRESENT)
    assert run.sent() == before


def test_the_delta_does_not_outlive_its_upload(run):
    for agency in PRESENT:
        left = [path.name for path in run.spec("train", agency, 1).folder.rglob("*.npz")]
        assert left == ["weights.npz"]


def test_a_weight_over_the_rosters_maximum_is_refused_before_training(run):
    path = prepared_path(run.spec("train", PRESENT[0], 2).folder)
    whole = path.read_bytes()
    prepared = Prepared.model_validate_json(whole)
    path.write_text(prepared.model_copy(update={"fit_windows": 400_001}).model_dump_json())
    try:
        with pytest.raises(WeightTooLarge, match=r"json: 400001 examples to train on, the roster admits 400000"):
            run.stage("train", PRESENT[0], 2)
    finally:
        path.write_bytes(whole)
    assert f"r/2/up/{PRESENT[0]}" not in run.sent()


def test_a_round_below_the_threshold_is_burnt_and_the_next_starts_from_the_same_model(run):
    run.each("train", PRESENT[:2], 2)
    assert run.stage("manifest", round_=2).burnt
    assert not run.stage("close_round", round_=2).finished
    sent = run.sent()
    assert sent["r/3/model.npz"] == sent["r/2/model.npz"] != sent["r/1/model.npz"]


def test_a_late_upload_of_a_burnt_round_changes_nothing(run):
    run.stage("manifest", round_=2)
    assert "r/2/manifest" not in run.sent()


def test_the_run_ends_after_the_wanted_number_of_aggregated_rounds(run):
    run.each("train", PRESENT, 3)
    assert run.finish_round(PRESENT, 3).finished


def test_the_report_says_what_became_of_everyone(run, log):
    run.each("evaluate", PRESENT)
    run.stage("gate")
    run.stage("promote")
    run.stage("report")
    assert not run.stage("verdict").failed
    report = Report.model_validate_json((run.home.report(run.run_id) / "report.json").read_bytes())
    assert report.gate is not None
    assert report.status == report.gate.decision
    assert report.gate.reference == "persistence"
    assert report.cohort == tuple(PRESENT)
    assert "speed_5min.csv.gz" in report.excluded[ABSENT]
    assert [item.status for item in report.rounds[:4]] == ["aggregated", "burnt", "aggregated", "skipped"]
    assert report.rounds[1].lost == {PRESENT[2]: "train"}
    assert report.rounds[0].survivors == tuple(PRESENT)
    overall = report.evaluation.overall
    assert overall.federated["15min"].n == sum(
        report.evaluation.agencies[agency].federated["15min"].n for agency in PRESENT
    )
    assert overall.federated["15min"].rmse < overall.persistence["15min"].rmse
    assert "<html" in (run.home.report(run.run_id) / "report.html").read_text()


def test_the_report_lists_everything_that_left_an_agency(run):
    report = json.loads((run.home.report(run.run_id) / "report.json").read_bytes())
    listed = {file["file"] for files in report["egress"].values() for file in files}
    coordinators = {"setup/cohort", "setup/list", "setup/close", "final/model", "final/model.npz"}
    coordinators |= {f"r/{r}/{name}" for r in (1, 2, 3) for name in ("model", "model.npz", "manifest", "burnt")}
    assert listed == set(run.sent()) - coordinators


def test_a_strangers_file_in_the_exchange_does_not_stop_the_report(run):
    before = (run.home.report(run.run_id) / "report.json").read_bytes()
    stray = run.exchange / "checks" / "stranger"
    stray.write_bytes(b"{}")
    try:
        run.stage("report")
    finally:
        stray.unlink()
    after = json.loads((run.home.report(run.run_id) / "report.json").read_bytes())
    assert after["egress"] == json.loads(before)["egress"]


def test_no_row_leaves_its_agency(run, log):
    """The canary stands in the raw data, and nowhere in messages, results, report or log."""
    raw = run.home.agency(PRESENT[0]) / "incoming" / "speed_5min.csv.gz"
    assert CANARY in gzip.decompress(raw.read_bytes()).decode()
    outside = [run.exchange, run.home.coordinator, run.home.report(run.run_id)]
    outside += [run.home.agency_run(agency, run.run_id) / "results" for agency in PRESENT]
    files = [path for folder in outside for path in folder.rglob("*") if path.is_file()]
    forms = (CANARY[:7].encode(), struct.pack("<d", float(CANARY)), struct.pack("<f", float(CANARY)))
    assert not [path for path in files if any(form in path.read_bytes() for form in forms)]
    assert log
    assert not [line for line in log if CANARY[:7] in line]


def test_another_configuration_than_the_cohorts_is_refused(run):
    path = run.federation / "scenarios" / f"{SCENARIO}.yaml"
    text = path.read_text()
    path.write_text(text.replace("seed: 7", "seed: 8"))
    try:
        ended = run.command("train", PRESENT[0], 3)
    finally:
        path.write_text(text)
    assert ended.returncode == 10
    assert "WrongSession" in ended.stderr
    assert "same version everywhere" in ended.stderr


def test_a_policy_that_admits_less_is_obeyed(run):
    path = run.home.agency(PRESENT[0]) / "policy.yaml"
    text = path.read_text()
    path.write_text(text.replace("max_clip: 20.0", "max_clip: 1.0"))
    try:
        ended = run.command("train", PRESENT[0], 3)
    finally:
        path.write_text(text)
    assert ended.returncode == 10
    assert "PolicyRefused" in ended.stderr
    assert f"field scenarios.{SCENARIO}.max_clip: the run wants 20.0, admitted is 1.0" in ended.stderr


def test_a_changed_roster_needs_a_new_approval(run):
    from fl_tasks.stages import enrol

    path = run.federation / "scenarios" / f"{SCENARIO}.yaml"
    text = path.read_text()
    path.write_text(text.replace("n_ref: 100000", "n_ref: 200000"))
    try:
        other = Run(run.federation.parent, rounds=1, run_id=f"{SCENARIO}__manual__other")
        with pytest.raises(ConfigError, match="differ from the approved roster"):
            other.stage("cohort")
        roster = enrol.init_coordinator(run.home, run.federation, SCENARIO)
        assert roster.version == 2
        with pytest.raises(RosterNotApproved, match="no proposed roster"):
            enrol.approve(run.home, SCENARIO, PRESENT[0], "0" * 64)
        assert enrol.approvals(run.home, roster) == set()
        enrol.approve(run.home, SCENARIO, PRESENT[0], roster.sha256.hex())
        assert enrol.approvals(run.home, roster) == {PRESENT[0]}
    finally:
        path.write_text(text)
