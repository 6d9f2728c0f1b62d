"""A classifier's figures on the page and in words: all of them, a dash where an agency has none, the best in bold."""

from __future__ import annotations

import re

import pytest

from fl_tasks.report.comparison import figure_names, sentences
from fl_tasks.report.html import render
from fl_tasks.stages.report import _comparison
from tests.report.reports import class_metric, classes
from tests.report.test_html import Page, rows_of

NAMES = ["AUC", "Brier", "gap", "calibration", "accuracy", "log loss"]


def with_comparison(report):
    return report.model_copy(update={"comparison": _comparison(report.evaluation)})


def few_rows():
    """A run at whose agencies too few rows are positive for AUC and gap, all of them as the first of `classes`."""
    report = classes()
    few = report.evaluation.agencies["anatolia"]
    evaluation = report.evaluation.model_copy(update={"overall": few, "agencies": {"a": few, "b": few}})
    return report.model_copy(update={"evaluation": evaluation})


def test_each_agency_and_model_has_a_row_with_every_figure():
    rows = rows_of(render(classes()), "poor_at_risk")
    assert rows[0] == ["agency", "model", *NAMES, "rows"]
    models = ["federated", "local-only", "majority", "champion"]
    agencies = ["anatolia", "north", "south", "west", "all agencies"]
    assert [row[:2] for row in rows[1:]] == [[agency, model] for agency in agencies for model in models]
    assert rows[5] == ["north", "federated", "0.7600", "0.0700", "0.0800", "0.0300", "0.8800", "0.3000", "210"]


def test_a_figure_that_stays_at_home_is_a_dash():
    rows = rows_of(render(classes()), "poor_at_risk")
    assert [rows[1][i] for i in (2, 4)] == ["-", "-"]
    assert rows[1][3] == "0.0600"


def test_the_best_of_an_agency_is_bold_whichever_way_a_figure_goes():
    table = render(classes()).split("poor_at_risk</h3>", 1)[1].split("</table>", 1)[0]
    lines = re.findall(r"<tr>(.*?)</tr>", table)[1:]
    bold = [re.findall(r'class="n best">([^<]+)<', line) for line in lines]
    assert bold[4] == ["0.7600", "0.0700", "0.0800", "0.0300", "0.8800", "0.3000"]
    assert bold[5] == bold[6] == bold[7] == ["0.0300"]  # calibrated alike


def test_bars_compare_agencies_in_the_most_important_figure_that_any_has():
    page = render(classes())
    chart = page.split("poor_at_risk</h3>", 1)[1].split("<svg", 1)[1].split("</svg>", 1)[0]
    assert "AUC, poor_at_risk (longer is better)" in chart
    assert "north, federated: 0.7600" in chart
    assert "anatolia, federated" not in chart
    assert "Accuracy, poor_at_risk (longer is better)" in render(few_rows())


def test_the_page_says_what_the_figures_are_and_nothing_of_windows_or_units():
    text = Page(render(classes())).text
    for words in ("Majority: the classes' shares among the training rows", "protected group", "Held-back data"):
        assert words in text
    assert "windows" not in text.split("Held-back data")[1].split("Rounds")[0]
    assert "Horizon" not in text


@pytest.mark.parametrize("champion", [True, False])
def test_a_page_of_classes_is_well_formed(champion):
    Page(render(with_comparison(classes(champion=champion))))
    Page(render(classes(agencies=tuple(f"prefecture_{i:02d}" for i in range(50)))))


def test_together_and_alone_are_compared_over_the_agencies_that_have_the_figure():
    found = _comparison(classes().evaluation)["poor_at_risk"]
    assert (found.measure, found.higher_is_better, found.pays, found.alone_better) == ("AUC", True, True, {})
    assert found.federated == pytest.approx(0.6 + (0.8 + 0.7 + 0.6) / 15)
    few = _comparison(few_rows().evaluation)["poor_at_risk"]
    assert (few.measure, few.higher_is_better, few.federated) == ("accuracy", True, pytest.approx(0.89))


def test_an_agency_that_is_better_off_alone_is_named_with_its_share():
    evaluation = classes().evaluation
    south = evaluation.agencies["south"]
    swapped = south.model_copy(update={"federated": south.local_only, "local_only": south.federated})
    evaluation = evaluation.model_copy(update={"agencies": {**evaluation.agencies, "south": swapped}})
    report = with_comparison(classes().model_copy(update={"evaluation": evaluation}))
    found = report.comparison["poor_at_risk"]
    assert found.alone_better == {"south": pytest.approx(0.74 / 0.68 - 1.0, abs=1e-4)}
    assert sentences(report)[0].endswith("better alone: south (8.8%)")


def test_figures_are_named_in_the_order_of_their_importance_if_any_agency_has_them():
    few = class_metric(0.5).model_copy(update={"auc": None, "opportunity_gap": None})
    assert figure_names([few, None, class_metric(0.5)]) == figure_names([class_metric(0.5), few]) == NAMES
    assert figure_names([few]) == ["accuracy", "Brier", "calibration", "log loss"]
    assert figure_names([None]) == []
