"""Standardizing: every row is accounted for, every rule is counted."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.config import load_scenario, load_source
from fl_tasks.contracts.data import RowCounts
from fl_tasks.contracts.errors import ConfigError, DataRejected
from fl_tasks.data.ingest import read_source
from fl_tasks.data.series import Series
from fl_tasks.data.standardize import OFF_GRID, OUT_OF_RANGE, RowsUnaccounted, check_rows, standardize
from tests.data.examples import START, config, series, source, steps

NAN = np.nan
FEDERATION = Path(__file__).parents[2] / "dags" / "federation"
EVER = (dt.datetime(2000, 1, 1), dt.datetime(2030, 1, 1))


def test_a_missing_timestamp_becomes_a_row_of_missing_values():
    done = standardize(series([0, 1, 4], [[1.0], [2.0], [3.0]]), source(), config())
    np.testing.assert_array_equal(done.grid.times, steps(0, 1, 2, 3, 4))
    np.testing.assert_array_equal(done.grid.values[:, 0], [1.0, 2.0, NAN, NAN, 3.0])
    assert done.record.missing_rows == 2
    assert done.record.rows == RowCounts(rows_in=3, rows_out=3, quarantined=0, merged=0)


def test_identical_duplicates_fold_into_the_very_same_row():
    row = [0.1 + 0.2, 61.7]
    done = standardize(series([1, 0, 1, 1], [row, [60.0, 60.0], row, row]), source(), config())
    np.testing.assert_array_equal(done.grid.values, [[60.0, 60.0], row])
    assert done.record.rows.merged == 2
    assert done.record.conflicting == 0


def test_duplicates_that_differ_become_the_mean_of_the_values_present():
    done = standardize(series([0, 0, 0], [[10.0, NAN, NAN], [20.0, 5.0, 0.0], [60.0, NAN, NAN]]), source(), config())
    np.testing.assert_array_equal(done.grid.values, [[30.0, 5.0, NAN]])
    assert done.record.rows == RowCounts(rows_in=3, rows_out=1, quarantined=0, merged=2)
    assert done.record.conflicting == 1


def test_a_zero_is_missing_only_where_the_source_says_so():
    raw = series([0, 1], [[0.0, 1.0], [-0.0, 0.0]])
    done = standardize(raw, source(), config())
    np.testing.assert_array_equal(done.grid.values, [[NAN, 1.0], [NAN, NAN]])
    assert (done.record.zero_cells, done.record.missing_cells) == (3, 3)
    kept = standardize(raw, source(zero_is_missing=False), config())
    np.testing.assert_array_equal(kept.grid.values, [[0.0, 1.0], [0.0, 0.0]])
    assert kept.record.zero_cells == 0


def test_a_row_off_the_grid_is_quarantined_as_it_came():
    done = standardize(series([0, 1.2, 2], [[1.0], [999.0], [3.0]]), source(), config())
    assert done.reasons == [OFF_GRID]
    np.testing.assert_array_equal(done.quarantine.times, steps(1.2))
    np.testing.assert_array_equal(done.quarantine.values, [[999.0]])
    np.testing.assert_array_equal(done.grid.values[:, 0], [1.0, NAN, 3.0])
    assert done.record.quarantined_by_reason == {OFF_GRID: 1}


def test_single_values_out_of_range_go_missing_and_a_row_mostly_out_of_range_is_quarantined():
    raw = series([0, 1, 2], [[121.0, 60.0, 60.0], [121.0, -1.0, 60.0], [60.0, 60.0, 120.0]])
    done = standardize(raw, source(), config())
    assert done.reasons == [OUT_OF_RANGE]
    np.testing.assert_array_equal(done.grid.values, [[NAN, 60.0, 60.0], [NAN] * 3, [60.0, 60.0, 120.0]])
    assert done.record.out_of_range_cells == 1
    assert done.record.rows == RowCounts(rows_in=3, rows_out=2, quarantined=1, merged=0)


def test_a_row_without_any_value_stays_as_a_row():
    done = standardize(series([0, 1], [[0.0], [5.0]]), source(), config())
    assert done.record.rows == RowCounts(rows_in=2, rows_out=2, quarantined=0, merged=0)


def test_data_of_which_no_row_is_left_is_rejected_by_reason():
    with pytest.raises(DataRejected, match=r"every row is rejected \(off_grid, out_of_range\)"):
        standardize(series([0.5, 1], [[60.0], [500.0]]), source(), config())


def test_a_lost_row_stops_the_stage():
    with pytest.raises(RowsUnaccounted):
        check_rows(RowCounts(rows_in=3, rows_out=1, quarantined=1, merged=0))


def test_values_are_converted_before_they_are_held_against_the_range():
    flows = source(source_unit="vehicles/5min", unit="vehicles/h", maximum=600.0, zero_is_missing=False)
    done = standardize(series([0, 1], [[50.0, 0.5], [50.1, 10.0]]), flows, config())
    np.testing.assert_array_equal(done.grid.values, [[600.0, 6.0], [NAN, 120.0]])
    kilometres = standardize(series([0], [[100.0]]), source(source_unit="km/h"), config())
    np.testing.assert_allclose(kilometres.grid.values, [[62.137119]], rtol=1e-7)


def test_quarantined_rows_keep_the_unit_and_the_identifiers_that_they_came_with():
    raw = Series(steps(0, 1.5), ("s0",), np.array([[1.0], [2.0]]), {"last_plate": ["a" * 64, "b" * 64]})
    done = standardize(raw, source(source_unit="km/h"), config())
    np.testing.assert_array_equal(done.quarantine.values, [[2.0]])
    assert done.quarantine.identifiers == {"last_plate": ["b" * 64]}
    assert done.grid.identifiers == {}


@pytest.mark.parametrize("minutes", [7, 120])
def test_a_source_whose_step_does_not_divide_the_scenarios_is_refused(minutes):
    with pytest.raises(ConfigError, match=rf"every {minutes} min cannot be put on steps of 60 min"):
        standardize(series([0], [[1.0]]), source(step_minutes=minutes), config(step_minutes=60))


def test_a_coarser_step_is_the_mean_of_its_readings_where_enough_are_there():
    # Three steps of 20 minutes, of which four readings are expected: four, three, two; a fourth without any row.
    raw = series([0, 1, 2, 3, 4, 5, 7, 8, 9, 16], np.array([[1, 2, 3, 6, 10, 20, 60, 7, 9, 5]] * 2).T.astype(float))
    raw.values[3, 1] = NAN
    done = standardize(raw, source(), config(step_minutes=20, min_coverage=0.75))
    np.testing.assert_array_equal(done.grid.times, START + np.arange(5) * np.timedelta64(20, "m"))
    np.testing.assert_array_equal(done.grid.values, [[3.0, 2.0], [30.0, 30.0], [NAN] * 2, [NAN] * 2, [NAN] * 2])
    assert done.record.rows == RowCounts(rows_in=10, rows_out=4, quarantined=0, merged=6)
    assert (done.record.missing_rows, done.record.missing_cells, done.record.thin_cells) == (1, 4, 4)
    whole = standardize(raw, source(), config(step_minutes=20))
    np.testing.assert_array_equal(whole.grid.values[:2], [[3.0, NAN], [NAN, NAN]])


def test_the_mean_of_rates_is_the_sum_of_the_counts_of_the_hour():
    counts = np.arange(1.0, 13.0)
    flows = source(source_unit="vehicles/5min", unit="vehicles/h", maximum=3000.0)
    done = standardize(series(range(12), counts), flows, config(step_minutes=60))
    np.testing.assert_allclose(done.grid.values, [[counts.sum()]], rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_step_without_any_reading_is_missing_even_if_none_is_asked_for():
    raw = series([0, 1], [[NAN, 4.0], [NAN, 6.0]])
    done = standardize(raw, source(), config(step_minutes=10, min_coverage=0.0))
    np.testing.assert_array_equal(done.grid.values, [[NAN, 5.0]])
    assert done.record.thin_cells == 0


def test_when_daylight_saving_ends_the_repeated_hour_merges():
    """New York, 2018-11-04: what happens from 01:00 to 01:55 happens twice on the wall clock."""
    wall = np.datetime64("2018-11-04T00:00", "us")
    minutes = np.array([*range(0, 120, 5), *range(60, 180, 5)])
    raw = Series(wall + minutes * np.timedelta64(1, "m"), ("s0",), np.where(np.arange(48) < 24, 10.0, 20.0)[:, None])
    done = standardize(raw, source(), config(step_minutes=60))
    np.testing.assert_array_equal(done.grid.values[:, 0], [10.0, 15.0, 20.0])
    assert done.record.rows == RowCounts(rows_in=48, rows_out=3, quarantined=0, merged=45)
    assert done.record.conflicting == 12


def test_when_daylight_saving_begins_the_missing_hour_is_a_gap():
    wall = np.datetime64("2018-03-11T00:00", "us")
    minutes = np.array([*range(0, 120, 5), *range(180, 300, 5)])
    raw = Series(wall + minutes * np.timedelta64(1, "m"), ("s0",), np.ones((48, 1)))
    done = standardize(raw, source(), config(step_minutes=60))
    np.testing.assert_array_equal(done.grid.values[:, 0], [1.0, 1.0, NAN, 1.0, 1.0])
    assert done.record.missing_rows == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60).map(lambda n: n / 4),
            st.lists(st.sampled_from([0.0, 30.0, 60.0, 500.0, -3.0, NAN]), min_size=2, max_size=2),
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([5, 10, 15]),
)
def test_rows_in_are_rows_out_and_quarantined_and_merged(rows, minutes):
    raw = series([step for step, _ in rows], [values for _, values in rows])
    before = raw.values.copy()
    try:
        done = standardize(raw, source(), config(step_minutes=minutes, min_coverage=0.5))
    except DataRejected:
        return
    counts = done.record.rows
    assert counts.rows_in == len(rows) == counts.rows_out + counts.quarantined + counts.merged
    assert sum(done.record.quarantined_by_reason.values()) == counts.quarantined == len(done.reasons)
    assert len(done.grid.times) == counts.rows_out + done.record.missing_rows
    assert (np.diff(done.grid.times) == np.timedelta64(minutes, "m")).all()
    assert np.nanmin(np.append(done.grid.values, 0.0)) >= 0.0
    np.testing.assert_array_equal(raw.values, before)


@pytest.fixture
def real(tmp_path, shared_data):
    """Standardize an agency's real files as its YAML and the scenario's say; gives raw rows and outcome."""

    def of(agency, *files):
        (tmp_path / "incoming").mkdir()
        for order, file in enumerate(files):
            shutil.copyfile(shared_data / "traffic" / file, tmp_path / "incoming" / f"{order}.csv.gz")
        declared = load_source(FEDERATION, agency, "traffic")
        raw = read_source(declared, tmp_path, EVER, name=agency).series
        return raw, standardize(raw, declared, load_scenario(FEDERATION, "traffic").data)

    return of


def test_minneapolis_repeats_7629_times_and_is_silent_for_307_days(real):
    raw, done = real("minneapolis_i94", "minneapolis_i94_volume_1h.csv.gz")
    assert (done.record.rows.rows_in, done.record.rows.merged, done.record.rows.quarantined) == (48204, 7629, 0)
    assert done.record.conflicting == 0  # a row for each kind of weather, the same volume in all
    present = np.flatnonzero(np.isfinite(done.grid.values[:, 0]))
    gaps = np.diff(present)
    assert gaps.max() // 24 == 307
    assert done.grid.times[present[gaps.argmax()]].astype("datetime64[M]") == np.datetime64("2014-08")
    assert done.record.missing_rows == len(done.grid.times) - len(np.unique(raw.times))


def test_california_measures_working_days_only_and_an_hour_is_the_sum_of_its_counts(real):
    names = ("pems_california_lane_flow_5min_train.csv.gz", "pems_california_lane_flow_5min_test.csv.gz")
    raw, done = real("california_pems", *names)
    weekday = (done.grid.times.astype("datetime64[D]").astype(np.int64) + 3) % 7
    known = np.isfinite(done.grid.values[:, 0])
    assert not known[weekday >= 5].any()
    assert known.sum() == 42 * 24  # days that were delivered: holidays and three weeks between the files were not
    hour = (raw.times >= done.grid.times[0]) & (raw.times < done.grid.times[1])
    assert hour.sum() == 12
    assert done.grid.values[0, 0] == pytest.approx(raw.values[hour, 0].sum(), rel=1e-12)
    assert done.record.rows.rows_out == known.sum() + done.record.missing_cells


def test_los_angeles_becomes_the_mean_of_every_hour(real):
    raw, done = real("los_angeles", "los_angeles_speed_5min.csv.gz")
    np.testing.assert_allclose(done.grid.values, raw.values.reshape(168, 12, 207).mean(axis=1), rtol=1e-12)
    assert done.record.rows == RowCounts(rows_in=2016, rows_out=168, quarantined=0, merged=2016 - 168)
    assert done.grid.times[0] == np.datetime64("2018-06-21T00:00")
