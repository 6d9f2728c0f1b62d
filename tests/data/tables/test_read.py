"""Reading a table piece by piece: three kinds of source give the same rows, problems name their place and no value."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SqlConfig
from fl_tasks.data.sql_table import DatabaseUnreachable
from fl_tasks.data.tables import read as reading
from fl_tasks.data.tables.read import as_text
from tests.data.tables.declared import CANARY, COLUMNS, GOOD, HEADER, config, lines, read, source

FIELDS = HEADER.split(",")
ROWS = [
    ("a", 34, "24/12/1989", 1000.5, "yes", "no"),
    ("b", 35, "01/02/1985", None, None, "yes"),
    ("c", 36, "13/02/1985", 0.0, "no", "yes"),
]


def write_csv(folder, *, encoding="utf-8", name="people.csv", rows=ROWS):
    text = lines(*(",".join("" if cell is None else str(cell) for cell in row) for row in rows))
    data = text.encode(encoding)
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def write_parquet(folder, *, name="people.parquet", rows=ROWS):
    pq.write_table(
        pa.table({field: list(cells) for field, cells in zip(FIELDS, zip(*rows, strict=True), strict=True)}),
        folder / name,
    )


def write_sqlite(folder, *, rows=ROWS):
    with sqlite3.connect(folder / "agency.db") as database:
        database.execute("create table people (id text, age integer, born text, income real, work text, poor text)")
        database.executemany("insert into people values (?, ?, ?, ?, ?, ?)", rows)
    url = folder / "url"
    url.write_text("sqlite:///agency.db")
    url.chmod(0o600)


SQL = {"path": None, "sql": SqlConfig(url_file="url", table="people")}


def test_csv_parquet_and_a_database_give_the_same_rows(tmp_path):
    found = []
    for kind, write, declared in (
        ("csv", write_csv, {}),
        ("gz", lambda folder: write_csv(folder, name="people.csv.gz"), {"path": "people.csv.gz"}),
        ("parquet", write_parquet, {"path": "people.parquet"}),
        ("sql", write_sqlite, SQL),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        write(folder)
        found.append(read(folder, source(**declared)).rows)
    assert found[0]["age"] == [34.0, 35.0, 36.0]
    assert found[0]["work"] == ["yes", "", "no"]
    assert [str(row) for row in found] == [str(found[0])] * 4  # as text, since NaN is no NaN's equal


def test_files_of_a_folder_are_one_table(tmp_path):
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in", name="2.csv", rows=ROWS[2:])
    write_parquet(tmp_path / "in", name="1.parquet", rows=ROWS[:2])
    assert read(tmp_path, source(path="in")).rows["id"] == ["a", "b", "c"]


def test_gb18030_is_read_when_declared_and_refused_with_line_and_byte_when_not(tmp_path):
    schema = config((*COLUMNS[:4], {"column": "work", "role": "feature", "values": ("是", "否")}, COLUMNS[5]))
    write_csv(tmp_path, encoding="gb18030", rows=[("a", 34, "24/12/1989", 1, "是", "no")])
    assert read(tmp_path, source(encoding="gb18030"), schema=schema).rows["work"] == ["是"]
    with pytest.raises(InputError, match=r"people\.csv: line 2: not UTF-8 text at byte 48.*gb18030"):
        read(tmp_path, schema=schema)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines(GOOD, header=HEADER.replace("work", "age")), "people.csv: line 1: there is no column 'work'"),
        (lines(f"{GOOD},1", header=f"{HEADER},age"), "people.csv: line 1: column 'age' is named twice, as 2 and 7"),
        (lines(GOOD, f"{CANARY},1"), "people.csv: line 3: 2 cells, the header has 6"),
        (lines(), "people.csv: no row; at least one is needed"),
        ("", "people.csv: the file is empty"),
        (lines(GOOD, f'"{CANARY}'), "people.csv: not a CSV file"),
    ],
)
def test_a_damaged_file_names_file_line_and_column_but_no_value(tmp_path, text, message):
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert message in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_missing_file_and_one_of_another_kind_are_named(tmp_path):
    with pytest.raises(InputError, match=r"people\.csv: there is no such file"):
        read(tmp_path)
    (tmp_path / "people.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"people\.xlsx: its name must end in"):
        read(tmp_path, source(path="people.xlsx"))


def test_a_damaged_parquet_file_is_named_without_a_value(tmp_path):
    write_parquet(tmp_path)
    path = tmp_path / "people.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"people\.parquet: not a whole Parquet file"):
        read(tmp_path, source(path="people.parquet"))


def test_parquet_and_sql_tables_without_a_column_are_refused(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "people.parquet")
    with pytest.raises(InputError, match=r"people\.parquet: there is no column 'age', nor 4 others"):
        read(tmp_path, source(path="people.parquet"))
    write_sqlite(tmp_path)
    with pytest.raises(InputError, match="table people: there is no column 'years'"):
        read(tmp_path, source(**SQL, columns={"years": "age"}))


def test_a_database_that_does_not_answer_may_be_tried_again_and_its_url_stays_secret(tmp_path):
    url = tmp_path / "url"
    url.write_text("postgresql+psycopg2://me:geheim@127.0.0.1:1/db")
    url.chmod(0o600)
    with pytest.raises(DatabaseUnreachable) as caught:
        read(tmp_path, source(**SQL))
    assert caught.value.retryable
    assert "geheim" not in str(caught.value)


def test_typed_cells_have_the_text_that_a_declaration_names_them_by():
    cells = (None, True, False, 7, 7.0, 7.5, Decimal("7.00"), dt.date(2024, 6, 30), " x ", float("nan"))
    assert [as_text(cell) for cell in cells] == ["", "true", "false", "7", "7", "7.5", "7", "2024-06-30", "x", ""]


def test_a_long_number_that_is_an_identifier_keeps_its_digits(tmp_path):
    number = 110101199003077715  # beyond what a double holds
    table = {field: [row[at] for row in ROWS] for at, field in enumerate(FIELDS)}
    pq.write_table(pa.table({**table, "id": [number, number, number + 2]}), tmp_path / "people.parquet")
    assert read(tmp_path, source(path="people.parquet")).rows["id"][0] == str(number)


def test_pieces_change_nothing(tmp_path, monkeypatch):
    write_csv(tmp_path)
    whole = read(tmp_path)
    monkeypatch.setattr(reading, "CELLS", 6)
    pieces = read(tmp_path)
    assert str(pieces.rows) == str(whole.rows)
    assert pieces.record == whole.record


LIMITED = """
import resource, sys
from pathlib import Path
import numpy, pyarrow, pyarrow.parquet
from tests.data.tables.declared import read, source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = Path(sys.argv[1])
record = read.__globals__["ingest"](
    read.__globals__["declare"](read.__globals__["config"](), source(path=sys.argv[2], merge_duplicates=False)),
    read.__globals__["domains"](read.__globals__["config"]()), folder, "x", span=read.__globals__["SPAN"],
    raw=folder / "raw.parquet", rejected=folder / "rejected.parquet")
print(record.rows.rows_out, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_a_file_several_times_larger_than_the_memory_it_takes_is_read(tmp_path, name):
    count = 600_000
    row = "a" * 400 + ",34,24/12/1989,1000,yes,no\n"
    if name.endswith(".csv"):
        with (tmp_path / name).open("w") as file:
            file.write(HEADER + "\n")
            for _ in range(100):
                file.write(row * (count // 100))
    else:
        piece = pa.table(
            {
                field: [f"{number:0400}" if field == "id" else cell for number in range(count // 100)]
                for field, cell in zip(FIELDS, row.strip().split(","), strict=True)
            }
        )
        with pq.ParquetWriter(tmp_path / name, piece.schema, compression="none", use_dictionary=False) as writer:
            for _ in range(100):
                writer.write_table(piece)
    size = (tmp_path / name).stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), name],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == count
    assert grown < size / 3, f"{grown >> 20} MiB for a file of {size >> 20} MiB"
