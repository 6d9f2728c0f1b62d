"""How far an approval reaches: one plan, one session, until its date; a standing one until its date and its budget."""

from __future__ import annotations

import datetime as dt
import os

from fl_tasks.approvals import errors
from fl_tasks.approvals.check import USED
from fl_tasks.approvals.places import record_path
from fl_tasks.approvals.records import write_record
from fl_tasks.contracts.base import sha256_hex
from fl_tasks.secagg.journal import open_journal
from fl_tasks.stages.context import journal_paths
from tests.approvals.attack import changed, flipped, open_session, refused
from tests.approvals.site import AGENCY, APRIL, INTERVALS, JUNE, MARCH, MAY, NOW
from tests.stages.federation_run import SCENARIO

DAY = dt.timedelta(days=1)


def test_a_second_use_for_another_plan(site):
    decision = site.decide()
    site.check()
    # An officer who signs twice under one id: the journal still knows the first plan.
    site.record(decision).unlink()
    site.pysyft(("approve", JUNE, "manual"))
    again = site.decide(JUNE, id=decision.id)
    assert MARCH in refused(site, errors.AlreadyUsed, JUNE)
    site.record(again).unlink()
    write_record(site.officer, site.key, decision)
    site.check()


def test_a_second_session_under_one_decision(site):
    site.decide()
    open_session(site, MARCH, NOW + DAY)
    site.check()
    open_session(site, MARCH, NOW + DAY)
    refused(site, errors.AlreadyUsed)


def test_a_use_after_the_runs_session_is_over(site):
    site.decide()
    open_session(site, MARCH, NOW + DAY)
    site.check(now=NOW + DAY)
    assert "1 of them over" in refused(site, errors.AlreadyUsed, now=NOW + 2 * DAY)
    # A new decision on the same run is no way round it.
    site.decide(at=NOW + DAY)
    refused(site, errors.AlreadyUsed, now=NOW + 2 * DAY)


def test_the_first_use_alone_is_journaled(site):
    decision = site.decide()
    for _ in range(2):
        site.check()
    with open_journal(*journal_paths(site.home.agency(AGENCY), SCENARIO)) as journal:
        (entry,) = journal.find(USED)
    assert entry.facts == {
        "decision": decision.id,
        "plan": decision.plan_sha256,
        "run_id": MARCH,
        "interval_end": INTERVALS[MARCH][1].astimezone(dt.UTC).isoformat(),
        "standing": None,
    }


def test_a_refusal_uses_nothing_up(site):
    site.decide()
    with changed(site.inbox() / "run.sh", flipped):
        refused(site, errors.JobAltered)
    with open_journal(*journal_paths(site.home.agency(AGENCY), SCENARIO)) as journal:
        assert not journal.find(USED)


def test_an_expired_approval(site):
    decision = site.decide()
    site.check(now=decision.not_after)
    refused(site, errors.ApprovalExpired, now=decision.not_after + dt.timedelta(seconds=1))
    site.decide(at=NOW + DAY, not_after=decision.not_after + DAY)
    site.check(now=decision.not_after + dt.timedelta(seconds=1))


def test_a_revoked_approval(site):
    decision = site.decide()
    site.check()
    revocation = site.revoke(decision.id)
    refused(site, errors.ApprovalRevoked)
    with changed(revocation, flipped):
        refused(site, errors.RecordAltered)
    site.decide(at=NOW + DAY)
    site.check()


def test_a_rejection_after_an_approval_and_the_other_way_round(site):
    site.decide()
    site.decide(verdict="rejected", at=NOW + DAY)
    refused(site, errors.Rejected)
    site.decide(at=NOW + 2 * DAY)
    site.check()


def test_a_standing_approval_opens_its_runs(site):
    standing = site.stand(APRIL)
    for run_id in (APRIL, MAY):
        site.decide(run_id, standing=standing.id)
        site.check(run_id)


def test_a_standing_approval_beyond_its_date(site):
    standing = site.stand(APRIL)
    for run_id in (APRIL, MAY):
        site.decide(run_id, standing=standing.id, not_after=NOW + 90 * DAY)
    site.check(APRIL, now=standing.not_after)
    late = standing.not_after + dt.timedelta(seconds=1)
    site.check(APRIL, now=late)  # the run had begun
    refused(site, errors.StandingExpired, MAY, now=late)
    site.check(MAY)


def test_a_standing_approval_beyond_its_budget(site):
    standing = site.stand(APRIL, max_runs=1)
    for run_id in (APRIL, MAY):
        site.decide(run_id, standing=standing.id)
    for _ in range(2):
        site.check(APRIL)
    refused(site, errors.BudgetSpent, MAY)
    site.check(APRIL)
    # Another decision on a run that is counted already is no second retraining.
    site.decide(APRIL, standing=standing.id, at=NOW + DAY)
    site.check(APRIL)


def test_a_standing_approval_opens_no_month_of_the_past(site):
    standing = site.stand(MAY)
    wrong = site.decide(APRIL, standing=standing.id)
    assert "intervals that end after 2012-06-01" in refused(site, errors.StandingMismatch, APRIL)
    site.record(wrong).unlink()
    site.decide(MAY, standing=standing.id)
    site.check(MAY)


def test_a_standing_approval_opens_no_month_again_nor_one_before_it(site):
    """The journal knows the months, whatever the officer's records say."""
    standing = site.stand(APRIL, first_run=MARCH, interval_end=INTERVALS[MARCH][1])
    for run_id in (MAY, APRIL):
        site.decide(run_id, standing=standing.id)
    site.check(MAY)
    assert f"has covered run {MAY}" in refused(site, errors.StandingMismatch, APRIL)
    site.check(MAY)


def test_a_session_that_a_broken_journal_told_of(site):
    """Whoever breaks the journal has no second training under one decision: the new chain remembers the first."""
    site.decide()
    open_session(site, MARCH, NOW + DAY)
    site.check()
    path, head = journal_paths(site.home.agency(AGENCY), SCENARIO)
    path.write_bytes(path.read_bytes().replace(b'"prev":"0', b'"prev":"1', 1))
    with open_journal(path, head, new_session=os.urandom(16).hex()) as journal:
        assert not journal.find("session"), "it opens nothing any more"
    open_session(site, MARCH, NOW + DAY)
    assert "opened 2 sessions" in refused(site, errors.AlreadyUsed)


def test_a_standing_approval_on_other_terms(site):
    standing = site.stand(APRIL, terms_sha256=sha256_hex(b"other terms"))
    wrong = site.decide(APRIL, standing=standing.id)
    refused(site, errors.StandingMismatch, APRIL)
    site.record(wrong).unlink()
    site.decide(APRIL, standing=site.stand(APRIL).id)
    site.check(APRIL)


def test_a_standing_approval_that_was_revoked_or_is_not_there(site):
    standing = site.stand(APRIL)
    site.decide(APRIL, standing=standing.id)
    with changed(record_path(site.officer, "standing", standing.id), lambda _: None):
        refused(site, errors.StandingMissing, APRIL)
    with changed(record_path(site.officer, "standing", standing.id), flipped):
        refused(site, errors.RecordAltered, APRIL)
    site.check(APRIL)
    site.revoke(standing.id)
    refused(site, errors.StandingRevoked, APRIL)


def test_a_standing_approval_is_no_cover_for_what_a_person_approved(site):
    """PySyft's state says that a person approved March: it was not the standing approval."""
    site.decide(MARCH, standing=site.stand(MARCH).id)
    refused(site, errors.StateForged, MARCH)
