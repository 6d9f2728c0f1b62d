"""An agency's stages under each of its two policies: opened by policy.yaml, or by its officer alone."""

from __future__ import annotations

import pytest

from fl_tasks.approvals.errors import ApprovalRefused, ApprovalRevoked, NotApproved, OfficerUnknown, Rejected
from fl_tasks.approvals.places import card_path
from fl_tasks.contracts.stage import read_failure, write_spec
from fl_tasks.daemon.errands import TellDecisions
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.open import open_exchange
from fl_tasks.scenarios import load
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.stages.answer import read_answers
from fl_tasks.stages.checks import read_checks, read_refusals
from fl_tasks.stages.context import journal_paths, load_roster
from fl_tasks.stages.policy import policy_path
from fl_tasks.stages.runner import run_stage
from tests.approvals.site import AGENCY, APRIL, MARCH, Site, pysyft_python
from tests.stages.federation_run import AGENCIES, SCENARIO

OTHER = AGENCIES[1]


def descendants(error: type[ApprovalRefused]) -> list[type[ApprovalRefused]]:
    return [error for below in error.__subclasses__() for error in (below, *descendants(below))]


@pytest.fixture
def site(tmp_path) -> Site:
    """One agency whose officer decides; the policies of the others do. The plan of March was received."""
    pysyft_python()
    site = Site(tmp_path)
    site.found()
    hand_out(SCENARIO, load(SCENARIO).generate(seed=5), site.home, site.federation)
    path = policy_path(site.home.agency(AGENCY))
    text = path.read_text()
    assert text.count("approval: policy") == 1
    path.write_text(text.replace("approval: policy", "approval: officer"))
    site.stage("plan")
    site.stage("receive", agency=AGENCY)
    return site


def answers(site, run_id=MARCH):
    exchange = open_exchange(site.home, None, Space("runs", run_id))
    return read_answers(exchange, load_roster(site.home.coordinator, SCENARIO), run_id)


def approve(site, **changes):
    site.pysyft(site.hand_in(), ("approve", MARCH, "manual"))
    return site.decide(**changes)


def test_a_policy_opens_its_data_at_once_and_says_so(site):
    site.stage("receive", agency=OTHER)
    assert site.stage("ingest", agency=OTHER).status == "done"
    told = answers(site)[OTHER]
    assert (told.verdict, told.by, told.decision) == ("approved", "policy", None)


def test_an_officers_data_stay_shut_until_the_decision_and_the_daemon_tells_it(site):
    errand = TellDecisions(site.home, AGENCY)
    assert answers(site) == {}
    with pytest.raises(NotApproved):
        site.stage("ingest", agency=AGENCY)
    assert errand.due()
    errand.run()
    assert answers(site) == {}

    decision = approve(site)
    errand.run()
    told = answers(site)[AGENCY]
    assert (told.verdict, told.by, told.decision, told.plan_sha256) == (
        "approved",
        "officer",
        decision.id,
        site.plan().sha256,
    )
    assert not errand.due()
    for stage in ("ingest", "anonymize"):
        assert site.stage(stage, agency=AGENCY).status == "done"


def test_what_was_taken_back_before_it_was_told_is_told_as_rejected(site):
    site.revoke(approve(site).id)
    TellDecisions(site.home, AGENCY).run()
    assert answers(site)[AGENCY].verdict == "rejected"


def test_what_is_taken_back_shuts_the_next_stage(site):
    decision = approve(site)
    site.stage("ingest", agency=AGENCY)
    site.revoke(decision.id)
    with pytest.raises(ApprovalRevoked):
        site.stage("anonymize", agency=AGENCY)


def test_a_rejection_is_told_and_is_the_agencys_word_on_its_data(site):
    site.pysyft(site.hand_in(), ("reject", MARCH))
    site.decide(verdict="rejected")
    TellDecisions(site.home, None).run()
    assert answers(site)[AGENCY].verdict == "rejected"
    with pytest.raises(Rejected):
        site.stage("ingest", agency=AGENCY)
    words = [name for name in open_exchange(site.home, None, Space("runs", MARCH)).names("checks") if AGENCY in name]
    assert len(words) == 1
    assert ".failed-" in words[0]


def test_others_are_told_which_refusal_it_was_and_nothing_of_the_agencys_machine(site):
    spec = site.spec("ingest", agency=AGENCY)
    with pytest.raises(NotApproved) as refusal:
        site.stage("ingest", agency=AGENCY)
    assert SCENARIO in str(refusal.value), "the log at home says more"
    exchange, roster = (
        open_exchange(site.home, None, Space("runs", MARCH)),
        load_roster(site.home.coordinator, SCENARIO),
    )
    told = "ingest: NotApproved: The officer has made no decision on this run, whatever PySyft's state says."
    assert read_checks(exchange, roster, MARCH, roster.names).excluded[AGENCY] == told
    left = read_failure(spec)
    assert (left.failed, left.reason, left.inputs) == (True, "NotApproved", ())


@pytest.mark.parametrize("error", descendants(ApprovalRefused))
def test_every_refusal_has_a_line_for_the_others(error):
    assert error("/var/lib/huiliu: user 1000").told == error.__doc__.splitlines()[0]
    assert error.__doc__ != ApprovalRefused.__doc__


def test_a_revocation_in_the_middle_of_a_run_is_in_the_report(site):
    decision = approve(site)
    site.stage("ingest", agency=AGENCY)
    site.revoke(decision.id)
    with pytest.raises(ApprovalRevoked):
        run_stage(write_spec(site.spec("train", agency=AGENCY, round=1)))
    exchange, roster = (
        open_exchange(site.home, None, Space("runs", MARCH)),
        load_roster(site.home.coordinator, SCENARIO),
    )
    assert read_refusals(exchange, roster, MARCH) == {
        AGENCY: "train: ApprovalRevoked: The officer took the decision back."
    }
    assert read_refusals(exchange, roster, APRIL) == {}


def test_an_agency_whose_officer_nobody_named_says_so_at_once(site):
    card_path(site.home.agency(AGENCY)).unlink()
    site.stage("plan", APRIL)
    with pytest.raises(OfficerUnknown):
        site.stage("receive", APRIL, AGENCY)
    words = open_exchange(site.home, None, Space("runs", APRIL)).names("checks")
    assert any(name.startswith(f"checks/{AGENCY}.failed-") for name in words)


def test_a_broken_journal_keeps_no_new_run_from_reading_its_data_and_opens_none_that_are_shut(site):
    path, _ = journal_paths(site.home.agency(AGENCY), SCENARIO)
    approve(site)
    site.stage("ingest", agency=AGENCY)
    path.write_bytes(b"torn")
    assert site.stage("anonymize", agency=AGENCY).status == "done"
    site.stage("plan", APRIL)
    site.stage("receive", APRIL, AGENCY)
    with pytest.raises(NotApproved):
        site.stage("ingest", APRIL, AGENCY)


def test_a_record_that_was_altered_keeps_no_other_runs_decision_from_being_told(site):
    decision = approve(site)
    site.record(decision).chmod(0o644)
    site.record(decision).write_bytes(site.record(decision).read_bytes().replace(b"approved", b"rejected"))
    site.stage("plan", APRIL)
    site.stage("receive", APRIL, AGENCY)
    site.pysyft(site.hand_in(APRIL), ("approve", APRIL, "manual"))
    site.decide(APRIL)
    TellDecisions(site.home, AGENCY).run()
    assert answers(site) == {}
    assert answers(site, APRIL)[AGENCY].verdict == "approved"
