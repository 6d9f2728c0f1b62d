"""The real files of four cities, by the repository's own declarations; counts as the data's SOURCES.md has them."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest

from fl_tasks.contracts.config import load_agency
from fl_tasks.data.ingest import read_source

FEDERATION = Path(__file__).resolve().parents[2] / "dags" / "federation"
SPAN = (dt.datetime(2018, 4, 1), dt.datetime(2018, 7, 1))
JUNE = (dt.datetime(2018, 6, 1), dt.datetime(2018, 7, 1))


@pytest.fixture
def city(shared_data, tmp_path):
    """Put the real files of a city where its YAML says, and read them."""

    def read(agency, *files, span=None):
        source = load_agency(FEDERATION, agency).scenarios["traffic"]
        folder = tmp_path / agency / source.path
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(shared_data / "traffic" / f"{file}.csv.gz", folder)
        return read_source(source, tmp_path / agency, span, name=agency).series

    return read


def test_los_angeles_is_a_week_of_207_detectors_replayed_in_june_2018(city):
    for span in (None, SPAN, JUNE):
        raw = city("los_angeles", "los_angeles_speed_5min", span=span)
        assert raw.values.shape == (2016, 207)
        assert raw.times[0] == np.datetime64("2018-06-21T00:00")
        assert raw.times[-1] == np.datetime64("2018-06-27T23:55")
    assert (raw.values[0, 0], np.isnan(raw.values).sum()) == (64.375, 0)
    assert raw.values.min() >= 1.0
    assert raw.values.max() <= 70.0


def test_california_is_two_files_of_one_station_days_before_months(city):
    files = [f"pems_california_lane_flow_5min_{part}" for part in ("test", "train")]
    raw = city("california_pems", *files)
    assert (raw.names, len(raw.times)) == (("lane_1",), 7776 + 4320)
    assert len(np.unique(raw.times)) == len(raw.times)
    # 2016-01-04, a Monday, moved by 117 weeks is a Monday; all are working days.
    assert raw.times.min() == np.datetime64("2018-04-02T00:00")
    assert raw.times.max() == np.datetime64("2018-06-28T23:55")
    weekdays = (raw.times.astype("datetime64[D]").astype(np.int64) + 3) % 7
    assert weekdays.max() == 4
    assert len(city("california_pems", span=JUNE).times) < len(raw.times)


def test_minneapolis_is_six_years_with_a_row_for_each_kind_of_weather(city):
    raw = city("minneapolis_i94", "minneapolis_i94_volume_1h")
    assert (raw.names, len(raw.times)) == (("i94",), 48204)
    assert len(raw.times) - len(np.unique(raw.times)) == 7629
    assert raw.times.min() == np.datetime64("2012-10-02T09:00")
    assert raw.times.max() == np.datetime64("2018-09-30T23:00")
    assert (np.diff(np.unique(raw.times)) > np.timedelta64(1, "h")).sum() == 2588


def test_new_york_counts_hours_from_may_2018_on(city):
    raw = city("new_york", "new_york_taxi_zone_pickups_1h")
    assert raw.values.shape == (1464, 30)
    assert raw.times[0] == np.datetime64("2018-05-01T00:00")
    assert raw.times[-1] == np.datetime64("2018-06-30T23:00")
    assert (np.diff(raw.times) == np.timedelta64(1, "h")).all()
    assert round(float((raw.values < 10).mean()), 4) == 0.0045
    assert len(city("new_york", span=JUNE).times) == 30 * 24
