"""A data officer decides while the run waits: PySyft's own client, an OS user of its own, no worker held."""

from __future__ import annotations

import json

import pytest
from fl_airflow.graph import OFFICERS, RECEIVE
from fl_airflow.installation import federated_run_id

from fl_tasks.approvals.places import delivery_folder, key_path
from tests.federation.site import DAG, SCENARIO

pytestmark = pytest.mark.timeout(1800)


def test_nothing_of_an_agencys_data_is_touched_before_the_officer_has_decided(site, watched):
    states = watched.asked
    assert states[OFFICERS] == "deferred", "it waits without a worker"
    for host in site.hosts:
        assert states[RECEIVE.format(host.name)] == "success"
    begun = {name for name, state in states.items() if state is not None}
    assert begun == {"plan", "all_received", OFFICERS, *(RECEIVE.format(host.name) for host in site.hosts)}


def test_the_officer_was_shown_the_plan_mock_data_and_the_digest_that_the_coordinator_sent(site, watched, officer):
    lines = watched.shown.splitlines()
    run_id = federated_run_id(SCENARIO, watched.id)
    assert lines[0] == f"PLAN of run {run_id}, signed by the coordinator, for {officer.host.name}"
    assert any(line.startswith(f"MOCK DATA of {SCENARIO}") for line in lines)
    assert f"DIGEST {site.report(watched.id).approvals[officer.host.name].plan_sha256}" in lines


def test_the_report_says_who_decided_at_each_agency(site, run, officer):
    answers = site.report(run).approvals
    by = {agency: (answer.verdict, answer.by, answer.trial) for agency, answer in answers.items()}
    others = {host.name: ("approved", "policy", False) for host in site.hosts if host != officer.host}
    assert by == {officer.host.name: ("approved", "officer", False), **others}
    assert answers[officer.host.name].decision is not None


@pytest.mark.parametrize("who", ["the daemon", "the worker", "the coordinator", "another daemon"])
def test_the_officers_key_is_unreadable_for_every_other_user(site, officer, who):
    host = officer.host
    uid = {
        "the daemon": host.daemon_uid,
        "the worker": host.worker_uid,
        "the coordinator": site.layout.uid,
        "another daemon": site.hosts[0].daemon_uid,
    }[who]
    assert "Permission denied" in site.on_host(host, uid, ["cat", str(key_path(officer.folder))]).stderr
    assert site.on_host(host, officer.uid, ["test", "-r", str(key_path(officer.folder))]).returncode == 0


def test_the_officer_reads_plans_and_nothing_else_of_the_agency(site, run, officer):
    host = officer.host
    plan = delivery_folder(host.home, host.name, federated_run_id(SCENARIO, run)) / "plan"
    assert site.on_host(host, officer.uid, ["cat", str(plan)]).returncode == 0
    folder = host.home.agency(host.name)
    for path in (host.home.root, folder.parent, folder, folder / "keys" / "protocol.key", folder / "policy.yaml"):
        assert path.exists()
        done = site.on_host(host, officer.uid, ["cat" if path.is_file() else "ls", str(path)])
        assert "Permission denied" in done.stderr, path


def test_an_agency_whose_officer_rejects_is_left_out_and_the_others_go_on(site, run, officer):
    # An interval of its own: an agency refuses a second survivor set under one model and interval.
    id_ = site.begin(rounds=1, interval=["2012-03-01", "2012-03-30"])
    officer.asked(id_)
    officer.shown(id_)
    officer.fl("reject", federated_run_id(SCENARIO, id_), "--reason", "not this month")
    site.finish(id_)
    report = site.report(id_)
    name = officer.host.name
    assert set(report.cohort) == set(site.layout.file.agencies) - {name}
    assert report.approvals[name].verdict == "rejected"
    assert "not this month" not in report.model_dump_json(), "the reason stays at the agency"
    assert report.excluded[name] == "ingest: Rejected: The officer rejected the plan."
    cohort = f"/dags/{DAG}/dagRuns/{id_}/taskInstances/cohort/xcomEntries/return_value"
    assert report.excluded[name] in str(site.api.call("GET", cohort)["value"]), "as the UI shows it"
    events = map(json.loads, (officer.host.worker / "lineage" / "openlineage.jsonl").read_text().splitlines())
    failed = [one for one in events if one["eventType"] == "FAIL" and id_ in json.dumps(one)]
    assert [one["job"]["name"].partition(".")[2] for one in failed] == [f"prepare.{name}.ingest"]
    assert "Rejected" in json.dumps(failed[0]["run"]["facets"])
    states = {task: found["state"] for task, found in site.task_instances(DAG, id_).items()}
    assert states[f"prepare.{name}.ingest"] == "failed"
