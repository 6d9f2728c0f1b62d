"""Whether training together paid is said horizon by horizon, and where it did not."""

from __future__ import annotations

from html import escape

import pytest

from fl_tasks.contracts.report import LocalComparison
from fl_tasks.report.comparison import WHY, sentences
from fl_tasks.report.html import render
from fl_tasks.stages.report import _comparison
from tests.report.reports import whole

BETTER = LocalComparison(federated=0.388, local_only=0.444)
WORSE = LocalComparison(federated=0.5, local_only=0.4, alone_better={"new_york": 0.2, "los_angeles": 0.051})


def test_a_horizon_says_which_is_below_and_who_is_better_off_alone():
    report = whole().model_copy(update={"comparison": {"1h": BETTER, "3h": WORSE}})
    assert sentences(report) == [
        "1h: RMSE federated 0.388 is better than local-only 0.444",
        "3h: RMSE federated 0.500 is not better than local-only 0.400; better alone: los_angeles (5.1%), "
        "new_york (20.0%)",
    ]
    assert escape(WHY) in render(report)


def test_a_report_without_a_comparison_says_nothing_of_it():
    assert sentences(whole()) == []
    assert escape(WHY) not in render(whole())


@pytest.mark.parametrize(("unit", "figure"), [(None, "scaled_rmse"), ("mph", "rmse")])
def test_the_comparison_is_a_mean_over_the_agencies_scored_both_ways(unit, figure):
    """Of scaled errors where the units differ, else in the one unit."""
    evaluation = whole().evaluation
    if unit is not None:
        evaluation = evaluation.model_copy(update={"units": dict.fromkeys(evaluation.units, unit)})
    agencies = dict(evaluation.agencies)
    name, worst = next(iter(agencies.items()))
    agencies[name] = worst.model_copy(update={"local_only": {}})
    found = _comparison(evaluation.model_copy(update={"agencies": agencies}))
    both = [one for agency, one in agencies.items() if agency != name]
    assert set(found) == set(worst.federated)
    assert found["1h"].federated == sum(getattr(one.federated["1h"], figure) for one in both) / len(both)
    assert found["1h"].local_only == sum(getattr(one.local_only["1h"], figure) for one in both) / len(both)
    swapped = {
        agency: one.model_copy(update={"federated": one.local_only, "local_only": one.federated})
        for agency, one in agencies.items()
        if agency != name
    }
    assert set(_comparison(evaluation.model_copy(update={"agencies": swapped}))["1h"].alone_better) == set(swapped)
