"""A folder of deliveries: order, columns that differ, later files that correct earlier ones, and what is said of it."""

from __future__ import annotations

import datetime as dt
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.data import Accepted
from fl_tasks.contracts.errors import InputError
from fl_tasks.data.ingest import month_hashes, record
from fl_tasks.data.series import Series
from fl_tasks.data.source_files import combine
from fl_tasks.data.table import Collected
from tests.data import sources
from tests.data.sources import SPAN, source, write

FIRST = "2012-03-01 00:00"
SECOND = "2012-03-01 00:05"


def read(folder, files, **declared):
    write(folder / "incoming", files)
    return sources.read(folder, source("incoming", **declared))


def table_of(rows):
    """Time -> values of the rows, in their order; NaN as None."""
    return [
        (str(time)[:16].replace("T", " "), [None if np.isnan(value) else value for value in values])
        for time, values in zip(rows.series.times, rows.series.values, strict=True)
    ]


def test_files_of_all_kinds_are_read_in_order_of_their_names(tmp_path):
    (tmp_path / "incoming" / "sub.csv").mkdir(parents=True)
    table = pa.table({"timestamp": [dt.datetime(2012, 3, 2)], "a": [2.0]})
    pq.write_table(table, tmp_path / "incoming" / "2.parquet")
    rows = read(
        tmp_path,
        {
            "3.csv.gz": gzip.compress(b"timestamp,a\n2012-03-03,3\n"),
            "1.CSV": "timestamp,a\n2012-03-01,1\n",
            ".0.csv": "half a delivery",
            "README.txt": "not data",
            "old/0.csv": "timestamp,a\n2012-03-01,9\n",
        },
    )
    assert rows.files == ("1.CSV", "2.parquet", "3.csv.gz")
    assert rows.series.values.ravel().tolist() == [1.0, 2.0, 3.0]
    assert (rows.replaced, rows.corrected) == (0, False)


def test_a_later_file_replaces_values_of_the_same_time_and_series(tmp_path):
    rows = read(
        tmp_path,
        {"1.csv": f"timestamp,a,b\n{FIRST},1,2\n{SECOND},3,4\n", "2.csv": f"timestamp,b,a\n{FIRST},20,10\n"},
    )
    assert rows.series.names == ("a", "b")
    assert table_of(rows) == [(SECOND, [3, 4]), (FIRST, [10, 20])]
    assert (rows.replaced, rows.corrected) == (1, True)


def test_what_a_later_file_does_not_say_stays(tmp_path):
    rows = read(
        tmp_path,
        {"1.csv": f"timestamp,a,b\n{FIRST},1,2\n", "2.csv": f"timestamp,b,c\n{FIRST},,7\n{SECOND},5,6\n"},
    )
    assert table_of(rows) == [(FIRST, [1, 2, None]), (FIRST, [None, None, 7]), (SECOND, [None, 5, 6])]
    assert (rows.replaced, rows.corrected) == (0, False)
    write(tmp_path / "incoming", {"3.csv": f"timestamp,b\n{FIRST},9\n"})
    rows = sources.read(tmp_path, source("incoming"))
    assert table_of(rows)[0] == (FIRST, [1, None, None])
    assert (rows.replaced, rows.corrected) == (0, True)


def test_a_row_without_a_value_goes_only_where_a_later_file_has_its_time(tmp_path):
    rows = read(tmp_path, {"1.csv": f"timestamp,a\n{FIRST},\n{SECOND},\n", "2.csv": f"timestamp,a\n{SECOND},\n"})
    assert table_of(rows) == [(FIRST, [None]), (SECOND, [None])]
    assert (rows.replaced, rows.corrected) == (1, False)


def test_rows_of_one_file_with_the_same_time_stay_as_they_are(tmp_path):
    rows = read(
        tmp_path, {"1.csv": f"timestamp,a\n{FIRST},1\n{FIRST},1\n", "2.csv": f"timestamp,a\n{SECOND},3\n{SECOND},4\n"}
    )
    assert table_of(rows) == [(FIRST, [1]), (FIRST, [1]), (SECOND, [3]), (SECOND, [4])]


def test_identifiers_stay_with_their_rows(tmp_path):
    rows = read(
        tmp_path,
        {"1.csv": f"timestamp,a,plate\n{FIRST},1,p1\n{SECOND},2,p2\n", "2.csv": f"timestamp,a\n{FIRST},3\n"},
        identifiers={"plate": "drop"},
    )
    assert rows.series.identifiers == {"plate": ["p2", ""]}


def test_a_declared_column_may_miss_in_one_file_but_not_in_all(tmp_path):
    files = {"1.csv": f"timestamp,a\n{FIRST},1\n", "2.csv": f"timestamp,b\n{FIRST},2\n"}
    rows = read(tmp_path, files, values={"a": "x", "b": "y"})
    assert rows.series.names == ("x", "y")
    with pytest.raises(InputError, match="incoming: there is no column 'c'"):
        read(tmp_path, files, values={"a": "x", "b": "y", "c": "z"})


def test_the_file_that_is_wrong_is_named(tmp_path):
    with pytest.raises(InputError, match=r"incoming/2\.csv: line 2: column 'a' is not a number"):
        read(tmp_path, {"1.csv": f"timestamp,a\n{FIRST},1\n", "2.csv": f"timestamp,a\n{SECOND},x\n"})


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"incoming: the folder holds no file whose name ends in \.csv"):
        read(tmp_path, {"README.txt": ""})


def test_a_check_goes_on_with_the_next_file(tmp_path):
    problems = Collected(20)
    write(
        tmp_path / "incoming", {"1.csv": "", "2.csv": "timestamp,a\nx,1\n2012-03-01,y\n2012-03-02\n", "3.csv": b"\xff"}
    )
    sources.read(tmp_path, source("incoming"), problems=problems, span=None)
    assert [str(problem).split(";")[0] for problem in problems.found] == [
        "incoming/1.csv: the file is empty",
        "incoming/2.csv: line 2: column 'timestamp' is no date and time",
        "incoming/2.csv: line 3: column 'a' is not a number",
        "incoming/2.csv: line 4: 1 cells, the header has 2",
        "incoming/3.csv: line 1: not UTF-8 text at byte 1, counted from 1",
    ]


@st.composite
def files(draw):
    """Two to four files over three series and four times, with gaps, duplicates and other columns."""
    parts = []
    for _ in range(draw(st.integers(2, 4))):
        names = draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True))
        minutes = draw(st.lists(st.integers(0, 3), max_size=5))
        values = [[draw(st.sampled_from([np.nan, 1.0, 2.0, 3.0])) for _ in names] for _ in minutes]
        times = np.datetime64("2012-03-01", "us") + np.array(minutes, dtype="timedelta64[m]")
        parts.append(
            Series(
                times.astype("datetime64[us]"),
                tuple(names),
                np.array(values, dtype=np.float64).reshape(len(minutes), len(names)),
            )
        )
    return parts


@given(files())
def test_of_every_time_and_series_the_last_files_values_are_left(parts):
    """Against the rule spelled out cell by cell."""
    expected = {}
    for part in parts:
        new = {}
        for time, row in zip(part.times.tolist(), part.values, strict=True):
            for name, value in zip(part.names, row, strict=True):
                if not np.isnan(value):
                    new.setdefault((time, name), []).append(value)
        expected |= new
    whole = combine(parts)
    found = {}
    for time, row in zip(whole.series.times.tolist(), whole.series.values, strict=True):
        for name, value in zip(whole.series.names, row, strict=True):
            if not np.isnan(value):
                found.setdefault((time, name), []).append(value)
    assert found == expected
    assert len(whole.series.times) + whole.replaced == sum(len(part.times) for part in parts)


def test_the_hash_of_a_month_depends_on_its_values_alone(tmp_path):
    one = read(tmp_path / "1", {"a.csv": f"timestamp,a,b\n{FIRST},1,2\n{FIRST},3,\n{SECOND},0,5\n"}).series
    split = {"b.csv": f"timestamp,c,b,a\n{SECOND},,5,-0\n", "c.csv": f"timestamp,a,b\n{FIRST},3,NA\n{FIRST},1,2\n"}
    other = read(tmp_path / "2", split).series
    assert month_hashes(one, SPAN) == month_hashes(other, SPAN)
    changed = read(tmp_path / "3", {"a.csv": f"timestamp,a,b\n{FIRST},1,2\n{FIRST},3,\n{SECOND},0,6\n"}).series
    assert month_hashes(one, SPAN) != month_hashes(changed, SPAN)


def test_only_months_whole_in_the_span_are_hashed_and_empty_ones_too(tmp_path):
    rows = read(tmp_path, {"a.csv": f"timestamp,a\n{FIRST},1\n"}).series
    span = (dt.datetime(2012, 1, 1, 0, 5), dt.datetime(2012, 4, 30))
    hashes = month_hashes(rows, span)
    assert sorted(hashes) == ["2012-02", "2012-03"]
    assert hashes["2012-02"] != hashes["2012-03"]


def test_notes_say_replay_corrections_and_changed_months_without_a_count(tmp_path):
    declared = source("incoming", replay_shift_weeks=52)
    write(tmp_path / "incoming", {"1.csv": "timestamp,a\n2011-03-03,1\n", "2.csv": "timestamp,a\n2011-03-03,2\n"})
    rows = sources.read(tmp_path, declared)
    first = record(rows, declared, SPAN, None)
    assert first.notes == ("replayed: moved by 52 weeks", "a later file replaced values of an earlier one")
    assert (first.files, first.rows_read, first.corrected) == (("1.csv", "2.csv"), 2, 1)
    end = dt.datetime(2012, 4, 1, tzinfo=dt.UTC)
    known = Accepted(interval_end=end, months=first.months | {"2012-01": "0" * 64})
    assert record(rows, declared, SPAN, known).notes == first.notes
    write(tmp_path / "incoming", {"3.csv": "timestamp,a\n2011-03-04,2\n"})
    assert record(sources.read(tmp_path, declared), declared, SPAN, known).notes[2:] == (
        "2012-03 has changed since the last accepted run (late or corrected data); it was read anew",
    )
