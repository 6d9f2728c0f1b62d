"""The gate's table: who has to be better, who may be worse, and what is held whatever the figures."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.config import GateConfig
from fl_tasks.registry.gate import decide, score
from tests.registry.trained_run import evaluation, metric

CONFIG = GateConfig(share_better=0.75, tolerance=0.02)


def versus(*pairs: tuple[float, float], reference: str = "champion"):
    """Evaluations of agencies a, b, ... each the new model's score and the reference's."""
    return {
        name: evaluation(new, **{reference: old})
        for name, (new, old) in zip("abcdefghijklmnopqrstuvwxy", pairs, strict=False)
    }


def gate(evaluations, reference="champion", config=CONFIG, **options):
    return decide(evaluations, reference, config, **{"name": "version 4", **options})


@pytest.mark.parametrize(
    ("pairs", "decision", "better", "worse"),
    [
        ([(0.8, 1), (0.8, 1), (0.8, 1), (0.8, 1)], "promoted", "abcd", ""),
        ([(0.8, 1), (0.8, 1), (0.8, 1), (1.019, 1)], "promoted", "abc", ""),
        ([(0.8, 1), (0.8, 1), (0.8, 1), (1.021, 1)], "held", "abc", "d"),
        ([(0.8, 1), (0.8, 1), (1.01, 1), (1.01, 1)], "held", "ab", ""),
        ([(1, 1), (1, 1), (1, 1), (1, 1)], "held", "", ""),
        ([(0.8, 1), (0.8, 1), (0.8, 1), (float("inf"), float("inf"))], "held", "abc", "d"),
    ],
)
def test_promotion_needs_the_share_better_and_nobody_worse_than_the_tolerance(pairs, decision, better, worse):
    report = gate(versus(*pairs))
    assert (report.decision, report.better, report.worse) == (decision, tuple(better), tuple(worse))
    assert report.reference == "version 4"
    assert f"better than version 4 at {len(better)} of 4 agencies, 3 needed" in report.reason
    if worse:
        assert f"worse by more than 2 % at {worse}" in report.reason


def test_the_score_is_the_mean_over_the_horizons():
    assert score({"15min": metric(1.0), "60min": metric(2.0)}) == 1.5


def test_the_first_time_persistence_is_beaten_or_not():
    first = {"name": "persistence", "background": "there is no champion as of 2012-03-01"}
    beaten = gate(versus((0.8, 1), (0.8, 1), (0.8, 1), reference="persistence"), "persistence", **first)
    assert (beaten.decision, beaten.reference) == ("promoted", "persistence")
    assert beaten.reason.startswith("there is no champion as of 2012-03-01: better than persistence at 3 of 3")
    assert (
        gate(versus((1.1, 1), (0.8, 1), (0.8, 1), reference="persistence"), "persistence", **first).decision == "held"
    )


def test_an_agency_that_did_not_score_the_champion_counts_as_not_better():
    report = gate({**versus((0.8, 1), (0.8, 1), (0.8, 1)), "z": evaluation(0.1)})
    assert (report.decision, report.better) == ("promoted", ("a", "b", "c"))
    assert "version 4 was not scored at z" in report.reason
    assert gate({**versus((0.8, 1), (0.8, 1)), "z": evaluation(0.1)}).decision == "held"


def test_a_share_asks_for_no_more_agencies_than_it_says():
    # 0.56 x 25 is 14.000000000000002 in floating point.
    config = GateConfig(share_better=0.56, tolerance=0.02)
    pairs = [(0.8, 1)] * 14 + [(1, 1)] * 11
    assert gate(versus(*pairs), config=config).decision == "promoted"
    assert gate(versus(*pairs[1:], (1, 1)), config=config).decision == "held"


def test_the_champion_itself_is_held():
    report = gate(versus((0.8, 1), (0.8, 1), (0.8, 1)), is_champion=True)
    assert report.decision == "held"
    assert "is the champion already" in report.reason


def test_a_backfill_is_held_with_what_the_comparison_gave():
    report = gate(versus((0.8, 1), (0.8, 1), (0.8, 1)), backfill=True)
    assert (report.decision, report.backfill) == ("held", True)
    assert "never moves today's champion, which stays" in report.reason
    assert "better than version 4 at 3 of 3 agencies" in report.reason
