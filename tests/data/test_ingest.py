"""Reading an agency's file: what is wrong is said with file, line and column, never with the value."""

from __future__ import annotations

import datetime as dt
import gzip
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fl_tasks.contracts.config import ScheduleConfig
from fl_tasks.contracts.errors import InputError
from fl_tasks.data.ingest import local_interval, read_span, reading_span

SPAN = (dt.datetime(2012, 3, 1), dt.datetime(2012, 4, 1))
CANARY = "31337"
ROW = "2012-03-01 00:00:00,60.5,61.5\n"


def read(tmp_path, content, name="speed.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_span(path, SPAN, name=name)


def test_values_and_times_come_through_and_empty_cells_are_missing(tmp_path):
    raw = read(tmp_path, "timestamp,773869,767541\n" + ROW + "2012-03-01T00:05,NaN,\n")
    assert raw.names == ("773869", "767541")
    assert raw.times.tolist() == [dt.datetime(2012, 3, 1), dt.datetime(2012, 3, 1, 0, 5)]
    np.testing.assert_array_equal(raw.values, [[60.5, 61.5], [np.nan, np.nan]])


def test_gzip_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    text = "\ufefftimestamp,a,b\r\n" + ROW.replace("\n", "\r\n") + "\r\n"
    assert read(tmp_path, gzip.compress(text.encode()), "speed.csv.gz").values.tolist() == [[60.5, 61.5]]


def test_only_rows_inside_the_span_are_kept(tmp_path):
    rows = "".join(f"{time},1,2\n" for time in ("2012-02-29 23:55", "2012-03-01", "2012-03-31 23:55", "2012-04-01"))
    raw = read(tmp_path, "timestamp,a,b\n" + rows)
    assert raw.times.tolist() == [dt.datetime(2012, 3, 1), dt.datetime(2012, 3, 31, 23, 55)]


def test_a_bad_number_outside_the_span_does_not_stop_the_run(tmp_path):
    assert len(read(tmp_path, f"timestamp,a,b\n2011-01-01,x{CANARY},2\n{ROW}").times) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("timestamp,a,b\n", "only a header"),
        ("timestamp\n2012-03-01\n", "no column beside 'timestamp'"),
        (f"time,a,b\n2012-03-01,{CANARY},2\n", "line 1: there is no column 'timestamp'"),
        (f"2012-03-01,{CANARY},{CANARY}\n", "line 1: there is no column 'timestamp'"),
        ("a,timestamp,b\n", "column 'timestamp' must be the first"),
        (f"timestamp,a,a\n2012-03-01,{CANARY},2\n", "column 'a' is named twice"),
        (f"timestamp,a,\n2012-03-01,{CANARY},2\n", "line 1: column 3 has no name"),
        (f"timestamp,a,b\n{ROW}{CANARY},1,2\n", "line 3: column 'timestamp' is no date and time"),
        (f"timestamp,a,b\n{ROW},1,2\n", "line 3: column 'timestamp' is no date and time"),
        (f"timestamp,a,b\n2012-03-01T00:00:00+08:00,{CANARY},2\n", "line 2: column 'timestamp' carries a UTC offset"),
        (f"timestamp,a,b\n{ROW}\n2012-03-01,1,x{CANARY}\n", "line 4: column 'b' is not a number"),
        (f"timestamp,a,b\n2012-03-01,1,{CANARY}_0\n", "line 2: column 'b' is not a number"),
        (f'timestamp,a,b\n2012-03-01,1,"{CANARY},5"\n', "line 2: column 'b' is not a number"),
        ("timestamp,a,b\n2012-03-01,inf,2\n", "line 2: column 'a' is infinite"),
        ("timestamp,a,b\n2012-03-01,1,-Infinity\n", "line 2: column 'b' is infinite"),
        ("timestamp,a,b\n2012-03-01,1,1e999\n", "line 2: column 'b' is infinite"),
        (f"timestamp,a,b\n{ROW}2012-03-01 00:05:00,{CANARY}\n", "line 3: 2 cells, the header has 3"),
        (f"timestamp,a,b\n{ROW}2012-03-01 00:05:00,{CANARY},1,2\n", "line 3: 4 cells, the header has 3"),
        (f"timestamp,a,b\n2013-01-01,{CANARY},2\n", "no row lies inside [2012-03-01 00:00, 2012-04-01 00:00)"),
        (f'timestamp,a,b\n2012-03-01,"{CANARY}"x,2\n', "not a CSV file"),
        ("timestamp,a,b\n2012-03-01,1,2\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_bad_content_is_refused_with_file_and_place_but_without_the_value(tmp_path, content, expected):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith("speed.csv: ")
    assert expected in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda data: b"timestamp,a\n", lambda data: data[:-20], lambda data: b""])
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    data = gzip.compress(("timestamp,a,b\n" + ROW * 500).encode())
    with pytest.raises(InputError, match=r"speed\.csv\.gz: (not a whole gzip file|the file is empty)"):
        read(tmp_path, damage(data), "speed.csv.gz")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no such file"):
        read_span(tmp_path / "nowhere.csv", SPAN, name="nowhere")
    with pytest.raises(InputError, match="a folder, but a CSV file is needed"):
        read_span(tmp_path, SPAN, name="home")


def schedule(months):
    return ScheduleConfig(
        cron="@monthly",
        timezone="America/Los_Angeles",
        start_date=dt.date(2012, 3, 1),
        catchup=False,
        max_active_runs=1,
        lookback_months=months,
    )


def test_the_span_is_local_wall_time_and_goes_back_whole_months_over_the_clock_change():
    zone = ZoneInfo("America/Los_Angeles")
    interval = (dt.datetime(2012, 3, 1, tzinfo=zone), dt.datetime(2012, 4, 1, tzinfo=zone))
    in_utc = tuple(moment.astimezone(dt.UTC) for moment in interval)
    assert in_utc[1].hour == 7  # summer time: the interval's end is not the offset of its start
    assert local_interval(schedule(3), in_utc) == (dt.datetime(2012, 3, 1), dt.datetime(2012, 4, 1))
    assert reading_span(schedule(3), in_utc) == (dt.datetime(2012, 1, 1), dt.datetime(2012, 4, 1))
    assert reading_span(schedule(12), in_utc)[0] == dt.datetime(2011, 4, 1)


def test_a_month_back_from_the_31st_ends_on_the_shorter_months_last_day():
    end = dt.datetime(2012, 3, 31, 12, tzinfo=ZoneInfo("America/Los_Angeles"))
    assert reading_span(schedule(1), (end - dt.timedelta(days=1), end))[0] == dt.datetime(2012, 2, 29, 12)
