"""What report.html says of a survey."""

from __future__ import annotations

from fl_tasks.contracts.report import SurveyReport
from fl_tasks.report.html import render
from fl_tasks.report.survey_section import survey
from tests.report.reports import whole

DONE = SurveyReport(
    run_id="survey.welfare__1",
    status="done",
    cohort=("east", "north", "south", "west"),
    excluded={"far": "ingest: DataRejected: <b>too few</b> rows"},
    survivors=("east", "north", "south"),
    lost={"west": "count"},
    words=1214,
    levels={"age": 2, "county": 0},
)


def test_a_survey_tells_over_whom_which_levels_and_who_was_lost_where():
    page = survey(whole().model_copy(update={"survey": DONE}))
    assert "Masked numbers of 3 agencies (east, north, south) were added; only the sums, 1,214 words each" in page
    assert "Levels for all agencies, of least loss that hold at every agency: age 2, county 0." in page
    assert "lost at count" in page
    assert "&lt;b&gt;too few&lt;/b&gt;" in page
    kept = DONE.model_copy(update={"kept": True})
    assert "the champion&#x27;s, which hold" in survey(whole().model_copy(update={"survey": kept}))


def test_a_survey_that_failed_says_why():
    failed = SurveyReport(run_id="survey.welfare__1", status="failed", reason="NoRecoding: no levels reach k = 5")
    page = render(whole().model_copy(update={"survey": failed}))
    assert "The survey is failed: NoRecoding: no levels reach k = 5." in page
    assert "Masked numbers" not in page


def test_a_run_without_a_survey_says_nothing_of_one():
    assert survey(whole()) == ""
