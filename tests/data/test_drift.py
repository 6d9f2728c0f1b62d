"""Drift: the index against the last accepted month's deciles, and what may be compared at all."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from fl_tasks.contracts.data import Accepted, Distribution
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.drift import VALUE, comparable, distribution, month_values, psi, values_a_day
from tests.data.examples import series

END = dt.datetime(2018, 6, 1, tzinfo=dt.UTC)


@pytest.fixture
def draw():
    return np.random.default_rng(5)


def test_the_edges_are_the_deciles_and_the_shares_tenths(draw):
    found = distribution(draw.permutation(np.arange(1.0, 101.0)))
    np.testing.assert_allclose(found.edges, np.quantile(np.arange(1.0, 101.0), np.arange(1, 10) / 10))
    np.testing.assert_allclose(found.shares, np.full(10, 0.1))


def test_the_index_is_the_formulas():
    before = Distribution(edges=(1.0, 2.0), shares=(0.5, 0.3, 0.2))
    values = np.array([1.0, 0.0, 1.5, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0])  # on an edge: the bin below
    now = np.array([0.2, 0.2, 0.6])
    then = np.array([0.5, 0.3, 0.2])
    assert psi(before, values) == pytest.approx(((now - then) * np.log(now / then)).sum(), rel=1e-12)


def test_the_same_distribution_is_no_drift_and_a_shift_of_one_deviation_is_a_marked_one(draw):
    before = distribution(draw.normal(60, 8, 50_000))
    assert psi(before, draw.normal(60, 8, 50_000)) < 0.01
    assert psi(before, draw.normal(52, 8, 50_000)) > 0.25


def test_an_empty_bin_gives_a_finite_index(draw):
    before = distribution(draw.normal(60, 8, 1000))
    assert 1.0 < psi(before, np.full(100, 500.0)) < 100.0
    assert np.isfinite(psi(before, np.empty(0)))


def test_values_that_are_mostly_one_fall_into_fewer_bins(draw):
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    found = distribution(values)
    assert len(set(found.edges)) == len(found.edges) < 9
    assert len(found.shares) == len(found.edges) + 1
    assert sum(found.shares) == pytest.approx(1.0)
    assert psi(found, values) == 0.0


def test_without_a_value_there_is_no_distribution():
    with pytest.raises(DataRejected, match="inside the run's data interval"):
        distribution(np.empty(0))


def test_only_values_of_the_interval_are_compared():
    grid = series(range(600), np.arange(600.0))
    grid.values[300] = np.nan
    interval = (dt.datetime(2012, 3, 2), dt.datetime(2012, 3, 3))
    found = month_values(grid, interval)
    np.testing.assert_array_equal(found, [*np.arange(288.0, 300.0), *np.arange(301.0, 576.0)])
    assert values_a_day(found, (interval[0], dt.datetime(2012, 3, 4))) == 287 / 2


def accepted(**changes):
    reference = {VALUE: Distribution(edges=(1.0,), shares=(0.5, 0.5))}
    return Accepted(**({"interval_end": END, "months": {}, "reference": reference, "values_a_day": 5.0} | changes))


def test_a_backfill_is_not_compared_with_a_later_month():
    assert comparable(accepted(), END) == accepted()
    assert comparable(accepted(), END - dt.timedelta(seconds=1)) is None


def test_a_run_of_the_accepted_month_again_is_compared_with_what_that_one_was_compared_with():
    may = accepted()
    june = accepted(interval_end=dt.datetime(2018, 7, 1, tzinfo=dt.UTC), values_a_day=9.0, previous=may)
    assert comparable(june, END) == may  # June begins where May ends
    july = comparable(june, june.interval_end)
    assert july == june.model_copy(update={"previous": None})  # records do not pile up inside each other
    assert comparable(june, END - dt.timedelta(seconds=1)) is None
    assert comparable(june.model_copy(update={"previous": None}), END) is None


def test_a_record_without_a_distribution_is_compared_with_nothing():
    assert comparable(None, END) is None
    assert comparable(accepted(reference={}), END) is None
    assert comparable(accepted(values_a_day=0.0), END) is None
