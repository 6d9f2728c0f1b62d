"""Reading an agency's CSV: what is wrong is said with file, line and column, never with the value."""

from __future__ import annotations

import datetime as dt
import gzip
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fl_tasks.contracts.config import ScheduleConfig
from fl_tasks.contracts.errors import InputError
from fl_tasks.data.ingest import local_interval, reading_span
from tests.data import sources
from tests.data.sources import CANARY, source, write

ROW = "2012-03-01 00:00:00,60.5,61.5\n"
PATTERN = {"column": "when", "format": "%d/%m/%Y %H:%M"}
INDEX = {"column": "hour", "format": "index", "start": dt.datetime(2012, 3, 1)}


def read(tmp_path, content, name="speed.csv", **declared):
    write(tmp_path, {name: content})
    return sources.read(tmp_path, source(name, **declared)).series


def test_the_time_may_stand_in_any_column(tmp_path):
    raw = read(tmp_path, "a,timestamp,b\n1,2012-03-01,2\n")
    assert (raw.names, raw.values.tolist()) == (("a", "b"), [[1.0, 2.0]])


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


def test_a_missing_file_and_one_of_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: there is no such file"):
        sources.read(tmp_path, source("nowhere.csv"))
    with pytest.raises(InputError, match=r"speed\.xlsx: its name must end in \.csv, \.csv\.gz, \.parquet"):
        read(tmp_path, "x", "speed.xlsx")


def test_a_pattern_reads_days_before_months_without_leading_zeros(tmp_path):
    raw = read(tmp_path, "when,a\n4/3/2012 0:05,1\n14/03/2012 23:55,2\n", time=PATTERN)
    assert raw.times.tolist() == [dt.datetime(2012, 3, 4, 0, 5), dt.datetime(2012, 3, 14, 23, 55)]


def test_months_before_days_do_not_pass_for_days_before_months(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, "when,a\n03/04/2012 0:05,1\n03/14/2012 0:05,2\n", time=PATTERN)
    assert "speed.csv: line 3: column 'when' is no date and time of the pattern '%d/%m/%Y %H:%M'" in str(caught.value)
    assert "14" not in str(caught.value)


def test_an_index_counts_steps_from_its_start(tmp_path):
    raw = read(tmp_path, "hour,a\n0,1\n25,2\n 9000 ,3\n", time=INDEX, step_minutes=60)
    assert raw.times.tolist() == [dt.datetime(2012, 3, 1), dt.datetime(2012, 3, 2, 1)]


@pytest.mark.parametrize("cell", ["-1", "1.5", "1_0", "", "٣", "2012-03-01"])
def test_an_index_is_a_whole_number(tmp_path, cell):
    with pytest.raises(InputError, match="line 2: column 'hour' is no index of steps"):
        read(tmp_path, f"hour,a\n{cell},1\n", time=INDEX)


def test_an_index_beyond_the_calendar_is_refused(tmp_path):
    with pytest.raises(InputError, match="line 2: column 'hour' is an index of steps beyond the calendar"):
        read(tmp_path, "hour,a\n99999999999999,1\n", time=INDEX)


def test_only_declared_values_are_read_and_named_as_declared(tmp_path):
    text = f"weather,b,timestamp,a\n{CANARY} rain,7,2012-03-01,55\n"
    raw = read(tmp_path, text, values={"a": "north", "b": "south"})
    assert (raw.names, raw.values.tolist()) == (("north", "south"), [[55.0, 7.0]])
    assert read(tmp_path, text, values={"a": "north"}).values.tolist() == [[55.0]]


def test_identifiers_are_kept_as_text_beside_the_series_if_they_are_there(tmp_path):
    declared = {"identifiers": {"plate": "drop", "owner": "hash"}}
    rows = "2012-02-01,1,x\n2012-03-01,2,京A12345 \n2012-03-02,3,\n"
    raw = read(tmp_path, "timestamp,a,plate\n" + rows, **declared)
    assert raw.names == ("a",)
    assert raw.identifiers == {"plate": ["京A12345", ""]}
    assert read(tmp_path, "timestamp,a\n2012-03-01,2\n", **declared).identifiers == {}


@pytest.mark.parametrize(
    ("declared", "header", "expected"),
    [
        ({"values": {"a": "x"}}, "timestamp,b", "there is no column of values ('a')"),
        ({"values": {"a": "x", "c": "y"}}, "timestamp,a", "there is no column 'c'"),
        ({"identifiers": {"plate": "drop"}}, "timestamp,plate", "no column beside 'timestamp'"),
        ({"time": {"column": "date"}}, "date,timestamp", "'timestamp' cannot name a series"),
        ({"values": {"a": "quarantine_reason"}}, "timestamp,a", "'quarantine_reason' cannot name a series"),
        ({"values": {"a": "plate"}, "identifiers": {"plate": "drop"}}, "timestamp,a,plate", "'plate' cannot name"),
    ],
)
def test_columns_that_do_not_fit_the_declaration_are_refused(tmp_path, declared, header, expected):
    cells = ",".join(["2012-03-01", "1", "1"][: header.count(",") + 1])
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"{header}\n{cells}\n", **declared)
    assert str(caught.value).startswith("speed.csv: ")
    assert expected in str(caught.value)


def test_a_replay_moves_whole_weeks_of_wall_time_and_the_span_counts_after_it(tmp_path):
    rows = "2011-09-14 23:55,1\n2011-09-15 00:05,2\n2011-10-15 23:55,3\n2011-10-16 00:00,4\n"
    raw = read(tmp_path, "timestamp,a\n" + rows, replay_shift_weeks=24)
    assert raw.times.tolist() == [dt.datetime(2012, 3, 1, 0, 5), dt.datetime(2012, 3, 31, 23, 55)]
    assert raw.values.ravel().tolist() == [2.0, 3.0]
    with pytest.raises(InputError, match=r"which this run reads \(after the replay's shift of 24 weeks\)"):
        read(tmp_path, "timestamp,a\n2012-03-01,1\n", replay_shift_weeks=24)


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
