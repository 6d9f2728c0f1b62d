"""The weighted interval score, coverage, and the naive forecasts' own quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.scenarios.forecast_metrics import NotMeasurable, metrics, pool, pool_scaled
from fl_tasks.scenarios.quantile_metrics import interval_score, quantile_metrics, with_quantiles

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
HORIZONS = {"7d": 2, "14d": 4}


def bracher(truth, forecast):
    """Equations 1 and 2 of Bracher et al. 2021, written out for one value: an independent oracle."""
    middle = len(LEVELS) // 2
    total = 0.5 * abs(truth - forecast[middle])
    for k in range(middle):
        alpha, low, high = 2 * LEVELS[k], forecast[k], forecast[-1 - k]
        score = high - low + 2 / alpha * max(low - truth, 0.0) + 2 / alpha * max(truth - high, 0.0)
        total += alpha / 2 * score
    return total / (middle + 0.5)


@given(st.floats(-50, 50), st.lists(st.floats(-50, 50), min_size=7, max_size=7))
def test_the_score_is_that_of_bracher_and_others(truth, forecast):
    ordered = np.sort(forecast)
    found = interval_score(np.array([[truth]]), ordered[None, None], LEVELS)
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(bracher(truth, ordered), rel=1e-9, abs=1e-9)


def draws(seed=0, n=40):
    draw = np.random.default_rng(seed)
    truth = draw.uniform(0, 100, (n, 4))
    return truth, np.sort(truth[..., None] + draw.normal(0, 20, (n, 4, 7)), axis=-1)


def test_errors_are_the_medians_and_the_score_is_the_mean_over_the_horizons_steps():
    truth, forecast = draws()
    found = quantile_metrics(truth, forecast, LEVELS, HORIZONS, 50.0)
    plain = metrics(truth, forecast[..., 3], HORIZONS, 1.0, 50.0)
    for name, steps in HORIZONS.items():
        one = found[name]
        assert (one.mae, one.scaled_mae, one.rmse, one.n) == tuple(
            getattr(plain[name], field) for field in ("mae", "scaled_mae", "rmse", "n")
        )
        scores = [bracher(truth[i, s], forecast[i, s]) for i in range(len(truth)) for s in range(steps)]
        assert one.wis == pytest.approx(np.mean(scores))
        assert one.scaled_wis == pytest.approx(one.wis / 50.0)
        assert one.score == one.scaled_wis


def test_coverage_is_the_share_inside_each_central_interval_its_ends_included():
    forecast = np.tile(np.arange(7.0), (4, 1, 1))
    truth = np.array([[0.0], [5.0], [3.0], [6.5]])
    assert quantile_metrics(truth, forecast, LEVELS, {"1d": 1}, 1.0)["1d"].coverage == {
        "0.95": 0.75,
        "0.8": 0.5,
        "0.5": 0.25,
    }


def test_certainty_that_is_wrong_scores_worse_than_doubt():
    truth = np.full((10, 4), 80.0)
    sure, unsure = (50.0 + width * np.array([-3, -2, -1, 0, 1, 2, 3]) * np.ones((10, 4, 1)) for width in (0.1, 10.0))
    one, other = (quantile_metrics(truth, f, LEVELS, HORIZONS, 1.0)["7d"] for f in (sure, unsure))
    assert one.mae == other.mae
    assert one.wis > other.wis


def test_the_naive_value_stays_the_median_and_past_errors_count_with_both_signs():
    past = np.abs(np.random.default_rng(1).normal(5.0, 3.0, (500, 2)))
    found = with_quantiles(np.array([[10.0, 20.0]]), past, LEVELS)
    assert found.shape == (1, 2, 7)
    np.testing.assert_allclose(found[0, :, 3], [10.0, 20.0], atol=0.2)
    np.testing.assert_allclose(found[..., 0] + found[..., 6], 2 * np.array([[10.0, 20.0]]), atol=1e-9)
    assert (np.diff(found, axis=-1) >= 0).all()
    both = np.concatenate([past, -past])
    inside = (both >= found[0, :, 1] - [10, 20]) & (both <= found[0, :, 5] - [10, 20])
    assert inside.mean() == pytest.approx(0.8, abs=0.01)


def test_agencies_pool_to_the_mean_score_and_coverage():
    parts = [
        quantile_metrics(*draws(seed, n), LEVELS, HORIZONS, spread)["14d"]
        for seed, n, spread in ((1, 20, 10.0), (2, 60, 40.0))
    ]
    together = pool(parts)
    assert together.wis == pytest.approx((parts[0].wis + 3 * parts[1].wis) / 4)
    assert together.coverage["0.8"] == pytest.approx((parts[0].coverage["0.8"] + 3 * parts[1].coverage["0.8"]) / 4)
    scaled = pool_scaled(parts)
    assert scaled.wis == scaled.scaled_wis == pytest.approx((parts[0].scaled_wis + parts[1].scaled_wis) / 2)


def test_a_part_without_quantiles_leaves_none():
    truth, forecast = draws()
    parts = [
        quantile_metrics(truth, forecast, LEVELS, HORIZONS, 1.0)["7d"],
        metrics(truth, forecast[..., 3], HORIZONS, 1.0, 1.0)["7d"],
    ]
    for one in (pool(parts), pool_scaled(parts)):
        assert (one.wis, one.scaled_wis, one.coverage) == (None, None, {})


@pytest.mark.parametrize("shape", [(40, 4), (40, 4, 6), (39, 4, 7)])
def test_forecasts_that_do_not_fit_are_refused(shape):
    with pytest.raises(NotMeasurable, match="one for each level"):
        quantile_metrics(draws()[0], np.zeros(shape), LEVELS, HORIZONS, 1.0)


def test_an_outer_level_that_is_not_finite_is_refused():
    truth, forecast = draws()
    forecast[3, 2, 6] = np.inf
    with pytest.raises(NotMeasurable, match="not all finite"):
        quantile_metrics(truth, forecast, LEVELS, HORIZONS, 1.0)
