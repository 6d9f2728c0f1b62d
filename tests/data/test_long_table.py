"""Long tables, one row for each time and series, and sources that hold rows of others too."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.data import RowCounts
from fl_tasks.contracts.errors import InputError
from fl_tasks.data.long_table import Labels, widen
from fl_tasks.data.series import Series
from fl_tasks.data.standardize import standardize
from fl_tasks.data.table import Collected, Problems
from tests.data import sources
from tests.data.examples import config
from tests.data.sources import CANARY, source, write

LONG = {"series": "region", "value": "cases"}
HEADER = ("timestamp", "region", "kind", "cases", "note")
ROWS = [
    ("2012-03-01", "Lazio", "new", 5, "x"),
    ("2012-03-01", "Molise", "new", None, "x"),
    ("2012-03-02", "Molise", "new", 7, "x"),
    ("2012-03-02", "Lazio", "all", 99, "x"),
    ("2012-02-01", "Puglia", "new", 8, "x"),
]


def declared(kind="csv", **changes):
    where = {"sql": {"url_file": "url", "table": "cases"}} if kind == "sql" else {"path": f"cases.{kind}"}
    return source(**({"long": LONG, "maximum": 1e6, "zero_is_missing": False} | where | changes))


@pytest.fixture(params=["csv", "parquet", "sql"])
def read(request, tmp_path):
    """Write rows as a file or table, and read them as declared."""

    def of(rows, header=HEADER, span=sources.SPAN, problems=None, **changes):
        if request.param == "csv":
            lines = (",".join("" if cell is None else str(cell) for cell in row) for row in (header, *rows))
            write(tmp_path, {"cases.csv": "".join(f"{line}\n" for line in lines)})
        elif request.param == "parquet":
            columns = {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}
            pq.write_table(pa.table(columns), tmp_path / "cases.parquet", row_group_size=2)
        else:
            (tmp_path / "cases.db").unlink(missing_ok=True)
            connection = sqlite3.connect(tmp_path / "cases.db")
            kinds = ["INTEGER" if isinstance(cell, int) else "TEXT" for cell in rows[0]]
            columns = ", ".join(f"{name} {kind}" for name, kind in zip(header, kinds, strict=True))
            connection.execute(f"CREATE TABLE cases ({columns})")
            connection.executemany(f"INSERT INTO cases VALUES ({', '.join('?' * len(header))})", rows)
            connection.commit()
            connection.close()
            write(tmp_path, {"url": "sqlite:///cases.db\n"})
            (tmp_path / "url").chmod(0o600)
        return sources.read(tmp_path, declared(request.param, **changes), span, problems=problems).series

    return of


def table_of(raw):
    return [
        (str(time)[:10], [None if np.isnan(value) else value for value in row])
        for time, row in zip(raw.times, raw.values, strict=True)
    ]


def test_a_long_table_becomes_a_row_a_time_and_a_column_a_series(read):
    raw = read(ROWS, only={"kind": ("new",)})
    assert raw.names[:2] == ("Lazio", "Molise")
    assert [(time, row[:2]) for time, row in table_of(raw)] == [("2012-03-01", [5, None]), ("2012-03-02", [None, 7])]
    assert raw.identifiers == {}


def test_values_choose_and_name_the_series_of_a_long_table(read):
    raw = read(ROWS, values={"Molise": "south", "Lazio": "middle"}, only={"kind": ("new", "all")})
    assert raw.names == ("south", "middle")
    assert table_of(raw) == [("2012-03-01", [None, 5]), ("2012-03-02", [7, 99])]


def test_whole_numbers_name_series_and_choose_rows_as_their_text(read):
    rows = [("2012-03-01", 13, 1, 5), ("2012-03-01", 3, 1, 6), ("2012-03-01", 13, 2, 7), ("2012-03-01", 20, 1, 8)]
    raw = read(rows, ("timestamp", "region", "kind", "cases"), only={"kind": ("1",), "region": ("13", "3")})
    assert (raw.names, raw.values.tolist()) == (("13", "3"), [[5.0, 6.0]])


def test_a_value_given_twice_goes_into_a_second_row_that_standardize_merges(read):
    rows = [("2012-03-01", "a", 1), ("2012-03-01", "b", 2), ("2012-03-01", "a", 3), ("2012-03-02", "b", 4)]
    raw = read(rows, ("timestamp", "region", "cases"))
    assert [row for _, row in table_of(raw)] == [[1, 2], [3, None], [None, 4]]
    done = standardize(raw, declared(step_minutes=1440), config(step_minutes=1440))
    np.testing.assert_array_equal(done.grid.values, [[2, 2], [np.nan, 4]])
    assert done.record.rows == RowCounts(rows_in=3, rows_out=2, quarantined=0, merged=1)
    assert done.record.conflicting == 1


def test_others_rows_are_not_read_whatever_stands_in_them(read):
    bad = [("2012-03-01", "mine", 1), (CANARY, "theirs", 2), ("2012-03-02", "theirs", None)]
    raw = read(bad, ("timestamp", "region", "cases"), only={"region": ("mine",)})
    assert (raw.names, raw.values.tolist()) == (("mine",), [[1.0]])


def test_a_wide_table_is_read_by_its_own_rows_only_too(read):
    rows = [("2012-03-01", "mine", 1, 2), ("2012-03-01", "theirs", 3, 4)]
    raw = read(rows, ("timestamp", "office", "a", "b"), only={"office": ("mine",)}, long=None)
    assert (raw.names, raw.values.tolist()) == (("a", "b"), [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("rows", "changes", "expected"),
    [
        (
            [("2012-03-01", "a", 1)],
            {"long": {"series": "land", "value": "cases"}},
            "there is no column 'land'; it must",
        ),
        (
            [("2012-03-01", "a", 1)],
            {"long": {"series": "region", "value": "n"}},
            "there is no column 'n'; it must hold",
        ),
        ([("2012-03-01", "a", 1)], {"only": {"office": ("x",)}}, "there is no column 'office'; it must say which rows"),
        ([("2012-03-01", "a", 1)], {"values": {"a": "x", "b": "y"}}, "there is no row of 'region' that says 'b'"),
        ([("2012-03-01", "timestamp", 1)], {}, "'timestamp' cannot name a series"),
        ([("2012-03-01", "a", 1), ("2012-03-01", "", CANARY)], {}, "column 'region' is empty; every row must say"),
        (
            [("2012-03-01", "a", 1)],
            {"only": {"region": ("x",)}},
            ("no row that 'region' choose", "no own row lies inside"),
        ),
        ([("2013-03-01", "a", 1)], {}, "no row lies inside"),
    ],
)
def test_a_long_table_that_does_not_fit_the_declaration_is_refused(read, rows, changes, expected):
    rows = [(time, label, int(value)) for time, label, value in rows]
    with pytest.raises(InputError) as caught:
        read(rows, ("timestamp", "region", "cases"), **changes)
    assert any(text in str(caught.value) for text in ([expected] if isinstance(expected, str) else expected))
    assert CANARY not in str(caught.value)


def test_a_source_without_an_own_row_is_a_problem_where_all_is_checked(read):
    problems = Collected(20)
    read([("2012-03-01", "a", 1)], ("timestamp", "region", "cases"), None, problems, only={"region": ("x",)})
    assert [problem for problem in map(str, problems.found) if "no row that 'region' choose" in problem]


def test_a_measure_in_place_of_the_series_is_noticed_before_it_fills_the_memory():
    labels = Labels("cases", Problems())
    for row in range(10_000):
        labels.add(str(row), f"row {row + 1}")
    assert labels.add("0", "row 10001") == "0"
    with pytest.raises(InputError, match="row 10002: column 'cases' holds more than 10000 different texts"):
        labels.add("10000", "row 10002")


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.sampled_from([1.0, 2.0, np.nan])),
        min_size=0,
        max_size=30,
    )
)
def test_every_value_of_a_long_table_stands_once_in_the_wide_one(rows):
    """And of each time there are as many rows as its most frequent series has."""
    labels = Labels("region", Problems())
    of = [labels.add(label, "row") for _, label, _ in rows]
    times = np.datetime64("2012-03-01", "us") + np.array([day for day, *_ in rows], dtype="timedelta64[D]")
    long = Series(times.astype("datetime64[us]"), ("cases",), np.array([[value] for *_, value in rows]).reshape(-1, 1))
    wide = widen(long, of, labels, declared(), "cases").series
    found = [
        (time, name, value)
        for time, row in zip(wide.times.tolist(), wide.values, strict=True)
        for name, value in zip(wide.names, row, strict=True)
        if not np.isnan(value)
    ]
    given_ = [(time, label, value) for time, label, (_, _, value) in zip(times.tolist(), of, rows, strict=True)]
    assert sorted(found) == sorted(cell for cell in given_ if not np.isnan(cell[2]))
    pairs = [(day, label) for day, label, _ in rows]
    assert len(wide.times) == sum(
        max(pairs.count((day, label)) for label in "abc") for day in {day for day, *_ in rows}
    )


def test_italys_file_gives_its_regions_cell_for_cell(shared_data, tmp_path):
    path = shared_data / "epidemic" / "covid19_italy_regions_daily.csv.gz"
    (tmp_path / "cases.csv.gz").write_bytes(path.read_bytes())
    columns = {"long": {"series": "denominazione_regione", "value": "nuovi_positivi"}, "time": {"column": "data"}}
    whole = sources.read(tmp_path, declared("csv.gz", **columns), None).series
    assert whole.values.shape == (1042, 16)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = (dt.date.fromisoformat(row["data"]) - dt.date(2020, 2, 24)).days
            assert whole.values[at, whole.names.index(row["denominazione_regione"])] == float(row["nuovi_positivi"])
    own = sources.read(tmp_path, declared("csv.gz", only={"codice_regione": ("1", "7")}, **columns), None).series
    assert own.names == ("Liguria", "Piemonte")
    np.testing.assert_array_equal(own.values, whole.values[:, [whole.names.index(name) for name in own.names]])


def test_the_us_total_is_no_state(shared_data, tmp_path):
    path = shared_data / "epidemic" / "influenza_hosp_us_states_weekly.csv.gz"
    (tmp_path / "cases.csv.gz").write_bytes(path.read_bytes())
    columns = {"long": {"series": "location", "value": "value"}, "time": {"column": "date"}}
    assert "US" in sources.read(tmp_path, declared("csv.gz", **columns), None).series.names
    own = sources.read(tmp_path, declared("csv.gz", values={"02": "alaska"}, **columns), None).series
    assert own.names == ("alaska",)
