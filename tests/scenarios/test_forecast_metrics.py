"""Metrics: in the agency's unit and scaled, over the horizon's steps together, pooled exactly or as a mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.data import FIGURE_LEAST, SMALL_CELL
from fl_tasks.scenarios.forecast_metrics import (
    NotMeasurable,
    metrics,
    persistence,
    pool,
    pool_scaled,
    profile,
)

HORIZONS = {"5min": 1, "15min": 3}


def test_persistence_repeats_the_last_value_of_feature_0():
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    np.testing.assert_array_equal(persistence(x, 2), [[9, 9], [21, 21]])
    assert persistence(x, 2).dtype == np.float32


def test_errors_are_in_the_agencys_unit_over_the_steps_together_and_of_the_last_alone():
    truth, forecast = np.zeros((2, 3)), np.array([[1.0, 0.0, 2.0], [-1.0, 0.0, 2.0]])
    found = metrics(truth, forecast, HORIZONS, std=10.0, spread=10.0)
    five = {"mae": 10, "rmse": 10, "n": 2, "last_step_mae": 10, "last_step_rmse": 10, "scaled_mae": 1, "scaled_rmse": 1}
    assert found["5min"].model_dump(exclude_defaults=True) == five
    fifteen = found["15min"]
    assert (fifteen.mae, fifteen.n, fifteen.last_step_mae, fifteen.last_step_rmse) == (10.0, 6, 20.0, 20.0)
    assert fifteen.rmse == pytest.approx(10 * np.sqrt(10 / 6))
    assert (fifteen.scaled_mae, fifteen.scaled_rmse) == (1.0, pytest.approx(np.sqrt(10 / 6)))


def test_scaled_errors_are_in_the_agencys_own_deviations_whatever_the_models_scale():
    truth, forecast = np.zeros((2, 3)), np.array([[1.0, 0.0, 2.0], [-1.0, 0.0, 2.0]])
    own, shared = (metrics(truth, forecast, HORIZONS, std, spread=5.0)["15min"] for std in (5.0, 20.0))
    assert (shared.rmse, shared.scaled_rmse) == (4 * own.rmse, 4 * own.scaled_rmse)
    assert (shared.mae, shared.scaled_mae) == (20.0, 4.0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_pooled_errors_are_those_of_all_values_together(sizes, seed):
    draw = np.random.default_rng(seed)
    truths = [draw.normal(size=(n, 3)) for n in sizes]
    forecasts = [draw.normal(size=(n, 3)) for n in sizes]
    stds = draw.uniform(0.5, 20.0, len(sizes))
    parts = [metrics(t, f, HORIZONS, s, s)["15min"] for t, f, s in zip(truths, forecasts, stds, strict=True)]
    scaled = [np.concatenate([a * s for a, s in zip(arrays, stds, strict=True)]) for arrays in (truths, forecasts)]
    together = metrics(*scaled, HORIZONS, 1.0, 1.0)["15min"]
    pooled = pool(parts)
    assert pooled.n == together.n
    for field in ("mae", "rmse", "last_step_mae", "last_step_rmse"):
        assert getattr(pooled, field) == pytest.approx(getattr(together, field), rel=1e-12)
    unscaled = metrics(np.concatenate(truths), np.concatenate(forecasts), HORIZONS, 1.0, 1.0)["15min"]
    for field in ("scaled_mae", "scaled_rmse"):
        assert getattr(pooled, field) == pytest.approx(getattr(unscaled, field), rel=1e-12)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_figures_of_mixed_units_are_the_plain_mean_of_the_agencies_scaled_ones(sizes, seed):
    draw = np.random.default_rng(seed)
    pairs = [(draw.normal(size=(n, 3)), draw.normal(size=(n, 3))) for n in sizes]
    stds = draw.uniform(0.5, 2000.0, len(sizes))
    pooled = pool_scaled([metrics(*pair, HORIZONS, s, s)["15min"] for pair, s in zip(pairs, stds, strict=True)])
    scaled = [metrics(*pair, HORIZONS, 1.0, 1.0)["15min"] for pair in pairs]
    assert pooled.n == sum(part.n for part in scaled)
    for field in ("mae", "rmse", "last_step_mae", "last_step_rmse"):
        assert getattr(pooled, field) == pytest.approx(np.mean([getattr(part, field) for part in scaled]), rel=1e-9)
    assert (pooled.scaled_mae, pooled.scaled_rmse) == (pooled.mae, pooled.rmse)


def test_an_agency_without_any_error_counts_as_zero_in_the_mean():
    right = metrics(np.ones((2, 3)), np.ones((2, 3)), HORIZONS, 7.0, 7.0)["15min"]
    wrong = metrics(np.ones((2, 3)), np.zeros((2, 3)), HORIZONS, 100.0, 100.0)["15min"]
    pooled = pool_scaled([right, wrong])
    assert (pooled.mae, pooled.rmse, pooled.last_step_mae, pooled.last_step_rmse) == (0.5, 0.5, 0.5, 0.5)


def test_a_profile_is_the_mean_by_hour_of_the_step_and_leaves_small_hours_out():
    hours = np.repeat(np.array([22, 3, 7], dtype=np.int8), [FIGURE_LEAST, FIGURE_LEAST - 1, FIGURE_LEAST + 1])
    truth = np.stack([hours, hours * 10.0, hours * 100.0], axis=1)
    points = profile(truth, truth + np.array([1.0, 2.0, 3.0]), hours, step=2)
    assert [point.model_dump() for point in points] == [
        {"hour": 7, "truth": 70.0, "forecast": 72.0, "n": FIGURE_LEAST + 1},
        {"hour": 22, "truth": 220.0, "forecast": 222.0, "n": FIGURE_LEAST},
    ]
    assert FIGURE_LEAST >= 2 * SMALL_CELL


@pytest.mark.parametrize(("hours", "step"), [(19, 1), (20, 0), (20, 4)])
def test_a_profile_of_what_does_not_fit_is_refused(hours, step):
    with pytest.raises(NotMeasurable):
        profile(np.zeros((20, 3)), np.zeros((20, 3)), np.zeros(hours, dtype=np.int8), step)


@pytest.mark.parametrize(
    ("truth", "forecast", "horizons"),
    [
        (np.zeros((2, 3)), np.zeros((3, 3)), HORIZONS),
        (np.zeros((0, 3)), np.zeros((0, 3)), HORIZONS),
        (np.zeros(3), np.zeros(3), HORIZONS),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), HORIZONS),
        (np.zeros((2, 3)), np.full((2, 3), np.inf), HORIZONS),
        (np.zeros((2, 3)), np.zeros((2, 3)), {"20min": 4}),
        (np.zeros((2, 3)), np.zeros((2, 3)), {"now": 0}),
    ],
)
def test_what_gives_no_figure_is_refused(truth, forecast, horizons):
    with pytest.raises(NotMeasurable):
        metrics(truth, forecast, horizons, 1.0, 1.0)


def test_nothing_to_pool_is_refused():
    for together in (pool, pool_scaled):
        with pytest.raises(NotMeasurable):
            together([])
