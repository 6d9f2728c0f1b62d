"""The generator: the real data's shape, rhythm and flaws, and the same bytes for the same seed."""

from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pytest

from fl_tasks.scenarios import traffic_districts as traffic

SHAPE = {"district_northwest": 73, "district_northeast": 30, "district_southwest": 31, "district_southeast": 73}


@pytest.fixture(scope="module")
def tables():
    result = {}
    for district, files in traffic.generate(7).items():
        (content,) = files.values()
        header, *rows = csv.reader(io.StringIO(gzip.decompress(content).decode()))
        times = np.array([row[0] for row in rows], dtype="datetime64[s]")
        result[district] = (header, times, np.array([row[1:] for row in rows], dtype=np.float64))
    return result


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = traffic.generate(3), traffic.generate(3), traffic.generate(4)
    assert first == again
    assert all(content != other[district] for district, content in first.items())


def test_districts_have_the_real_ones_sensors_all_different_and_seven_days(tables):
    assert {district: len(header) - 1 for district, (header, _, _) in tables.items()} == SHAPE
    names = [name for header, _, _ in tables.values() for name in header[1:]]
    assert len(set(names)) == 207
    for header, times, _ in tables.values():
        assert header[0] == "timestamp"
        assert (times[0], times[-1]) == (np.datetime64("2012-03-01T00:00"), np.datetime64("2012-03-07T23:55"))


def test_about_eight_per_cent_are_zeros_in_bursts(tables):
    for _, _, values in tables.values():
        zero = values == 0.0
        assert 0.05 < zero.mean() < 0.11
        starts = (zero[1:] & ~zero[:-1]).sum()
        assert 15 < zero.sum() / starts < 35
        assert values[~zero].min() >= 3.0
        assert values.max() <= 70.0


def test_timestamps_repeat_and_are_missing(tables):
    for _, times, values in tables.values():
        steps = np.diff(times).astype(int)
        assert (steps == 0).sum() == 8
        same = [(values[i] == values[i + 1]).all() for i in np.flatnonzero(steps == 0)]
        assert 0 < sum(same) < len(same)
        assert 2016 - len(np.unique(times)) == 10
        assert (steps > 300).any()


def test_working_days_have_rush_hours_and_the_week_end_has_not(tables):
    for _, times, values in tables.values():
        speed = np.where(values > 0, values, np.nan)
        hour = (times - times.astype("datetime64[D]")).astype(int) // 3600
        working = np.is_busday(times.astype("datetime64[D]"))
        night = np.nanmean(speed[working & (hour < 4)])
        evening = np.nanmean(speed[working & (hour == 17)])
        assert night - evening > 6.0
        assert np.nanmean(speed[~working & (hour == 17)]) - evening > 3.0


def test_persistence_fails_by_as_much_as_on_the_real_data(tables):
    squares, number = 0.0, 0
    for _, times, values in tables.values():
        once = np.append(np.diff(times).astype(int) > 0, True)
        speed = np.where(values > 0, values, np.nan)[once]
        test = speed[int(len(speed) * 0.8) :]
        for ahead in (1, 2, 3):
            error = test[ahead:] - test[:-ahead]
            squares, number = squares + np.nansum(error**2), number + np.isfinite(error).sum()
    assert 5.0 < np.sqrt(squares / number) < 6.0


def test_sensors_are_disturbed_together_beyond_the_rhythm_of_the_day(tables):
    _, times, values = tables["district_northwest"]
    times, once = np.unique(times, return_index=True)
    slots = (times - times[0]).astype(int) // 300
    speed = np.full((7 * 288, values.shape[1]), np.nan)
    speed[slots] = np.where(values > 0, values, np.nan)[once]
    working = speed.reshape(7, 288, -1)[[0, 1, 4, 5, 6]]
    rest = (working - np.nanmean(working, axis=0)).reshape(5 * 288, -1)
    correlation = np.corrcoef(np.nan_to_num(rest).T)
    assert correlation[np.triu_indices(len(correlation), 1)].mean() > 0.03
