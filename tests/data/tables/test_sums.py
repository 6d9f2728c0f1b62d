"""Mean and deviation from the agencies' sums are those of the pooled rows; quantiles are within a bin."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from fl_tasks.contracts.errors import DataRejected, InputError
from fl_tasks.contracts.survey import BINS, MOMENT_STEPS, SummedColumn
from fl_tasks.data.tables.sums import QUANTILES, ColumnSums, scale_of, sum_column

WIDTH = 1 / BINS


def column(minimum: float, maximum: float) -> SummedColumn:
    return SummedColumn(column="income", minimum=minimum, maximum=maximum)


def federated(parts, of: SummedColumn):
    """The scale from the sums of all agencies, added as whole numbers."""
    numbers = [sum_column(np.asarray(part, dtype=float), of).numbers for part in parts]
    return scale_of(ColumnSums.read([sum(each) for each in zip(*numbers, strict=True)]), of)


@st.composite
def tables(draw):
    """A range, and the values of up to six agencies in it."""
    low = draw(st.floats(-1e6, 1e6))
    span = draw(st.sampled_from([1e-3, 1.0, 40.0, 1e5]))
    of = column(low, low + span)
    share = st.floats(0.0, 1.0)
    parts = draw(st.lists(st.lists(share, min_size=1, max_size=40), min_size=1, max_size=6))
    parts = [np.clip([of.minimum + one * span for one in part], of.minimum, of.maximum) for part in parts]
    assume(sum(map(len, parts)) >= 5)
    return of, parts


@settings(max_examples=300)
@given(tables())
def test_mean_and_deviation_are_scikit_learns_over_the_pooled_rows_to_a_billionth_of_the_range(table):
    of, parts = table
    pooled = np.concatenate(parts)
    # In u, as scikit-learn's own sums lose digits where the range is far from zero.
    u = (pooled - of.minimum) / (of.maximum - of.minimum)
    oracle = StandardScaler().fit(u[:, np.newaxis])
    scale, span = federated(parts, of), of.maximum - of.minimum
    assert (scale.mean - of.minimum) / span == pytest.approx(oracle.mean_[0], abs=1e-9 + 1e-15 * abs(of.minimum) / span)
    if oracle.var_[0] > 1e-12:
        assert scale.std / span == pytest.approx(oracle.scale_[0], abs=1e-9)


def test_mean_and_deviation_of_real_units_are_scikit_learns():
    rng = np.random.default_rng(3)
    parts = [rng.gamma(2.0, 9000.0 + 2000 * i, size=700 + 100 * i).clip(0, 200_000) for i in range(4)]
    scale = federated(parts, column(0.0, 200_000.0))
    oracle = StandardScaler().fit(np.concatenate(parts)[:, np.newaxis])
    assert scale.mean == pytest.approx(oracle.mean_[0], rel=1e-12)
    assert scale.std == pytest.approx(oracle.scale_[0], rel=1e-12)


def test_what_rounding_to_whole_steps_loses_is_half_a_step_of_each_agency():
    rng = np.random.default_rng(4)
    parts = [rng.uniform(size=3) for _ in range(200)]
    of = column(0.0, 1.0)
    sums = ColumnSums.read([sum(each) for each in zip(*(sum_column(p, of).numbers for p in parts), strict=True)])
    exact = sum(Fraction(math.fsum(part)) for part in parts)
    lost = abs(Fraction(sums.first, MOMENT_STEPS) - exact)
    assert 0 < lost <= Fraction(200, 2 * MOMENT_STEPS)


@settings(max_examples=300)
@given(tables())
def test_quantiles_are_within_a_bin_of_numpys(table):
    of, parts = table
    span = of.maximum - of.minimum
    u = np.concatenate([(part - of.minimum) / span for part in parts])
    for found, q in zip(federated(parts, of).quantiles, QUANTILES, strict=True):
        assert abs((found - of.minimum) / span - np.quantile(u, q)) <= WIDTH + 1e-6


def test_missing_values_do_not_count():
    of = column(0.0, 10.0)
    values = np.array([1.0, np.nan, 2.0, 3.0, np.nan, 4.0, 5.0])
    assert sum_column(values, of) == sum_column(values[~np.isnan(values)], of)
    assert sum_column(values, of).count == 5


def test_a_column_that_never_changes_gets_the_deviation_one_as_scikit_learn_has_it():
    values = np.full(70, 0.3)
    assert federated([values, values], column(0.0, 1.0)).std == 1.0
    assert StandardScaler().fit(values[:, np.newaxis]).scale_[0] == 1.0


def test_the_edges_of_the_range_are_in_the_first_and_last_bin():
    bins = sum_column(np.array([0.0, 10.0, 10.0]), column(0.0, 10.0)).bins
    assert (bins[0], bins[-1], sum(bins)) == (1, 2, 3)


def test_a_value_outside_of_the_range_is_refused_by_row_and_not_by_value():
    with pytest.raises(InputError, match="row 2 lies outside") as caught:
        sum_column(np.array([1.0, 77.25]), column(0.0, 10.0))
    assert "77" not in str(caught.value)


def test_a_mean_of_fewer_rows_than_a_small_cell_is_refused():
    of = column(0.0, 10.0)
    assert federated([[1.0, 2.0], [3.0, 4.0, 5.0]], of).mean == pytest.approx(3.0)
    with pytest.raises(DataRejected, match="fewer than 5 rows"):
        federated([[1.0, 2.0], [3.0, 4.0]], of)
