"""The events of a real run, embedded: valid, complete, and with nothing that has to stay at an agency."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager

import pytest
from fl_airflow.graph import OFFICERS
from fl_airflow.installation import REPOSITORY

from fl_tasks.contracts.lineage import ColumnFact, DatasetFacts
from fl_tasks.contracts.report import Report
from fl_tasks.contracts.stage import DatasetRef, StageResult
from tests.lineage import embedded_runs
from tests.lineage.conformance import facets_of, faults
from tests.lineage.embedded_runs import AGENCY, REJECTED, SENSOR, VALUE, completed, events_in, task_of
from tests.lineage.test_datasets import event_of

pytestmark = pytest.mark.timeout(900)  # the run counts in the first test's time


class Retrained:
    """The run, and what it left."""

    def __init__(self, home) -> None:
        self.home = home
        self.outcome = embedded_runs.retrain(home)
        self.events = events_in(self.outcome.folder / "openlineage.jsonl")
        self.completed = completed(self.events)
        self.report = Report.model_validate_json((self.outcome.folder / "report.json").read_bytes())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Retrained(tmp_path_factory.mktemp("home"))


@contextmanager
def receiver():
    """A server that keeps every OpenLineage event which it is sent."""
    kept = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def sent(run):
    """What a receiver got of a run whose only difference is OpenLineage's own configuration file."""
    with receiver() as (url, kept):
        config = run.home / "openlineage.yml"
        config.write_text(
            f"transport: {{type: http, url: '{url}', auth: {{type: api_key, apiKey: of-the-receiver}}}}\n"
        )
        embedded_runs.roll_back(run.home)
        config.unlink()
        return kept


def leaks(home, events):
    """What of an agency's own stands in events: canaries, and paths of this machine's disk."""
    text = json.dumps(events)
    needles = {"row": VALUE[:8], "undeclared column": SENSOR, "home": str(home), "checkout": str(REPOSITORY)}
    return {name for name, needle in needles.items() if needle in text}


def test_every_event_of_a_real_run_is_valid(run):
    assert run.outcome.green
    assert len(run.events) == 2 * (len(run.completed) + 1)  # an agency's data were rejected
    assert {task_of(event): faults(event) for event in run.events if faults(event)} == {}


def test_every_stage_of_every_agency_and_of_the_coordinator_has_data_sets(run):
    stages = {
        event["run"]["facets"]["huiliu_run"]["stage"]
        for task, event in run.completed.items()
        if task != OFFICERS  # which does no stage's work
    }
    assert stages == {
        *("plan", "receive"),
        *("ingest", "anonymize", "standardize", "validate", "cohort", "keys", "list", "shares", "ready", "close"),
        *("train", "manifest", "ack", "reveal", "aggregate", "close_round"),
        *("evaluate", "gate", "promote", "report", "verdict"),
    }
    for task, event in run.completed.items():
        assert event["inputs"] or event["outputs"] or task == OFFICERS, task
        for dataset in (*event["inputs"], *event["outputs"]):
            assert dataset["facets"]["dataSource"]["uri"].startswith("huiliu://")


def test_an_agencys_data_have_schema_column_lineage_and_assertions(run):
    for stage in ("ingest", "anonymize", "standardize", "validate"):
        event = run.completed[f"prepare.{AGENCY}.{stage}"]
        assert event["run"]["facets"]["huiliu_run"]["agency"] == AGENCY
        for dataset in (*event["inputs"], *event["outputs"]):
            assert dataset["namespace"] == f"agency:{AGENCY}"
            assert dataset["facets"]["schema"]["fields"]
        for dataset in event["outputs"]:
            assert dataset["facets"]["columnLineage"]["fields"]
    (judged,) = run.completed[f"prepare.{AGENCY}.validate"]["inputs"]
    assertions = judged["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert len(assertions) > 10
    assert all(isinstance(entry["success"], bool) and "actual" not in entry for entry in assertions)


def test_data_that_were_rejected_have_their_assertions_in_the_event_of_the_failure(run):
    (failed,) = [
        event
        for event in run.events
        if event["eventType"] == "FAIL" and task_of(event) == f"prepare.{REJECTED}.validate"
    ]
    (judged,) = failed["inputs"]
    assertions = judged["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {entry["success"] for entry in assertions} == {True, False}
    assert REJECTED not in run.report.cohort


def test_a_model_is_the_same_by_its_hash_from_the_sum_to_the_registry(run):
    sha256 = run.report.model.sha256
    tasks = {
        "round_01.aggregate": "outputs",
        "round_01.close_round": "outputs",
        f"evaluate.{AGENCY}": "inputs",
        "gate": "inputs",
        "promote": "outputs",
    }
    for task, side in tasks.items():
        hashes = {
            dataset["facets"]["huiliu_model"]["sha256"]
            for dataset in run.completed[task][side]
            if "huiliu_model" in dataset["facets"]
        }
        assert hashes == {sha256}, task
    (promoted,) = [ref for ref in run.completed["promote"]["outputs"] if "version" in ref["facets"]]
    assert promoted["facets"]["version"]["datasetVersion"] == str(run.report.model.version)


def test_a_rounds_sum_says_how_many_agencies_are_in_it(run):
    facet = dict(facets_of(run.completed["round_01.aggregate"]))["huiliu_run"]
    assert (facet["round"], facet["survivors"]) == (1, len(run.report.rounds[0].survivors))


def test_no_canary_and_no_path_of_the_disk_is_in_an_event(run):
    assert leaks(run.home, run.events) == set()


def test_the_canaries_are_in_the_agencys_folder_and_planted_leaks_are_found(run):
    import pyarrow.parquet as pq

    raw = pq.read_table(run.home / "agencies" / AGENCY / "runs" / run.report.run_id / "raw.parquet")
    assert float(VALUE) in raw.column(SENSOR).to_pylist()
    columns = tuple(ColumnFact(name=name, type="number") for name in raw.column_names)
    leak = DatasetRef(namespace=f"agency:{AGENCY}", name="raw.parquet", facts=DatasetFacts(columns=columns))
    path = DatasetRef(namespace=f"agency:{AGENCY}", name=str(run.home / "agencies"))
    row = DatasetRef(namespace=f"agency:{AGENCY}", name=f"value {raw.column(SENSOR).to_pylist()[699]}")
    for ref, found in ((leak, "undeclared column"), (path, "home"), (row, "row")):
        planted = event_of(StageResult(stage="ingest", status="done", inputs=(ref,)))
        assert leaks(run.home, [*run.events, planted]) == {found}


def test_another_transport_takes_no_more_than_openlineages_own_configuration(run, sent):
    assert not (run.home / "by_default.jsonl").exists()
    assert {(path, key) for path, key, _ in sent} == {("/api/v1/lineage", "Bearer of-the-receiver")}
    events = [event for *_, event in sent]
    assert [event["eventType"] for event in events] == ["START", "FAIL"]
    assert [fault for event in events for fault in faults(event)] == []


def test_a_failures_event_says_why_without_a_trace_or_a_path(run, sent):
    events = [event for *_, event in sent]
    error = events[-1]["run"]["facets"]["errorMessage"]
    assert "rollback failed" in error["message"]
    assert "stackTrace" not in error
    assert leaks(run.home, events) == set()


def test_the_file_stays_the_transport_where_nothing_else_is_configured(run):
    embedded_runs.roll_back(run.home)
    assert [event["eventType"] for event in events_in(run.home / "by_default.jsonl")] == ["START", "FAIL"]
