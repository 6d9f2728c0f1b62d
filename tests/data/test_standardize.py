"""Standardizing: every row is accounted for, every rule is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.data import RowCounts
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.standardize import OFF_GRID, OUT_OF_RANGE, RowsUnaccounted, check_rows, standardize
from tests.data.examples import config, series, steps

NAN = np.nan


def test_a_missing_timestamp_becomes_a_row_of_missing_values():
    done = standardize(series([0, 1, 4], [[1.0], [2.0], [3.0]]), config())
    np.testing.assert_array_equal(done.grid.times, steps(0, 1, 2, 3, 4))
    np.testing.assert_array_equal(done.grid.values[:, 0], [1.0, 2.0, NAN, NAN, 3.0])
    assert done.record.missing_rows == 2
    assert done.record.rows == RowCounts(rows_in=3, rows_out=3, quarantined=0, merged=0)


def test_identical_duplicates_fold_into_the_very_same_row():
    row = [0.1 + 0.2, 61.7]
    done = standardize(series([1, 0, 1, 1], [row, [60.0, 60.0], row, row]), config())
    np.testing.assert_array_equal(done.grid.values, [[60.0, 60.0], row])
    assert done.record.rows.merged == 2
    assert done.record.conflicting == 0


def test_duplicates_that_differ_become_the_mean_of_the_values_present():
    done = standardize(series([0, 0, 0], [[10.0, NAN, NAN], [20.0, 5.0, 0.0], [60.0, NAN, NAN]]), config())
    np.testing.assert_array_equal(done.grid.values, [[30.0, 5.0, NAN]])
    assert done.record.rows == RowCounts(rows_in=3, rows_out=1, quarantined=0, merged=2)
    assert done.record.conflicting == 1


def test_a_zero_is_missing_only_where_the_scenario_says_so():
    raw = series([0, 1], [[0.0, 1.0], [-0.0, 0.0]])
    done = standardize(raw, config())
    np.testing.assert_array_equal(done.grid.values, [[NAN, 1.0], [NAN, NAN]])
    assert (done.record.zero_cells, done.record.missing_cells) == (3, 3)
    kept = standardize(raw, config(zero_is_missing=False))
    np.testing.assert_array_equal(kept.grid.values, [[0.0, 1.0], [0.0, 0.0]])
    assert kept.record.zero_cells == 0


def test_a_row_off_the_grid_is_quarantined_as_it_came():
    done = standardize(series([0, 1.2, 2], [[1.0], [999.0], [3.0]]), config())
    assert done.reasons == [OFF_GRID]
    np.testing.assert_array_equal(done.quarantine.times, steps(1.2))
    np.testing.assert_array_equal(done.quarantine.values, [[999.0]])
    np.testing.assert_array_equal(done.grid.values[:, 0], [1.0, NAN, 3.0])
    assert done.record.quarantined_by_reason == {OFF_GRID: 1}


def test_single_values_out_of_range_go_missing_and_a_row_mostly_out_of_range_is_quarantined():
    raw = series([0, 1, 2], [[121.0, 60.0, 60.0], [121.0, -1.0, 60.0], [60.0, 60.0, 120.0]])
    done = standardize(raw, config())
    assert done.reasons == [OUT_OF_RANGE]
    np.testing.assert_array_equal(done.grid.values, [[NAN, 60.0, 60.0], [NAN] * 3, [60.0, 60.0, 120.0]])
    assert done.record.out_of_range_cells == 1
    assert done.record.rows == RowCounts(rows_in=3, rows_out=2, quarantined=1, merged=0)


def test_a_row_without_any_value_stays_as_a_row():
    done = standardize(series([0, 1], [[0.0], [5.0]]), config())
    assert done.record.rows == RowCounts(rows_in=2, rows_out=2, quarantined=0, merged=0)


def test_data_of_which_no_row_is_left_is_rejected_by_reason():
    with pytest.raises(DataRejected, match=r"every row is rejected \(off_grid, out_of_range\)"):
        standardize(series([0.5, 1], [[60.0], [500.0]]), config())


def test_a_lost_row_stops_the_stage():
    with pytest.raises(RowsUnaccounted):
        check_rows(RowCounts(rows_in=3, rows_out=1, quarantined=1, merged=0))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60).map(lambda n: n / 4),
            st.lists(st.sampled_from([0.0, 30.0, 60.0, 500.0, -3.0, NAN]), min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_rows_in_are_rows_out_and_quarantined_and_merged(rows):
    raw = series([step for step, _ in rows], [values for _, values in rows])
    before = raw.values.copy()
    try:
        done = standardize(raw, config())
    except DataRejected:
        return
    counts = done.record.rows
    assert counts.rows_in == len(rows) == counts.rows_out + counts.quarantined + counts.merged
    assert sum(done.record.quarantined_by_reason.values()) == counts.quarantined == len(done.reasons)
    assert len(done.grid.times) == counts.rows_out + done.record.missing_rows
    assert (np.diff(done.grid.times) == np.timedelta64(5, "m")).all()
    assert np.nanmin(np.append(done.grid.values, 0.0)) >= 0.0
    np.testing.assert_array_equal(raw.values, before)
