"""Running totals become counts of each step, and a correction becomes what the source declares."""

from __future__ import annotations

import datetime as dt
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.data import RowCounts
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.counts import correct, increments
from fl_tasks.data.series import Series
from fl_tasks.data.standardize import OFF_GRID, standardize
from tests.data import sources
from tests.data.examples import config

NAN = np.nan
DAY = np.timedelta64(1, "D")
FIRST = np.datetime64("2020-03-02", "us")  # a Monday


def counts_of(**changes):
    values = {
        "source_unit": "cases/day",
        "unit": "cases/day",
        "step_minutes": 1440,
        "maximum": 1e6,
        "zero_is_missing": False,
        "corrections": "missing",
    }
    return sources.source("cases.csv", **(values | changes))


def daily(*values, days=None):
    """One series, a value a day from FIRST on, or on the given days."""
    times = FIRST + np.array(days if days is not None else range(len(values))) * DAY
    return Series(times, ("s0",), np.array(values, dtype=np.float64)[:, None])


def column(done):
    return done.grid.values[:, 0]


def test_running_totals_become_the_counts_of_each_day_and_the_first_day_has_none():
    done = standardize(daily(5, 7, 7, 12), counts_of(cumulative=True), config(step_minutes=1440))
    np.testing.assert_array_equal(column(done), [NAN, 2, 0, 5])
    assert done.record.rows == RowCounts(rows_in=4, rows_out=4, quarantined=0, merged=0)
    assert done.record.missing_cells == 1


def test_a_count_after_a_gap_is_missing_since_nobody_knows_how_it_was_spread():
    raw = daily(1, 4, NAN, 9, 12, 20, days=[0, 1, 2, 3, 4, 7])
    done = standardize(raw, counts_of(cumulative=True), config(step_minutes=1440))
    np.testing.assert_array_equal(column(done), [NAN, 3, NAN, NAN, 3, NAN, NAN, NAN])


@pytest.mark.parametrize(
    ("rule", "expected", "unspread"),
    [
        ("missing", [3, 1, 0, NAN, 2, NAN, 4, NAN, NAN], 0),
        ("zero", [3, 1, 0, 0, 2, 0, 4, NAN, 0], 0),
        ("spread", [2, 0, 0, 0, 0, 0, 1, NAN, 0], 0),
    ],
)
def test_a_negative_count_becomes_what_the_source_declares(rule, expected, unspread):
    done = standardize(daily(3, 1, 0, -1, 2, -3, 4, NAN, -3), counts_of(corrections=rule), config(step_minutes=1440))
    np.testing.assert_array_equal(column(done), expected)
    assert (done.record.corrections, done.record.unspread) == (3, unspread)
    assert (done.record.rows.rows_out, done.record.out_of_range_cells) == (9, 0)


def test_what_the_steps_before_cannot_take_up_is_counted_and_left_out():
    done = standardize(daily(2, -5, 3, -1), counts_of(corrections="spread"), config(step_minutes=1440))
    np.testing.assert_array_equal(column(done), [0, 0, 2, 0])
    assert (done.record.corrections, done.record.unspread) == (2, 1)


def test_a_mistyped_total_and_its_repair_leave_no_trace_when_spread_and_are_out_of_range_else():
    raw = daily(10, 12, 9_000_012, 13)
    spread = standardize(raw, counts_of(cumulative=True, corrections="spread"), config(step_minutes=1440))
    np.testing.assert_array_equal(column(spread), [NAN, 2, 1, 0])
    zero = standardize(raw, counts_of(cumulative=True, corrections="zero"), config(step_minutes=1440))
    np.testing.assert_array_equal(column(zero), [NAN, 2, NAN, 0])
    assert (zero.record.out_of_range_cells, spread.record.out_of_range_cells) == (1, 0)


def test_without_corrections_a_negative_count_is_out_of_range():
    done = standardize(daily(3, -1, 2), counts_of(corrections=None), config(step_minutes=1440))
    assert done.record.quarantined_by_reason == {"out_of_range": 1}
    done = standardize(daily(3, -1, 2), counts_of(), config(step_minutes=1440))
    assert done.record.rows.quarantined == 0
    with pytest.raises(DataRejected):
        standardize(daily(-2e6), counts_of(), config(step_minutes=1440))  # no correction is larger than the maximum


def test_a_negative_running_total_is_quarantined():
    done = standardize(daily(3, -1, 5, 6), counts_of(cumulative=True), config(step_minutes=1440))
    assert done.record.quarantined_by_reason == {"out_of_range": 1}
    np.testing.assert_array_equal(column(done), [NAN, NAN, NAN, 1])


def test_counts_are_corrected_before_they_are_put_on_a_coarser_step():
    raw = daily(7, 0, 0, 0, 0, 0, -7, *[1] * 7)
    weekly = config(step_minutes=10_080)
    done = standardize(raw, counts_of(corrections="spread", unit="cases/week"), weekly)
    np.testing.assert_allclose(column(done), [0, 7])
    np.testing.assert_array_equal(done.grid.times, FIRST + np.arange(2) * 7 * DAY)


@pytest.mark.parametrize(("weekday", "expected"), [("monday", [NAN, 7]), ("wednesday", [7])])
def test_weeks_of_days_start_on_the_declared_weekday(weekday, expected):
    # From a Wednesday on, twelve days: five of one week and seven of the next, or seven and five.
    raw = daily(*[1] * 12, days=range(2, 14))
    declared = counts_of(unit="cases/week", time={"weekday": weekday})
    done = standardize(raw, declared, config(step_minutes=10_080))
    np.testing.assert_allclose(column(done)[: len(expected)], expected)
    assert done.record.rows == RowCounts(rows_in=12, rows_out=2, quarantined=0, merged=10)


def test_a_weekly_row_of_another_weekday_is_off_the_grid():
    weekly = counts_of(step_minutes=10_080, source_unit="cases/week", unit="cases/week", time={"weekday": "saturday"})
    raw = daily(1, 2, 3, 4, days=[5, 12, 18, 26])
    done = standardize(raw, weekly, config(step_minutes=10_080))
    assert done.reasons == [OFF_GRID]
    np.testing.assert_array_equal(column(done), [1, 2, NAN, 4])
    assert done.grid.times[0] == FIRST + 5 * DAY


@given(
    st.lists(st.one_of(st.integers(-20, 20).map(float), st.just(NAN)), min_size=1, max_size=40),
    st.sampled_from(["missing", "zero", "spread"]),
)
def test_no_count_stays_negative_and_spreading_keeps_the_sum(values, rule):
    counts = np.array(values)[:, None]
    before = counts.copy()
    done = correct(counts, rule)
    np.testing.assert_array_equal(counts, before)
    assert not (done.values < 0).any()
    assert done.corrections == (before < 0).sum()
    positive = np.nan_to_num(before) > 0
    if rule != "spread":
        np.testing.assert_array_equal(done.values[positive], before[positive])
        return
    # A step gives only to corrections after it, newest first: step by step, by the rule's words.
    expected = before.copy()
    unspread = 0
    for at in range(len(values)):
        owed = -min(np.nan_to_num(before[at, 0]), 0.0)
        if owed:
            expected[at] = 0.0
            for step in range(at - 1, -1, -1):
                given_up = min(owed, np.nan_to_num(expected[step, 0]))
                if given_up:
                    expected[step] -= given_up
                    owed -= given_up
            unspread += owed > 0
    np.testing.assert_array_equal(done.values, expected)
    assert done.unspread == unspread
    if not unspread:
        assert np.nansum(done.values) == np.nansum(before)


@given(
    st.lists(
        st.tuples(st.integers(0, 120).map(lambda n: n / 4), st.sampled_from([0.0, 3.0, 500.0, -4.0, 2e6, NAN])),
        min_size=1,
        max_size=40,
    ),
    st.booleans(),
    st.sampled_from(["missing", "zero", "spread"]),
    st.sampled_from([1440, 10_080]),
)
def test_rows_in_are_rows_out_and_quarantined_and_merged_under_every_rule_of_counts(rows, cumulative, rule, minutes):
    times = FIRST + (np.array([day for day, _ in rows]) * 86_400_000_000).astype("timedelta64[us]")
    raw = Series(times, ("s0",), np.array([[value] for _, value in rows]))
    declared = counts_of(cumulative=cumulative, corrections=rule)
    try:
        done = standardize(raw, declared, config(step_minutes=minutes, min_coverage=0.5))
    except DataRejected:
        return
    found = done.record.rows
    assert found.rows_in == len(rows) == found.rows_out + found.quarantined + found.merged
    assert len(done.quarantine.times) == found.quarantined == len(done.reasons)
    assert all(done.reasons)
    values = done.grid.values[np.isfinite(done.grid.values)]
    assert ((values >= 0.0) & (values <= declared.maximum)).all()


def test_increments_telescope():
    times = FIRST + np.arange(5) * DAY
    totals = np.array([[1.0, 0.0], [4.0, 2.0], [3.0, 2.0], [9.0, 7.0], [9.0, 7.0]])
    grown = increments(times, totals, DAY)
    np.testing.assert_array_equal(np.nansum(grown, axis=0), totals[-1] - totals[0])


def read(shared_data, folder, file, **changes):
    (folder / "in").mkdir(exist_ok=True)
    shutil.copy(shared_data / "epidemic" / f"{file}.csv.gz", folder / "in")
    declared = counts_of(**changes).model_copy(update={"path": "in"})
    return declared, sources.read(folder, declared, None).series


@pytest.mark.parametrize(("country", "provinces", "corrections"), [("china", 34, 26), ("australia", 8, 109)])
def test_the_corrections_of_the_running_totals_of_china_and_australia(
    shared_data, tmp_path, country, provinces, corrections
):
    file = f"covid19_jhu_{country}_provinces_daily"
    long = {"series": "province", "value": "confirmed_cum"}
    for rule in ("missing", "zero", "spread"):
        declared, raw = read(
            shared_data, tmp_path, file, time={"column": "date"}, long=long, cumulative=True, corrections=rule
        )
        assert raw.values.shape == (981, provinces)
        done = standardize(raw, declared, config(step_minutes=1440))
        assert done.record.corrections == corrections
        assert done.record.rows == RowCounts(rows_in=981, rows_out=981, quarantined=0, merged=0)
        grown = raw.values[-1] - raw.values[0]
        if rule == "spread":
            assert done.record.unspread == 0
            np.testing.assert_array_equal(np.nansum(done.grid.values, axis=0), grown)
        else:
            assert np.nansum(done.grid.values) > grown.sum()
            missing = provinces + (corrections if rule == "missing" else 0)
            assert np.isnan(done.grid.values).sum() == missing


def test_the_negative_new_cases_of_italy_are_corrections_of_its_totals(shared_data, tmp_path):
    file = "covid19_italy_regions_daily"
    common = {"time": {"column": "data"}, "corrections": "spread"}
    region = {"series": "denominazione_regione", "value": "nuovi_positivi"}
    declared, raw = read(shared_data, tmp_path, file, long=region, **common)
    new = standardize(raw, declared, config(step_minutes=1440))
    assert new.record.rows == RowCounts(rows_in=1042, rows_out=1042, quarantined=0, merged=0)
    assert (new.record.corrections, new.record.unspread) == (9, 0)
    np.testing.assert_array_equal(np.nansum(new.grid.values, axis=0), np.nansum(raw.values, axis=0))
    assert new.grid.values.min() == 0.0


def test_the_weeks_of_the_us_are_dated_by_their_saturday_and_14_are_missing(shared_data, tmp_path):
    declared, raw = read(
        shared_data,
        tmp_path,
        "influenza_hosp_us_states_weekly",
        time={"column": "date", "weekday": "saturday"},
        long={"series": "location", "value": "value"},
        step_minutes=10_080,
        source_unit="admissions/week",
        unit="admissions/week",
    )
    done = standardize(raw, declared, config(step_minutes=10_080))
    assert raw.names[0] == "02"  # text, with its zero
    assert (done.record.rows.quarantined, done.record.rows.merged) == (0, 0)
    assert np.isnan(raw.values).sum() - (raw.values.size - 8050) == 14
    assert done.grid.times[0].item() == dt.datetime(2022, 2, 5)
