"""No data are opened but under the officer's own word on exactly this plan; each attack is told apart from the others.

PySyft's side is PySyft's own client, in a process of its own.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.approvals import errors
from fl_tasks.approvals.delivery import PLAN_LABEL
from fl_tasks.approvals.places import record_path
from fl_tasks.approvals.pysyft import job_files
from fl_tasks.approvals.records import write_record
from fl_tasks.contracts.base import sha256_hex
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.context import load_key, protocol_key_path
from tests.approvals.attack import changed, flipped, open_session, refused
from tests.approvals.site import AGENCY, APRIL, INTERVALS, JUNE, MARCH, NOW
from tests.stages.federation_run import AGENCIES, SCENARIO

DAY = dt.timedelta(days=1)


def test_an_approved_plan_opens_the_data_at_every_stage_of_its_run(site):
    decision = site.decide()
    assert [site.check() for _ in range(3)] == [decision] * 3
    open_session(site, MARCH, NOW + DAY)
    assert site.check() == decision


def test_the_survey_of_a_retraining_is_opened_by_the_retrainings_approval(site):
    decision = site.decide()
    assert site.check_spec(site.spec("count", f"survey.{MARCH}", AGENCY, round=1)) == decision


@pytest.mark.parametrize("change", [flipped, lambda data: data + b"\n", lambda data: data[:-1]])
@pytest.mark.parametrize("name", ["plan", "code.tar.xz"])
def test_an_altered_delivery(site, name, change):
    site.decide()
    with changed(site.laid_out() / name, change):
        refused(site, errors.DeliveryAltered)
    site.check()


@pytest.mark.parametrize("name", ["plan", "code.tar.xz"])
def test_a_delivery_that_is_not_there(site, name):
    site.decide()
    with changed(site.laid_out() / name, lambda _: None):
        refused(site, errors.DeliveryMissing)
    site.check()


def test_a_plan_that_another_than_the_coordinator_signed(site):
    site.decide()
    forged = sign_record(load_key(protocol_key_path(site.home.agency(AGENCIES[1]))), PLAN_LABEL, site.plan())
    with changed(site.laid_out() / "plan", lambda _: forged):
        refused(site, errors.DeliveryAltered)
    site.check()


def test_a_plan_of_another_agency_or_run_that_the_coordinator_did_sign(site):
    site.decide()
    other = site.home.exchange(MARCH) / "plan" / "to" / AGENCIES[1]
    with changed(site.laid_out() / "plan", lambda _: other.read_bytes()):
        assert "different are agency. " in refused(site, errors.PlanMismatch)
    with changed(site.laid_out() / "plan", lambda _: (site.laid_out(APRIL) / "plan").read_bytes()):
        assert f"the plan is of run {APRIL}" in refused(site, errors.PlanMismatch)
    site.check()


def test_a_record_with_a_wrong_digest(site):
    wrong = site.decide(plan_sha256=sha256_hex(b"another plan"))
    refused(site, errors.DecisionOnAnotherPlan)
    site.record(wrong).unlink()
    site.decide()
    site.check()


def signed_again(site, plan):
    """Sign a plan as the coordinator, who may change its mind."""
    return sign_record(load_key(protocol_key_path(site.home.coordinator)), PLAN_LABEL, plan)


def test_a_plan_that_the_coordinator_changed_by_one_byte_and_signed_after_the_approval(site):
    site.decide()
    text = (site.federation / "scenarios" / f"{SCENARIO}.yaml").read_text()
    plan = site.plan()
    later = plan.model_copy(update={"terms": plan.terms.model_copy(update={"rounds": plan.terms.rounds + 1})})
    with changed(site.laid_out() / "plan", lambda _: signed_again(site, later)):
        assert "different are rounds" in refused(site, errors.PlanMismatch)
        # Even where the installation was changed alike: the officer saw the other one.
        (site.federation / "scenarios" / f"{SCENARIO}.yaml").write_text(text.replace("spare: 2", "spare: 3"))
        terms = site.wanted().terms
        assert terms.rounds == later.terms.rounds
        with changed(site.laid_out() / "plan", lambda _: signed_again(site, plan.model_copy(update={"terms": terms}))):
            refused(site, errors.DecisionOnAnotherPlan)
        (site.federation / "scenarios" / f"{SCENARIO}.yaml").write_text(text)
    site.check()


def test_a_run_of_the_same_name_for_another_month(site):
    site.decide()
    april = site.plan().model_copy(update={"data_interval": site.plan(APRIL).data_interval})
    with changed(site.laid_out() / "plan", lambda _: signed_again(site, april)):
        refused(site, errors.PlanMismatch)
        refused(site, errors.DecisionOnAnotherPlan, data_interval=INTERVALS[APRIL])
    refused(site, errors.PlanMismatch, data_interval=INTERVALS[APRIL])
    site.check()


def test_an_approval_with_pysyft_alone(site):
    site.pysyft(("approve", JUNE, "manual"))
    assert "what PySyft says alone opens nothing" in refused(site, errors.NotApproved, JUNE)
    site.decide(JUNE)
    site.check(JUNE)


def test_a_forged_state_file_without_a_record(site):
    site.decide()
    shutil.copy(site.state(MARCH), site.state(JUNE))
    refused(site, errors.NotApproved, JUNE)


@pytest.mark.parametrize(
    "forged",
    [
        {"approved_by": "coordinator@huiliu.invalid"},
        {"approved_at": None},
        {"approval_method": "auto"},
        {"approval_method": None},
        {"rejected_by": f"{AGENCY}@agency.invalid"},
        {"completed_at": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_a_forged_state_file_beside_the_record(site, forged):
    site.decide()
    with changed(site.state(), lambda data: yaml.safe_dump(yaml.safe_load(data) | forged).encode()):
        refused(site, errors.StateForged)
    site.check()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a file to another OS user")
def test_a_state_file_of_another_user_than_the_officer(site):
    site.decide()
    os.chown(site.state(), 12345, -1)
    assert "belongs to OS user 12345" in refused(site, errors.StateForged)
    os.chown(site.state(), os.getuid(), -1)
    site.check()


@pytest.mark.parametrize("status", ["received", "pending", "rejected", "running", "done", "failed"])
def test_a_state_other_than_approved(site, status):
    site.decide()
    with changed(site.state(), lambda data: yaml.safe_dump(yaml.safe_load(data) | {"status": status}).encode()):
        refused(site, errors.StateNotApproved)
    site.check()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"sudo: true\n",
        lambda data: data.replace(b"review_reason: null\n", b""),
        lambda data: data.replace(b"version: '1'", b"version: '2'"),
        lambda data: data.replace(b"version: '1'", b"version: 1"),
        lambda data: data.replace(b"status: approved", b"status: !!python/object:os.system approved"),
        lambda data: data.replace(b"review_reason: null", b"review_reason: [approved]"),
        lambda data: data + b"#" * 100_000,
        lambda _: b"\x00",
        lambda _: b"",
    ],
)
def test_a_state_that_pysyft_does_not_write(site, change):
    site.decide()
    with changed(site.state(), change):
        refused(site, errors.StateUnreadable)
    site.check()


def test_a_state_that_is_a_link_or_not_there(site, tmp_path):
    site.decide()
    kept = tmp_path / "kept"
    site.state().rename(kept)
    refused(site, errors.StateMissing)
    site.state().symlink_to(kept)
    refused(site, errors.StateUnreadable)
    site.state().unlink()
    kept.rename(site.state())
    site.check()


def test_a_record_replayed_for_another_month(site):
    decision = site.decide()
    site.pysyft(("approve", JUNE, "manual"))
    copy = record_path(site.officer, "decisions", "0" * 32)
    shutil.copy(site.record(decision), copy)
    refused(site, errors.NotApproved, JUNE)
    assert "holds the record" in refused(site, errors.RecordAltered)
    body = json.loads(copy.read_bytes())
    body["body"] |= {"run_id": JUNE, "id": "0" * 32, "plan_sha256": site.plan(JUNE).sha256}
    copy.write_text(json.dumps(body))
    refused(site, errors.RecordAltered, JUNE)
    copy.unlink()
    refused(site, errors.NotApproved, JUNE)
    site.check()


def test_a_record_replayed_for_another_job(site):
    wrong = site.decide(job=APRIL)
    refused(site, errors.DecisionOnAnotherJob)
    site.record(wrong).unlink()
    site.decide()
    site.check()


def test_a_record_of_the_same_officer_for_another_agency(site):
    site.decide(agency=AGENCIES[1])
    refused(site, errors.NotApproved)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"standing":null', b'"standing":"%s"' % (b"0" * 32)),
        lambda data: data.replace(b'"verdict":"approved"', b'"verdict":"rejected"'),
        lambda data: data.replace(b'"signature":"', b'"signature":"0'),
        lambda data: data[:-1],
        lambda _: b"",
        lambda _: b"[" * 100_000,
    ],
)
def test_an_edited_record(site, change):
    decision = site.decide()
    with changed(site.record(decision), change):
        refused(site, errors.RecordAltered)
    site.check()


def test_a_record_that_another_key_signed(site):
    decision = site.decide()
    path = site.record(decision)
    kept = path.read_bytes()
    path.unlink()
    write_record(site.officer, Ed25519PrivateKey.generate(), decision)
    refused(site, errors.RecordAltered)
    path.write_bytes(kept)
    site.check()


def test_old_records_do_not_bar_an_officers_new_key(site):
    site.decide(APRIL)
    site.__dict__["key"] = Ed25519PrivateKey.generate()
    site.pin()
    site.decide(MARCH)
    site.check(MARCH)
    refused(site, errors.RecordAltered, APRIL)


def a_link(path, outside):
    """Put a link to a file of the same content in a file's place."""
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize(
    "swap",
    [
        lambda inbox: (inbox / "code/fl_tasks/__main__.py").write_bytes(b"import socket\n"),
        lambda inbox: (inbox / "code/fl_tasks/new.py").write_bytes(b""),
        lambda inbox: (inbox / "code/fl_tasks/__main__.py").unlink(),
        lambda inbox: (inbox / "code/fl_tasks/__main__.py").rename(inbox / "code/fl_tasks/__main2__.py"),
        lambda inbox: (inbox / "code/main.py").write_bytes(b""),
        lambda inbox: (inbox / "code/plan.json").write_bytes(flipped((inbox / "code/plan.json").read_bytes())),
        lambda inbox: (inbox / "run.sh").write_bytes(b"#!/bin/sh\n"),
        lambda inbox: (inbox / "config.yaml").write_bytes(b""),
        lambda inbox: (inbox / ".hidden").write_bytes(b""),
        lambda inbox: a_link(inbox / "code/main.py", inbox.parent / "outside.py"),
        lambda inbox: (inbox / "code/expectations/away").symlink_to("/"),
        lambda inbox: os.mkfifo(inbox / "code/pipe"),
        shutil.rmtree,
    ],
)
def test_code_swapped_in_the_inbox(site, swap, tmp_path):
    site.decide()
    inbox = site.inbox()
    shutil.copytree(inbox, tmp_path / "kept")
    swap(inbox)
    refused(site, errors.JobAltered)
    shutil.rmtree(inbox, ignore_errors=True)
    (tmp_path / "kept").rename(inbox)
    site.check()


def test_code_that_was_swapped_before_the_officer_looked(site):
    kept = site.inbox() / "code" / "fl_tasks" / "__main__.py"
    with changed(kept, flipped):
        fooled = site.decide()
        assert "code/fl_tasks/__main__.py" in refused(site, errors.CodeMismatch)
    refused(site, errors.JobAltered)
    site.record(fooled).unlink()
    site.decide()
    site.check()


def test_code_that_is_installed_after_the_approval(site):
    site.decide()
    with changed(site.federation.parent / "retraining.py", lambda data: data + b"import socket\n"):
        assert "dags/retraining.py" in refused(site, errors.CodeMismatch)
    site.check()


def test_a_message_names_files_and_hashes_and_nothing_that_is_in_them(site):
    decision = site.decide()
    with changed(site.inbox() / "run.sh", lambda _: b"a secret"):
        said = refused(site, errors.JobAltered)
    assert "run.sh" in said
    assert "a secret" not in said
    assert job_files(site.inbox()) == decision.files
