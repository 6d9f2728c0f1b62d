"""Metrics: in the agency's unit, over the horizon's steps together, pooled exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.scenarios.forecast_metrics import NotMeasurable, metrics, persistence, pool

HORIZONS = {"5min": 1, "15min": 3}


def test_persistence_repeats_the_last_value_of_feature_0():
    x = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    np.testing.assert_array_equal(persistence(x, 2), [[9, 9], [21, 21]])
    assert persistence(x, 2).dtype == np.float32


def test_errors_are_in_the_agencys_unit_over_the_steps_together_and_of_the_last_alone():
    truth, forecast = np.zeros((2, 3)), np.array([[1.0, 0.0, 2.0], [-1.0, 0.0, 2.0]])
    found = metrics(truth, forecast, HORIZONS, std=10.0)
    assert found["5min"].model_dump() == {"mae": 10, "rmse": 10, "n": 2, "last_step_mae": 10, "last_step_rmse": 10}
    fifteen = found["15min"]
    assert (fifteen.mae, fifteen.n, fifteen.last_step_mae, fifteen.last_step_rmse) == (10.0, 6, 20.0, 20.0)
    assert fifteen.rmse == pytest.approx(10 * np.sqrt(10 / 6))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_pooled_errors_are_those_of_all_values_together(sizes, seed):
    draw = np.random.default_rng(seed)
    truths = [draw.normal(size=(n, 3)) for n in sizes]
    forecasts = [draw.normal(size=(n, 3)) for n in sizes]
    stds = draw.uniform(0.5, 20.0, len(sizes))
    parts = [metrics(t, f, HORIZONS, s)["15min"] for t, f, s in zip(truths, forecasts, stds, strict=True)]
    scaled = [np.concatenate([a * s for a, s in zip(arrays, stds, strict=True)]) for arrays in (truths, forecasts)]
    together = metrics(*scaled, HORIZONS, 1.0)["15min"]
    pooled = pool(parts)
    assert pooled.n == together.n
    for field in ("mae", "rmse", "last_step_mae", "last_step_rmse"):
        assert getattr(pooled, field) == pytest.approx(getattr(together, field), rel=1e-12)


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
        metrics(truth, forecast, horizons, 1.0)


def test_nothing_to_pool_is_refused():
    with pytest.raises(NotMeasurable):
        pool([])
