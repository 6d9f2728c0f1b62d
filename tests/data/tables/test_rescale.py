"""Rows in another preparation's scale are what it would have encoded from the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.preparation import ColumnScale, Preparation
from fl_tasks.data.tables.rescale import rescaled

FEATURES = ("region=a", "age", "income", "income?", "work=no", "work=yes", "work?")
NUMBERS = ("age", "income")


def preparation(scales, features=FEATURES, levels=None):
    found = {name: ColumnScale(mean=mean, std=std) for name, (mean, std) in zip(NUMBERS, scales, strict=True)}
    return Preparation(levels=levels or {"region": 1}, features=features, scales=found)


def encoded(age, income, others, scale):
    """Straight from the values; a missing income is 0 and says so."""
    missing = np.isnan(income)
    columns = [
        others[:, 0],
        (age - scale.scales["age"].mean) / scale.scales["age"].std,
        np.where(missing, 0.0, (income - scale.scales["income"].mean) / scale.scales["income"].std),
        missing,
        *others[:, 1:].T,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def drawn(seed, rows=200):
    draw = np.random.default_rng(seed)
    income = np.where(draw.random(rows) < 0.2, np.nan, draw.uniform(0, 90_000, rows))
    return draw.uniform(0, 100, rows), income, draw.integers(0, 2, (rows, 4)).astype(float)


SCALES = st.tuples(st.floats(-1e5, 1e5), st.floats(1e-2, 1e5))


@given(st.tuples(SCALES, SCALES), st.tuples(SCALES, SCALES), st.integers(0, 2**32 - 1))
def test_rescaled_rows_equal_those_encoded_from_the_values_to_float32s_rounding(ours, theirs, seed):
    values = drawn(seed)
    mine, other = preparation(ours), preparation(theirs)
    x = encoded(*values, mine)
    expected = encoded(*values, other)
    found = rescaled(x, mine, other)
    assert found.dtype == np.float32
    for place, name in ((1, "age"), (2, "income")):
        # x came rounded to float32, and is stretched by the quotient of the deviations.
        stretch = mine.scales[name].std / other.scales[name].std
        allowed = 2.0**-23 * (np.abs(x[:, place]).max() * stretch + np.abs(expected[:, place]).max()) + 1e-30
        assert np.abs(found[:, place].astype(float) - expected[:, place].astype(float)).max() <= allowed
    others = [0, 3, 4, 5, 6]
    np.testing.assert_array_equal(found[:, others], expected[:, others])


def test_the_rows_that_were_given_stay_as_they_are():
    mine, other = preparation(((40, 20), (2e4, 9e3))), preparation(((50, 10), (1e4, 1e3)))
    x = encoded(*drawn(1), mine)
    before = x.copy()
    assert not np.array_equal(rescaled(x, mine, other), x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(rescaled(x, mine, mine)[:, 3:], x[:, 3:])


def test_a_missing_number_stays_at_zero_whatever_the_mean():
    mine, other = preparation(((40, 20), (2e4, 9e3))), preparation(((50, 10), (1e4, 1e3)))
    age, income, others = drawn(1)
    income[:] = np.nan
    assert not rescaled(encoded(age, income, others, mine), mine, other)[:, 2].any()


def test_other_levels_features_or_shapes_are_refused():
    scales = ((40.0, 20.0), (2e4, 9e3))
    mine = preparation(scales)
    x = encoded(*drawn(1), mine)
    for other in (preparation(scales, levels={"region": 0}), preparation(scales, features=FEATURES[::-1])):
        with pytest.raises(ConfigError, match="levels and features must be the same"):
            rescaled(x, mine, other)
    with pytest.raises(ConfigError, match="levels and features"):
        rescaled(x[:, :-1], mine, mine)
