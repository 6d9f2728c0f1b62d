"""Times of a quarter of an hour at least, places as cells or zones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.anonymize.coarsen import coarsen_time, coarsen_to_grid, coarsen_to_zone
from fl_tasks.anonymize.errors import ValueNotCovered
from fl_tasks.contracts.errors import ConfigError, InputError

DEGREES = (st.floats(-90, 90), st.floats(-180, 180))


def test_times_fall_to_the_start_of_their_step():
    times = np.array(["2018-06-21T13:59:59", "1969-12-31T23:50", "2018-06-21T00:00"], dtype="datetime64[s]")
    assert coarsen_time(times, 15).astype(str).tolist() == ["2018-06-21T13:45", "1969-12-31T23:45", "2018-06-21T00:00"]
    assert coarsen_time(times, 240).astype(str).tolist() == ["2018-06-21T12:00", "1969-12-31T20:00", "2018-06-21T00:00"]


@pytest.mark.parametrize("minutes", [0, 5, 14, 25, 2880])
def test_steps_under_a_quarter_of_an_hour_or_not_a_part_of_a_day_are_refused(minutes):
    with pytest.raises(ConfigError, match=f"a step of {minutes} minutes"):
        coarsen_time(np.array([], dtype="datetime64[s]"), minutes)


def test_missing_times_and_places_are_named_by_their_row():
    with pytest.raises(InputError, match="row 2: a time is missing"):
        coarsen_time(np.array(["2018-06-21", "NaT"], dtype="datetime64[s]"), 15)
    for latitude, longitude in ((91.0, 0.0), (0.0, 180.5), (np.nan, 0.0)):
        with pytest.raises(InputError, match="row 2: its place is missing"):
            coarsen_to_grid(np.array([0.0, latitude]), np.array([0.0, longitude]), 500.0)


@given(*DEGREES, st.floats(100, 50_000))
def test_a_place_lies_in_its_cell_and_the_cell_keeps_its_middle(latitude, longitude, metres):
    y, x = coarsen_to_grid(np.array([latitude]), np.array([longitude]), metres)
    half = metres / 111_320 / 2
    assert abs(y[0] - latitude) <= half + 1e-9
    # A cell is at most so wide that less than one more would fit around its band.
    columns = max(np.floor(360 * np.cos(np.radians(y[0])) / (2 * half)), 1.0)
    assert abs(x[0] - longitude) <= 180 / columns + 1e-9
    again = coarsen_to_grid(y, x, metres)
    assert again[0][0] == pytest.approx(y[0])
    assert again[1][0] == pytest.approx(x[0])


def test_near_places_become_one_and_cells_under_100_m_are_refused():
    latitude, longitude = np.array([39.9042, 39.9043]), np.array([116.4074, 116.4075])
    y, x = coarsen_to_grid(latitude, longitude, 1000.0)
    assert y[0] == y[1]
    assert x[0] == x[1]
    with pytest.raises(ConfigError, match="a cell of 50 m"):
        coarsen_to_grid(latitude, longitude, 50.0)


def test_a_place_without_a_zone_is_named_by_its_row():
    assert coarsen_to_zone(["a", "b", "a"], {"a": "north", "b": "south"}, column="stop") == ["north", "south", "north"]
    with pytest.raises(ValueNotCovered, match="column 'stop': row 2: its place has no zone") as caught:
        coarsen_to_zone(["a", "secret"], {"a": "north"}, column="stop")
    assert "secret" not in str(caught.value)
