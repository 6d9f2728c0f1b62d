"""A survey asked for again: under another interval over the same rows, and over other rows under the same interval."""

from __future__ import annotations

import datetime as dt

import pytest

from fl_tasks.contracts.data import raw_path
from fl_tasks.contracts.survey import MOMENT_STEPS
from fl_tasks.secagg import member as member_module
from fl_tasks.stages import enrol
from fl_tasks.stages.context import interval_text
from tests.attacks.test_spec_and_policy import take_out
from tests.attacks.test_survey import OTHERS, VICTIM, answered_by, own_numbers, refused, sums
from tests.stages import survey_run
from tests.stages.survey_run import AGENCIES, SCENARIO, SurveyRun, people


@pytest.fixture
def first(tmp_path) -> SurveyRun:
    """An honest survey of all four agencies, to its end."""
    run = SurveyRun(tmp_path).install(rows=60)
    run.survey()
    return run


def again(first: SurveyRun, monkeypatch, seconds: int = 0) -> SurveyRun:
    """A second run, whose interval ends some seconds later."""
    start, end = survey_run.INTERVAL
    monkeypatch.setattr(survey_run, "INTERVAL", (start, end + dt.timedelta(seconds=seconds)))
    return SurveyRun(first.home.root.parent, run_id=f"{SCENARIO}__again")


def same_rows_under_another_interval(first: SurveyRun, monkeypatch) -> SurveyRun:
    run = again(first, monkeypatch, seconds=1)
    run.each("ingest")
    answered_by(run, OTHERS)
    return run


def test_the_same_rows_under_another_interval_with_other_members_shown(first, monkeypatch):
    """An interval of a second more is another key to the rule of one survivor set; the rows are the same."""
    taken = sums(first)
    victim = own_numbers(first, VICTIM)
    take_out(monkeypatch, member_module.Member, "bind_rows")
    run = same_rows_under_another_interval(first, monkeypatch)
    run.each("ack", OTHERS)
    run.each("reveal", OTHERS)
    assert [whole - part for whole, part in zip(taken, sums(run), strict=True)] == victim


def test_the_same_rows_under_another_interval_with_other_members_refused(first, monkeypatch):
    run = same_rows_under_another_interval(first, monkeypatch)
    for agency in OTHERS:
        assert "over the same rows" in refused(run, "ack", agency, "DifferencingRefused")
    assert not run.survey_exchange.names("r/1/ack")


def test_the_same_rows_under_another_interval_with_the_same_members_is_admitted(first, monkeypatch):
    run = again(first, monkeypatch, seconds=1)
    run.each("ingest")
    assert run.survey().members == AGENCIES


def with_one_person_more(first: SurveyRun, monkeypatch) -> SurveyRun:
    run = again(first, monkeypatch)
    run.deliver(VICTIM, [*people(60, AGENCIES.index(VICTIM)), (999, 44, "1102", 51234, "yes", "no", "2024-06-15")])
    run.each("ingest")
    return run


def test_other_rows_under_the_same_interval_shown(first, monkeypatch):
    """The same members answer twice; in between one person was added: the difference is that person's income."""
    before = sums(first)
    nodes = first.request().nodes
    take_out(monkeypatch, member_module.Member, "bind_rows")
    run = with_one_person_more(first, monkeypatch)
    run.survey()
    stolen = [one - other for one, other in zip(sums(run), before, strict=True)]
    count, first_moment, *_ = stolen[1 + 3 * nodes :]
    assert (stolen[0], count) == (1, 1)
    assert first_moment / MOMENT_STEPS * 90_000 == pytest.approx(51_234)


def test_other_rows_under_the_same_interval_refused(first, monkeypatch):
    run = with_one_person_more(first, monkeypatch)
    run.stage("survey")
    run.set_up()
    assert "with other rows" in refused(run, "count", VICTIM, "DifferencingRefused")
    assert not [name for name in run.survey_exchange.names("r/1/up") if VICTIM in name]
    assert raw_path(run.home.agency_run(VICTIM, run.run_id)).exists()


def test_an_operator_may_lift_it_once(first, monkeypatch):
    run = with_one_person_more(first, monkeypatch)
    enrol.lift(first.home, SCENARIO, VICTIM, first.request().sha256.hex(), interval_text(survey_run.INTERVAL))
    assert run.survey().members == AGENCIES
