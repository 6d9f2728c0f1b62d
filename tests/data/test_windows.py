"""Windows: never across a gap, split by time, in a fixed order, scaled by the fit part alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.errors import ConfigError, DataRejected
from fl_tasks.contracts.series_config import SharedScale
from fl_tasks.data.series import Series
from fl_tasks.data.value_scale import Rate, Scale, model_scale
from fl_tasks.data.windows import Windows, calendar, latest_windows
from tests.data.examples import START, config, series, steps

NAN = np.nan
PLAIN = Scale(0.0, 1.0)


def cut(grid, settings_, part, scale=PLAIN, *, hold=False):
    """Make one part's examples."""
    windows = Windows(grid, settings_, hold_validation=hold)
    x = np.empty((windows.count(part), settings_.input_steps, settings_.features), dtype=np.float32)
    y = np.empty((windows.count(part), settings_.target_steps), dtype=np.float32)
    windows.fill(part, x, y, scale)
    return x, y


def season_of(grid, settings_, scale=PLAIN):
    windows = Windows(grid, settings_, hold_validation=False)
    season = np.empty((windows.count("test"), settings_.target_steps), dtype=np.float32)
    hour = np.empty(windows.count("test"), dtype=np.int8)
    windows.fill_season("test", season, scale)
    windows.fill_hour(hour)
    return season, hour


def expected(grid, settings_, part, *, hold=False):
    """The same by the plainest loops: an independent oracle."""
    inputs, targets = settings_.input_steps, settings_.target_steps
    length = len(grid.times)
    test = range(length * 8 // 10, length)
    validation = range(length * 7 // 10, test.start) if hold else range(0)
    fit = range(validation.start if hold else test.start)
    found = []
    for name in range(grid.values.shape[1]):
        for start in range(length - inputs - targets + 1):
            window = grid.values[start : start + inputs + targets, name]
            aims = range(start + inputs, start + inputs + targets)
            inside = {
                "fit": aims[-1] in fit,
                "validation": aims[0] in validation and aims[-1] in validation,
                "test": aims[0] in test,
            }
            if inside[part] and not np.isnan(window).any():
                found.append(window)
    return np.array(found, dtype=np.float32).reshape(len(found), inputs + targets)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 80), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.4]), st.booleans()
)
def test_windows_are_those_of_the_plain_loops_in_the_same_order(length, names, seed, missing, hold):
    draw = np.random.default_rng(seed)
    values = draw.uniform(1, 70, (length, names))
    values[draw.random((length, names)) < missing] = NAN
    grid, settings_ = series(range(length), values), config()
    for part in ("fit", "validation", "test"):
        x, y = cut(grid, settings_, part, hold=hold)
        found = np.concatenate([x[:, :, 0], y], axis=1)
        np.testing.assert_array_equal(found, expected(grid, settings_, part, hold=hold))


def test_the_boundaries_are_seven_and_eight_tenths_of_the_steps_for_every_length():
    for length in range(1, 400):
        windows = Windows(series(range(length), np.ones(length)), config(), hold_validation=True)
        assert (windows.fit_end, windows.boundary) == (length * 7 // 10, length * 8 // 10)


def test_targets_of_test_windows_all_lie_in_the_test_part_and_no_fit_window_reaches_into_it():
    grid, settings_ = series(range(100), np.arange(100.0) + 1), config()
    fit_x, fit_y = cut(grid, settings_, "fit")
    test_x, test_y = cut(grid, settings_, "test")
    assert max(fit_x[:, :, 0].max(), fit_y.max()) == 80.0  # the last value before step 80
    assert test_y.min() == 81.0
    assert test_x[:, :, 0].min() == 77.0  # four inputs before the boundary
    assert test_y.max() == 100.0


def test_time_of_day_is_sine_and_cosine_of_each_input_step():
    x, _ = cut(series(range(72, 100), np.ones(28)), config(), "fit")
    np.testing.assert_allclose(x[0, 0, 1:], [1.0, 0.0], atol=1e-6)  # step 72 is 06:00
    angle = 2 * np.pi * (72 + np.arange(4)) / 288
    np.testing.assert_allclose(x[0, :, 1:], np.stack([np.sin(angle), np.cos(angle)], axis=1), atol=1e-6)


def test_no_window_has_targets_on_both_sides_of_a_boundary_when_validation_is_held_back():
    grid, settings_ = series(range(100), np.arange(100.0) + 1), config()
    targets = {part: cut(grid, settings_, part, hold=True)[1] for part in ("fit", "validation", "test")}
    spans = {part: (y.min(), y.max()) for part, y in targets.items()}
    assert spans == {"fit": (5.0, 70.0), "validation": (71.0, 80.0), "test": (81.0, 100.0)}
    assert cut(grid, settings_, "validation")[1].size == 0


def test_the_week_is_a_cycle_that_begins_on_monday():
    times = np.datetime64("2018-06-11T00:00", "us") + np.arange(0, 14 * 24, 6) * np.timedelta64(1, "h")  # a Monday
    found = calendar(times, config(calendar=("day", "week")))
    week = 2 * np.pi * np.arange(len(times)) / 28
    day = 2 * np.pi * np.arange(len(times)) / 4
    np.testing.assert_allclose(found, np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], 1), atol=1e-6)
    before = np.array(["1969-12-22T00:00", "1969-12-24T12:00"], dtype="datetime64[us]")  # before the epoch, too
    np.testing.assert_allclose(
        calendar(before, config(calendar=("week",))),
        [[0, 1], [np.sin(2 * np.pi * 2.5 / 7), np.cos(2 * np.pi * 2.5 / 7)]],
        atol=1e-6,
    )
    assert calendar(times, config(calendar=())).shape == (len(times), 0)


def test_examples_are_as_wide_as_the_calendar_says():
    grid = series(range(100), np.arange(100.0) + 1)
    for cycles in ((), ("day",), ("day", "week")):
        settings_ = config(calendar=cycles)
        x, _ = cut(grid, settings_, "fit")
        assert x.shape[2] == 1 + 2 * len(cycles)
        np.testing.assert_array_equal(x[0, :, 1:], calendar(steps(0, 1, 2, 3), settings_))


def test_the_seasonal_forecast_is_the_value_a_day_before_the_target():
    grid, settings_ = series(range(1000), np.arange(1000.0)), config()
    season, hour = season_of(grid, settings_)
    _, y = cut(grid, settings_, "test")
    np.testing.assert_array_equal(season, y - 288)
    last = y[:, -1]  # a step's value is its number
    np.testing.assert_array_equal(hour, last // 12 % 24)
    assert hour.dtype == np.int8


def test_where_the_day_before_is_missing_the_last_value_stands():
    values = np.arange(1000.0)
    values[520] = NAN
    grid, settings_ = series(range(1000), values), config()
    season, _ = season_of(grid, settings_, Scale(100.0, 2.0))
    x, y = cut(grid, settings_, "test")
    gone = y - 288 == 520
    assert gone.sum() == 2  # as the first and as the second target
    expected_ = np.where(gone, np.repeat(x[:, -1:, 0], 2, axis=1), y - 288)
    np.testing.assert_allclose(season, (expected_ - 100.0) / 2.0, rtol=1e-6)
    short, _ = season_of(series(range(200), np.arange(200.0)), settings_)  # a day before lies before the grid
    np.testing.assert_array_equal(short, np.repeat(np.arange(159.0, 198.0)[:, None], 2, axis=1))


def test_a_forecast_beyond_a_day_never_looks_at_what_was_not_known_yet():
    settings_ = config(step_minutes=720, input_steps=2, horizons={"2d": 4})
    grid = Series(START + np.arange(50) * np.timedelta64(12, "h"), ("s0",), np.arange(50.0)[:, None])
    season, _ = season_of(grid, settings_)
    x, _ = cut(grid, settings_, "test")
    last = x[:, -1, 0]
    np.testing.assert_array_equal(season - last[:, None], np.tile([-1.0, 0.0, -1.0, 0.0], (len(last), 1)))


def test_a_step_that_does_not_divide_a_day_has_no_season():
    settings_ = config(step_minutes=7)
    grid = Series(START + np.arange(1000) * np.timedelta64(7, "m"), ("s0",), np.arange(1000.0)[:, None])
    season, _ = season_of(grid, settings_)
    x, _ = cut(grid, settings_, "test")
    np.testing.assert_array_equal(season, np.repeat(x[:, -1:, 0], 2, axis=1))


def test_the_latest_window_of_a_series_is_its_newest_whole_one_of_the_last_day():
    values = np.arange(400.0)[:, None] + np.array([0.0, 1000.0, 2000.0, 3000.0])
    values[398:, 1] = NAN  # ends earlier
    values[396, 2] = NAN  # a gap inside the newest four
    values[111:, 3] = NAN  # its newest value is 289 steps old: more than a day
    grid, scale = series(range(400), values), Scale(10.0, 5.0)
    found = latest_windows(grid, config(), scale)
    assert found.names == ("s0", "s1", "s2")
    np.testing.assert_array_equal(found.ends, steps(399, 397, 395))
    for row, (index, end) in enumerate(((0, 399), (1, 397), (2, 395))):
        np.testing.assert_allclose(found.x[row, :, 0] * 5 + 10, values[end - 3 : end + 1, index], rtol=1e-5)
        np.testing.assert_array_equal(found.x[row, :, 1:], calendar(grid.times[end - 3 : end + 1], config()))
    values[111, 3] = 3111.0
    found = latest_windows(series(range(400), values), config(), scale)
    assert (found.names[3], found.ends[3]) == ("s3", steps(111)[0])


@pytest.mark.parametrize("length", [1, 3])
def test_a_grid_shorter_than_a_window_has_no_latest_one(length):
    found = latest_windows(series(range(length), np.ones((length, 2))), config(), PLAIN)
    assert found.x.shape == (0, 4, 3)
    assert found.names == ()
    assert found.ends.shape == (0,)


def test_the_scale_is_that_of_the_fit_part_alone():
    values = np.concatenate([np.tile([40.0, 60.0], 40), np.full(20, 1e6)])
    values[3] = NAN
    scale = Windows(series(range(100), values), config(), hold_validation=False).own_scale()
    known = values[:80][~np.isnan(values[:80])]
    assert scale == Scale(known.mean(), known.std())
    held = Windows(series(range(100), values), config(), hold_validation=True).own_scale()
    known = values[:70][~np.isnan(values[:70])]
    assert held == Scale(known.mean(), known.std())


@pytest.mark.parametrize("value", [NAN, 50.0])
def test_values_that_cannot_be_scaled_are_rejected(value):
    with pytest.raises(DataRejected, match="cannot be scaled"):
        Windows(series(range(50), np.full(50, value)), config(), hold_validation=False).own_scale()


def test_a_shared_scale_is_the_same_speed_in_every_unit():
    own, shared = Scale(60.0, 7.0), SharedScale(unit="mph", mean=50.0, std=10.0)
    assert model_scale(config(), "mph", own) == own
    assert model_scale(config(scale=shared), "mph", own) == Scale(50.0, 10.0)
    metric = model_scale(config(scale=shared), "km/h", own)
    assert (metric.mean, metric.std) == pytest.approx((80.4672, 16.09344))
    with pytest.raises(ConfigError, match="do not convert"):
        model_scale(config(scale=shared), "vehicles/h", own)


def test_levels_are_each_series_own_mean_and_deviation_in_the_fit_part_alone():
    values = np.stack([np.tile([40.0, 60.0], 50), np.tile([10.0, 30.0], 50), np.full(100, NAN)], axis=1)
    values[80:] = 1000.0  # the test part must not tell; the third series is known by it only
    settings_ = config(series_levels=True)
    assert settings_.features == 5
    for part, levels in (("fit", [(1.0, 1.0), (4.0, 1.0)]), ("test", [(1.0, 1.0), (2.5, np.sqrt(3.25)), (4.0, 1.0)])):
        x, _ = cut(series(range(100), values), settings_, part, Scale(10.0, 10.0))
        np.testing.assert_allclose(np.unique(x[:, :, 3:].reshape(-1, 2), axis=0), levels, rtol=1e-6)


def test_a_forecast_sees_the_levels_of_all_that_was_delivered():
    values = np.stack([np.tile([40.0, 60.0], 50), np.tile([10.0, 30.0], 50)], axis=1)
    plain = latest_windows(series(range(100), values), config(), Scale(10.0, 10.0))
    found = latest_windows(series(range(100), values), config(series_levels=True), Scale(10.0, 10.0))
    np.testing.assert_array_equal(found.x[:, :, :3], plain.x)
    np.testing.assert_allclose(found.x[:, :, 3:], np.broadcast_to([[[4.0, 1.0]], [[1.0, 1.0]]], (2, 4, 2)))


def test_a_declared_season_is_the_value_so_many_steps_before_the_target():
    settings_ = config(step_minutes=1440, input_steps=2, season_steps=7, horizons={"9d": 9})
    grid = Series(START + np.arange(100) * np.timedelta64(1, "D"), ("s0",), np.arange(100.0)[:, None])
    season, hour = season_of(grid, settings_)
    _, y = cut(grid, settings_, "test")
    np.testing.assert_array_equal(y - season, np.tile([7.0] * 7 + [14.0] * 2, (len(y), 1)))
    assert not hour.any()
    fit = Windows(grid, settings_, hold_validation=False)
    early = np.empty((fit.count("fit"), 9), dtype=np.float32)
    fit.fill_season("fit", early, PLAIN)
    assert early[0].tolist() == [1.0] * 5 + [0.0, 1.0] + [1.0, 1.0]  # before the grid the last value stands


def test_a_year_is_a_cycle_that_begins_in_january():
    times = np.array(["2023-01-01", "2023-04-02T07:30"], dtype="datetime64[us]")  # a quarter of 365.25 days later
    np.testing.assert_allclose(calendar(times, config(calendar=("year",))), [[0, 1], [1, 0]], atol=1e-6)


def test_of_weeks_the_newest_window_may_end_a_week_before_the_grid():
    settings_ = config(step_minutes=10_080, input_steps=4, calendar=(), horizons={"1w": 1})
    times = START + np.arange(20) * np.timedelta64(7, "D")
    values = np.tile(np.arange(20.0)[:, None], 3)
    values[19:, 1] = NAN
    values[18:, 2] = NAN
    found = latest_windows(Series(times, ("s0", "s1", "s2"), values), settings_, PLAIN)
    assert found.names == ("s0", "s1")
    np.testing.assert_array_equal(found.ends, times[[19, 18]])


def test_values_of_the_fit_part_that_are_neither_zero_nor_missing_are_counted():
    values = np.zeros((100, 2))
    values[[3, 9, 79], 0] = [5.0, NAN, 1.0]
    values[80:, 1] = 7.0  # the test part
    assert Windows(series(range(100), values), config(), hold_validation=False).nonzero() == 2


def test_a_rate_is_what_x_and_y_hold():
    rate = Scale(0.0, 1.0, Rate("sqrt", 0.01))
    grid = series(range(100), np.arange(100.0))
    x, y = cut(grid, config(), "test", rate)
    plain_x, plain_y = cut(grid, config(), "test")
    np.testing.assert_allclose(x[:, :, 0], np.sqrt(plain_x[:, :, 0] / 100), rtol=1e-6)
    np.testing.assert_allclose(y, np.sqrt(plain_y / 100), rtol=1e-6)
