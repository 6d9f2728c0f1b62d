"""An approval that ends in the middle of a survey: the report names the agency and the stage."""

from __future__ import annotations

import pytest

from fl_tasks.approvals.errors import ApprovalRevoked
from fl_tasks.contracts.report import Report
from fl_tasks.stages import runner
from tests.stages.survey_run import AGENCIES, RUN_ID, SurveyRun

TOLD = "count: ApprovalRevoked: The officer took the decision back."


@pytest.fixture
def counted(tmp_path, monkeypatch) -> SurveyRun:
    """A survey that three have answered; west's approval was taken back before it counted."""
    run = SurveyRun(tmp_path).install()
    run.each("ingest")
    run.stage("survey")
    run.set_up()
    admit = runner.admit

    def admitted(spec):
        if (spec.stage, spec.agency) == ("count", "west"):
            raise ApprovalRevoked("decision 1 was taken back")
        admit(spec)

    monkeypatch.setattr(runner, "admit", admitted)
    with pytest.raises(ApprovalRevoked):
        run.stage("count", "west")
    return run


def refused(run: SurveyRun) -> dict[str, str]:
    run.stage("report")
    return Report.model_validate_json((run.home.report(RUN_ID) / "report.json").read_bytes()).refused


def test_it_is_in_the_report_of_a_run_whose_survey_went_on(counted):
    counted.answer(AGENCIES[:3])
    counted.stage("recode")
    counted.validated(AGENCIES[:3])
    counted.give_initial_model(counted.published().preparation)
    counted.stage("cohort")
    assert refused(counted) == {"west": TOLD}


def test_it_is_in_the_report_of_a_run_that_ended_with_its_survey(counted):
    assert refused(counted) == {"west": TOLD}


def test_it_is_in_the_report_of_a_run_that_found_too_few_for_a_cohort(counted):
    counted.answer(AGENCIES[:3])
    counted.stage("recode")
    counted.validated(AGENCIES[:2])
    assert refused(counted) == {"west": TOLD}
