"""The model's view of values: own, shared, or a function of a rate by inhabitants, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.series_config import RateConfig
from fl_tasks.data.value_scale import Rate, Scale, model_scale
from tests.data.examples import config

OWN = Scale(3.0, 2.0)


def rates(function="log1p", **more):
    return config(rate=RateConfig(function=function, unit="cases/day", **more))


@given(
    st.sampled_from(["log1p", "sqrt", None]),
    st.floats(1e-6, 1e3),
    st.lists(st.floats(0.0, 1e7), min_size=1, max_size=5),
)
def test_what_the_model_sees_turns_back_into_the_value(function, factor, values):
    scale = Scale(5.0, 2.5) if function is None else Scale(0.0, 1.0, Rate(function, factor))
    counts = np.array(values)
    np.testing.assert_allclose(scale.inverse(scale.forward(counts)), counts, rtol=1e-9, atol=1e-6)


def test_a_rate_is_of_the_inhabitants_in_the_rates_unit():
    day = model_scale(rates(), "cases/day", OWN, 2_000_000)
    assert day.forward(np.array([0.0, 400.0])).tolist() == pytest.approx([0.0, math.log1p(20.0)])
    week = model_scale(rates("sqrt", inhabitants=1000), "cases/week", OWN, 500_000)
    assert week.forward(np.array([7 * 4500.0])).tolist() == pytest.approx([3.0])


def test_two_regions_of_one_rate_look_alike_to_the_model():
    small, large = (model_scale(rates(), "cases/day", OWN, 10**power) for power in (5, 7))
    assert small.forward(np.array([30.0])) == pytest.approx(large.forward(np.array([3000.0])))


@pytest.mark.parametrize("function", ["log1p", "sqrt"])
def test_a_forecast_below_zero_is_no_case(function):
    assert model_scale(rates(function), "cases/day", OWN, 100_000).inverse(np.array([-0.5])).tolist() == [0.0]


def test_a_missing_value_stays_missing():
    assert np.isnan(model_scale(rates(), "cases/day", OWN, 100_000).forward(np.array([np.nan]))).all()


def test_a_rate_without_a_population_or_of_another_dimension_is_refused():
    with pytest.raises(ConfigError, match=r"field population: .* say in the agency's YAML"):
        model_scale(rates(), "cases/day", OWN)
    with pytest.raises(ConfigError, match="do not convert"):
        model_scale(rates(), "admissions/day", OWN, 1000)


def test_without_rate_or_shared_scale_it_is_the_agencys_own():
    assert model_scale(config(), "mph", OWN, 1000) is OWN
