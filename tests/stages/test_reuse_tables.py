"""A table's stages are skipped as those of series are; where a run's own pseudonyms stand in the rows, never."""

from __future__ import annotations

import importlib.util
import json

import pytest

from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.base import sha256_file, sha256_hex
from fl_tasks.contracts.data import deidentified_path, preparation_path, privacy_path, quarantine_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import write_spec

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

from fl_tasks.stages import enrol, reuse
from fl_tasks.stages.runner import run_stage
from fl_tasks.stages.series.anonymize import pseudonym_secret_path
from fl_tasks.stages.tables import anonymize
from tests.stages.table_stages import (
    AGENCY,
    AGENCY_YAML,
    INTERVAL,
    SCENARIO,
    SCENARIO_YAML,
    agreed,  # noqa: F401 - a fixture
    changed,
    deliver,
    files_of,
    folder_of,
    make_home,
    people,
    preparation,
    spec_of,
)

TAKEN = ("ingest", "anonymize", "standardize")
# Nothing is hashed with a run's key: identifiers are dropped, and no row is told from others by a household.
PLAIN = {
    "scenario": changed(
        SCENARIO_YAML, ("    - {column: household, role: key}\n", ""), ("treatment: hash", "treatment: drop")
    ),
    "agency": changed(
        AGENCY_YAML,
        ("hh: household, ", ""),
        ("phone: hash", "phone: drop"),
        ("    identifier_kinds: {phone: mobile}\n", ""),
    ),
}
FORECAST = {"kind": "forecast."}


def found(home):
    enrol.init_agency(Home(home), home / "federation", SCENARIO, AGENCY)
    return home


@pytest.fixture
def plain(tmp_path, agreed):  # noqa: F811
    return found(make_home(tmp_path, **PLAIN))


@pytest.fixture
def hashed(tmp_path, agreed):  # noqa: F811
    return found(make_home(tmp_path))


def run(home, name, *, stages=TAKEN, **more):
    return {stage: run_stage(write_spec(spec_of(home, stage, run=name, **more))) for stage in stages}


def reused(results):
    return {
        stage for stage, result in results.items() if result.reason.startswith("reused: all that it reads is as in")
    }


def files(home, name, **more):
    """All that the stages leave; specs and results name the run and the time it took."""
    left = files_of(folder_of(home, run=name, **more))
    return {path: data for path, data in left.items() if path.parts[0] not in {"specs", "results"}}


def forget(home):
    for path in reuse.records_folder(Home(home).agency(AGENCY), SCENARIO).glob("*"):
        path.unlink()


def test_a_table_that_is_the_same_is_taken_as_it_would_be_made(plain):
    first, second = run(plain, "first"), run(plain, "second")
    assert (reused(first), reused(second)) == (set(), set(TAKEN))
    forget(plain)
    assert reused(run(plain, "anew")) == set()
    assert files(plain, "second") == files(plain, "anew") == files(plain, "first")
    left = {path.name for path in files(plain, "second")}
    assert {"rejected.parquet", "quarantine.parquet", "privacy.json", "features.npy", "preparation.json"} <= left
    for stage in TAKEN:
        assert second[stage].counts == first[stage].counts
        assert second[stage].digests == first[stage].digests


def test_the_taken_privacy_report_is_of_the_taken_rows_and_passes_validation(plain):
    run(plain, "first", stages=(*TAKEN, "validate"))
    second = run(plain, "second", stages=(*TAKEN, "validate"))
    assert reused(second) == set(TAKEN)
    folder = folder_of(plain, run="second")
    report = PrivacyReport.model_validate_json(privacy_path(folder).read_bytes())
    assert report.sha256 == sha256_file(deidentified_path(folder))
    assert second["validate"].status == "done"
    assert second["validate"].digests == run(plain, "third", stages=(*TAKEN, "validate"))["validate"].digests


def test_a_privacy_report_of_other_rows_is_not_taken_though_its_record_was_changed_with_it(plain, caplog):
    run(plain, "first")
    whole = files(plain, "first")
    path = privacy_path(folder_of(plain, run="first"))
    path.write_bytes(path.read_bytes().replace(json.loads(path.read_bytes())["sha256"].encode(), b"0" * 64))
    (record,) = reuse.records_folder(Home(plain).agency(AGENCY), SCENARIO).glob("anonymize.*")
    text = json.loads(record.read_bytes())
    text["files"]["privacy.json"] = sha256_hex(path.read_bytes())
    record.write_text(json.dumps(text))
    assert "anonymize" not in reused(run(plain, "second"))
    assert files(plain, "second") == whole


def the_hierarchy(home, monkeypatch):
    path = home / "federation" / "hierarchies" / SCENARIO / "county.csv"
    path.write_text(path.read_text().replace(",11**,", ",one,"))


def the_levels(home, monkeypatch):
    monkeypatch.setattr(anonymize, "agreed", lambda spec: preparation(spec.home, {"age": 2, "county": 1, "sex": 0}))


def the_secret(home, monkeypatch):
    pseudonym_secret_path(Home(home).agency(AGENCY)).write_bytes(bytes(range(1, 33)))


@pytest.mark.parametrize(
    ("change", "stays"),
    [(the_hierarchy, set()), (the_levels, {"ingest"}), (the_secret, {"ingest"})],
)
def test_a_change_of_what_only_tables_read_makes_its_stages_work_anew(plain, monkeypatch, change, stays):
    run(plain, "first")
    change(plain, monkeypatch)
    second = run(plain, "second")
    assert reused(second) == stays
    forget(plain)
    run(plain, "anew")
    assert files(plain, "second") == files(plain, "anew")


def test_pseudonyms_are_made_anew_in_every_run(hashed):
    run(hashed, "first", stages=(*TAKEN, "validate"))
    second = run(hashed, "second", stages=(*TAKEN, "validate"))
    assert reused(second) == {"ingest"}
    assert second["validate"].status == "done"
    one, other = (deidentified_path(folder_of(hashed, run=name)).read_bytes() for name in ("first", "second"))
    assert one != other


def test_rejected_rows_whose_text_is_masked_with_the_runs_key_are_made_anew(tmp_path, agreed):  # noqa: F811
    rows = people(400)
    for row in rows[:5]:
        row["health"] = row["phone"]  # a column shifted by one
    home = found(make_home(tmp_path, rows, **PLAIN))
    run(home, "first")
    assert reused(run(home, "second")) == {"ingest", "standardize"}  # the rows that are left are the same
    one, other = (quarantine_path(folder_of(home, run=name)).read_bytes() for name in ("first", "second"))
    assert one != other


def test_a_run_that_scores_takes_nothing_from_a_retraining_but_from_another_that_scores(plain):
    run(plain, "march", stages=(*TAKEN, "validate"))
    assert reused(run(plain, "march_again", stages=(*TAKEN, "validate"))) == set(TAKEN)
    assert reused(run(plain, "scores", **FORECAST)) == set()
    assert not privacy_path(folder_of(plain, run="scores", **FORECAST)).exists()
    assert reused(run(plain, "scores_again", **FORECAST)) == set(TAKEN)
    assert files(plain, "scores_again", **FORECAST) == files(plain, "scores", **FORECAST)
    assert reused(run(plain, "march_last")) == set(TAKEN)


def test_what_a_stage_did_not_leave_is_not_there_after_it_was_skipped(plain):
    run(plain, "scores", **FORECAST)
    folder = folder_of(plain, run="scores_again", **FORECAST)
    run(plain, "scores_again", stages=("ingest",), **FORECAST)
    privacy_path(folder).write_text("of an earlier try")
    assert reused(run(plain, "scores_again", stages=("anonymize",), **FORECAST)) == {"anonymize"}
    assert not privacy_path(folder).exists()
    assert preparation_path(folder).exists()


def test_new_rows_are_read(plain):
    run(plain, "first")
    deliver(plain, people(400, seed=2))
    assert reused(run(plain, "second")) == set()
    later = (INTERVAL[0], INTERVAL[1].replace(day=2))
    assert reused(run(plain, "later", interval=later)) == {"anonymize", "standardize"}  # it found the same rows
