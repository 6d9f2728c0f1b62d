"""Reading an agency's Parquet: typed columns, and the same strictness as for CSV, by row."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fl_tasks.contracts.errors import InputError
from tests.data import sources
from tests.data.sources import CANARY, source

TIMES = [dt.datetime(2012, 2, 1), dt.datetime(2012, 3, 1), dt.datetime(2012, 3, 1, 0, 5)]


def read(folder, columns, **declared):
    names = list(columns)
    arrays = [value if isinstance(value, pa.Array) else pa.array(value) for value in columns.values()]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), folder / "speed.parquet", row_group_size=2)
    return sources.read(folder, source("speed.parquet", **declared)).series


def test_integers_floats_decimals_and_nulls_become_floats(tmp_path):
    raw = read(
        tmp_path,
        {
            "timestamp": TIMES,
            "a": [1, None, 3],
            "b": pa.array([1.5, 2.5, None], pa.float32()),
            "c": [Decimal("1.25"), Decimal("2.25"), None],
        },
    )
    assert raw.times.tolist() == TIMES[1:]
    np.testing.assert_array_equal(raw.values, [[np.nan, 2.5, 2.25], [3.0, np.nan, np.nan]])


@pytest.mark.parametrize(
    ("cells", "time"),
    [
        (pa.array(TIMES, pa.timestamp("ns")), {}),
        (pa.array(TIMES, pa.timestamp("s")), {"format": "%d/%m/%Y %H:%M"}),  # a timestamp needs no pattern
        ([f"{time}" for time in TIMES], {}),
        ([f"{time:%d/%m/%Y %H:%M}" for time in TIMES], {"format": "%d/%m/%Y %H:%M"}),
        (pa.array([0, 8352, 8353], pa.int32()), {"format": "index", "start": TIMES[0]}),
    ],
)
def test_times_of_every_declared_kind_are_read(tmp_path, cells, time):
    assert read(tmp_path, {"timestamp": cells, "a": [1, 2, 3]}, time=time).times.tolist() == TIMES[1:]


def test_only_rows_inside_the_span_are_kept_to_the_microsecond(tmp_path):
    first, end = sources.SPAN
    tick = dt.timedelta(microseconds=1)
    raw = read(tmp_path, {"timestamp": [first - tick, first, end - tick, end], "a": [1, 2, 3, 4]})
    assert raw.values.ravel().tolist() == [2, 3]


def test_a_date_is_its_midnight(tmp_path):
    assert read(tmp_path, {"timestamp": [dt.date(2012, 3, 2)], "a": [1]}).times.tolist() == [dt.datetime(2012, 3, 2)]


def test_identifiers_of_any_type_come_as_text(tmp_path):
    raw = read(
        tmp_path,
        {"plate": ["x", None, "京A12345"], "timestamp": TIMES, "a": [1, 2, 3], "card": [1, 2, 3]},
        identifiers={"plate": "drop", "card": "hash"},
    )
    assert raw.identifiers == {"plate": ["", "京A12345"], "card": ["2", "3"]}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"time": TIMES, "a": [1, 2, 3]}, "there is no column 'timestamp'"),
        ({"timestamp": TIMES}, "no column beside 'timestamp'"),
        ({"timestamp": TIMES, "a": ["1", CANARY, "3"]}, "column 'a' is of type string, numbers are needed"),
        ({"timestamp": TIMES, "a": [True, False, True]}, "column 'a' is of type bool, numbers are needed"),
        ({"timestamp": TIMES, "a": [1.0, 2.0, float("-inf")]}, "row 3: column 'a' is infinite"),
        ({"timestamp": [TIMES[1], TIMES[1], None], "a": [1, 2, 3]}, "row 3: column 'timestamp' is empty"),
        ({"timestamp": ["2012-03-01", CANARY], "a": [1, 2]}, "row 2: column 'timestamp' is no date and time"),
        ({"timestamp": [1, 2], "a": [1, 2]}, "row 1: column 'timestamp' is neither text nor of the declared kind"),
        (
            {"timestamp": pa.array(TIMES, pa.timestamp("us", "UTC")), "a": [1, 2, 3]},
            "column 'timestamp' has a time zone",
        ),
        ({"timestamp": pa.array([], pa.timestamp("us")), "a": pa.array([], pa.int64())}, "no row; at least one"),
        ({"timestamp": TIMES[:1], "a": [1]}, "no row lies inside"),
    ],
)
def test_bad_content_is_refused_with_file_and_place_but_without_the_value(tmp_path, columns, expected):
    with pytest.raises(InputError) as caught:
        read(tmp_path, columns)
    assert str(caught.value).startswith("speed.parquet: ")
    assert expected in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(TIMES), pa.array([1, 2, 3]), pa.array([1, 2, 3])], ["timestamp", "a", "a"])
    pq.write_table(table, tmp_path / "speed.parquet")
    with pytest.raises(InputError, match=r"speed\.parquet: column 'a' is there twice"):
        sources.read(tmp_path, source("speed.parquet"))


@pytest.mark.parametrize("cut", [0, 3, 200, -1])
def test_a_damaged_file_is_refused(tmp_path, cut):
    read(tmp_path, {"timestamp": TIMES, "a": [1, 2, 3]})
    path = tmp_path / "speed.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"speed\.parquet: not a whole Parquet file"):
        sources.read(tmp_path, source("speed.parquet"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"speed\.parquet: there is no such file"):
        sources.read(tmp_path, source("speed.parquet"))


def test_reading_does_not_import_pandas(tmp_path):
    read(tmp_path, {"timestamp": pa.array(TIMES, pa.timestamp("ns")), "a": [1, None, 3]})
    code = (
        "import sys, pathlib\n"
        "from tests.data.sources import read, source\n"
        "read(pathlib.Path(sys.argv[1]), source('speed.parquet'))\n"
        "assert 'pandas' not in sys.modules, 'pandas was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
