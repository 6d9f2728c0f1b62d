"""A classifier's figures: scikit-learn's, pooled by rows or as a mean, silent where they would tell of persons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from fl_tasks.contracts.data import FIGURE_LEAST
from fl_tasks.scenarios.class_metrics import NotClassifiable, majority, metrics, pool, probabilities

TARGET = "poor"


def one_hot(classes, count):
    return np.eye(count, dtype=np.float32)[np.asarray(classes)]


def judged(truth, positive, groups=None):
    """The figures of two classes, from the probability of the second."""
    positive = np.asarray(positive, dtype=np.float64)
    return metrics(one_hot(truth, 2), np.stack([1.0 - positive, positive], axis=1), TARGET, groups)[TARGET]


def drawn(draw, rows, count):
    """Classes and probabilities with many ties."""
    truth = draw.integers(0, count, rows)
    logits = draw.integers(-2, 3, (rows, count)).astype(np.float32)
    return one_hot(truth, count), probabilities(logits)


@given(st.integers(2, 5), st.integers(40, 200), st.integers(0, 2**32 - 1))
def test_accuracy_log_loss_and_brier_are_scikit_learns(count, rows, seed):
    y, chance = drawn(np.random.default_rng(seed), rows, count)
    found, truth = metrics(y, chance, TARGET)[TARGET], y.argmax(axis=1)
    labels = list(range(count))
    assert found.n == rows
    assert found.accuracy == pytest.approx(accuracy_score(truth, chance.argmax(axis=1)))
    assert found.log_loss == pytest.approx(log_loss(truth, chance, labels=labels), rel=1e-9)
    whole = brier_score_loss(truth, chance, labels=labels, scale_by_half=False)
    assert found.brier == pytest.approx(whole / 2, rel=1e-9)


@given(st.integers(2 * FIGURE_LEAST, 120), st.integers(0, 2**32 - 1))
def test_auc_is_the_share_of_pairs_in_order_with_ties_counted_half(rows, seed):
    draw = np.random.default_rng(seed)
    truth = np.arange(rows) % 2
    chance = draw.integers(0, 4, rows) / 4
    apart = chance[truth == 1][:, None] - chance[truth == 0][None, :]
    pairs = (np.sign(apart) + 1.0).mean() / 2
    assert judged(truth, chance).auc == pytest.approx(pairs, abs=1e-12)
    assert judged(truth, chance).auc == roc_auc_score(truth, chance)
    # Symmetric: who is called positive does not matter.
    assert judged(1 - truth, 1.0 - chance).auc == pytest.approx(pairs, abs=1e-12)


def test_auc_over_few_rows_of_a_class_stays_at_home():
    truth = np.array([1] * FIGURE_LEAST + [0] * FIGURE_LEAST)
    chance = np.linspace(1.0, 0.0, len(truth))
    assert judged(truth, chance).auc == 1.0
    assert judged(truth[1:], chance[1:]).auc is None
    assert judged(truth[:-1], chance[:-1]).auc is None
    assert judged(np.zeros(40, dtype=int), np.full(40, 0.5)).auc is None


def test_more_than_two_classes_have_no_auc_and_no_gap():
    y, chance = drawn(np.random.default_rng(0), 300, 3)
    found = metrics(y, chance, TARGET, np.arange(300) % 2)[TARGET]
    assert (found.auc, found.opportunity_gap) == (None, None)
    assert found.score == 1.0 - found.accuracy


def test_calibration_is_the_mean_distance_of_share_and_probability_over_ten_bins():
    # Said of rows, of which so many are positive; 1.0 falls into the last bin.
    said = [(0.3, 10, 5), (0.7, 10, 9), (0.85, 20, 15), (0.95, 20, 20), (1.0, 10, 10)]
    truth = [number < positive for _, rows, positive in said for number in range(rows)]
    chance = np.repeat([share for share, _, _ in said], [rows for _, rows, _ in said])
    expected = (10 * 0.2 + 10 * 0.2 + 20 * 0.1 + (20 * 0.05 + 10 * 0.0)) / 70
    assert judged(np.array(truth, dtype=int), chance).calibration == pytest.approx(expected)


def test_calibration_of_more_classes_is_that_of_the_likeliest():
    y = one_hot([0] * 6 + [1] * 4, 3)
    chance = np.tile([0.7, 0.2, 0.1], (10, 1))
    assert metrics(y, chance, TARGET)[TARGET].calibration == pytest.approx(0.1)


def test_a_probability_of_zero_for_what_happened_costs_much_but_not_all():
    found = judged([1, 0], [0.0, 0.0])
    assert found.log_loss == pytest.approx(-math.log(np.finfo(np.float64).eps) / 2)
    assert (found.accuracy, found.brier) == (0.5, 0.5)


def test_the_gap_is_the_largest_difference_of_true_positive_rates():
    # Groups 0, 1 and 2 with 20 positive rows each: 15, 5 and 10 found. Rows that are not positive do not matter.
    truth = [1] * 60 + [0] * 40
    chance = [0.9] * 15 + [0.1] * 5 + [0.9] * 5 + [0.1] * 15 + [0.9] * 10 + [0.1] * 10 + [0.9] * 40
    groups = np.repeat([0, 1, 2, 0], [20, 20, 20, 40])
    assert judged(truth, chance, groups).opportunity_gap == pytest.approx(0.5)
    assert judged(truth, chance).opportunity_gap is None


def test_a_group_with_few_positive_rows_or_unknown_is_left_out_of_the_gap():
    def gap(third, code):
        truth = np.ones(40 + third, dtype=int)
        chance = np.array([0.9] * 30 + [0.1] * (10 + third))  # rates 1.0, 0.5 and 0.0
        return judged(truth, chance, np.repeat([0, 1, code], [20, 20, third])).opportunity_gap

    assert gap(FIGURE_LEAST, 2) == 1.0
    assert gap(FIGURE_LEAST - 1, 2) == 0.5
    assert gap(FIGURE_LEAST, -1) == 0.5
    # One group alone has nobody to be compared with.
    assert judged(np.ones(20, dtype=int), np.full(20, 0.9), np.zeros(20, dtype=int)).opportunity_gap is None


def test_the_majority_knows_the_shares_of_the_classes_and_nothing_of_the_row():
    fit = one_hot([0] * 30 + [1] * 10, 2)
    chance = majority(fit, 25)
    np.testing.assert_array_equal(chance, np.tile([0.75, 0.25], (25, 1)))
    found = metrics(one_hot([0] * 15 + [1] * 10, 2), chance, TARGET)[TARGET]
    assert (found.accuracy, found.auc) == (0.6, 0.5)
    assert found.calibration == pytest.approx(0.15)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_pooled_means_over_rows_are_those_of_all_rows_together(sizes, count, seed):
    draw = np.random.default_rng(seed)
    parts = [drawn(draw, rows, count) for rows in sizes]
    pooled = pool([metrics(*part, TARGET)[TARGET] for part in parts])
    together = metrics(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)), TARGET)[TARGET]
    assert pooled.n == together.n
    for field in ("accuracy", "log_loss", "brier"):
        assert getattr(pooled, field) == pytest.approx(getattr(together, field), rel=1e-12)
    assert pooled.calibration >= together.calibration - 1e-12


def test_auc_and_gap_are_pooled_as_the_mean_over_agencies_that_have_one():
    one = judged([0, 1] * 30, [0.4, 0.6] * 30, np.zeros(60, dtype=int))
    wrong = judged([0, 1] * 10, [0.6, 0.4] * 10)
    none = judged([0] * 500, [0.5] * 500)
    pooled = pool([one, wrong, none])
    assert (one.auc, wrong.auc, none.auc) == (1.0, 0.0, None)
    assert pooled.auc == 0.5
    assert pooled.opportunity_gap is None
    gaps = [part.model_copy(update={"opportunity_gap": gap}) for part, gap in ((one, 0.2), (wrong, 0.4), (none, None))]
    assert pool(gaps).opportunity_gap == pytest.approx(0.3)


def test_logits_become_probabilities_however_large_they_are():
    found = probabilities(np.array([[1000.0, 1000.0], [-1000.0, 0.0], [0.0, math.log(3.0)]], dtype=np.float64))
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.0, 1.0], [0.25, 0.75]])


@pytest.mark.parametrize(
    ("y", "chance"),
    [
        (one_hot([0, 1], 2), np.full((3, 2), 0.5)),
        (np.zeros((0, 2)), np.zeros((0, 2))),
        (np.ones((3, 1)), np.ones((3, 1))),
        (np.zeros(3), np.zeros(3)),
        (np.array([[1.0, 1.0]]), np.array([[0.5, 0.5]])),
        (np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])),
        (one_hot([0], 2), np.array([[0.5, np.nan]])),
        (one_hot([0], 2), np.array([[0.9, 0.9]])),
        (one_hot([0], 2), np.array([[1.5, -0.5]])),
    ],
)
def test_what_gives_no_figure_is_refused(y, chance):
    with pytest.raises(NotClassifiable):
        metrics(y, chance, TARGET)


def test_groups_that_do_not_fit_logits_that_are_none_and_nothing_at_all_are_refused():
    with pytest.raises(NotClassifiable, match="one a row"):
        judged([0, 1], [0.5, 0.5], np.zeros(3, dtype=int))
    with pytest.raises(NotClassifiable, match="diverged"):
        probabilities(np.array([[np.inf, 0.0]]))
    with pytest.raises(NotClassifiable, match="at least one"):
        pool([])
    with pytest.raises(NotClassifiable, match="at least one row"):
        majority(np.zeros((0, 2)), 5)
