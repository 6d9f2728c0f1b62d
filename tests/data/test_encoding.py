"""Text that is not of the declared encoding, a column twice, dates in two orders: said with place, never the value."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import sqlite3
import traceback

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from fl_tasks.contracts.errors import InputError
from fl_tasks.data.csv_table import CsvTable, _first_wrong_byte
from fl_tasks.data.table import Collected
from tests.data import sources
from tests.data.sources import CANARY, source, write
from tests.servers.postgres import postgres_programs, postgres_server  # noqa: F401

CHINESE = "时间,北京市,车牌\n2012-03-01 00:00,1.5,京A12345\n2012-03-01 00:05,2.5,粤B𠮷678\n"
COLUMNS = {"time": {"column": "时间"}, "identifiers": {"车牌": "drop"}}


def refusal(folder, declared, **options):
    """The message of the refusal, which holds no value."""
    with pytest.raises(InputError) as caught:
        sources.read(folder, declared, **options)
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    assert "codec can't decode byte" not in told  # the codec names the byte
    return str(caught.value)


@pytest.mark.parametrize("name", ["speed.csv", "speed.csv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_declared_encoding_is_read_with_and_without_its_mark(tmp_path, name, mark, encoding):
    data = (mark + CHINESE).encode(encoding)
    write(tmp_path, {name: gzip.compress(data) if name.endswith("gz") else data})
    raw = sources.read(tmp_path, source(name, encoding=encoding, **COLUMNS)).series
    assert (raw.names, raw.values.ravel().tolist()) == (("北京市",), [1.5, 2.5])
    assert raw.identifiers == {"车牌": ["京A12345", "粤B𠮷678"]}


@pytest.mark.parametrize("name", ["speed.csv", "speed.csv.gz"])
@pytest.mark.parametrize("rows", [0, 1, 20_000])
def test_a_file_that_is_not_utf_8_is_refused_with_line_and_byte(tmp_path, name, rows):
    whole = b"timestamp,a,plate\n" + b"2012-03-01,1,\xe4\xba\xac\n" * rows
    data = whole + b"2012-03-01,1,\xe4\xba\xac" + "京".encode("gb18030") + CANARY.encode() + b"\n"
    write(tmp_path, {name: gzip.compress(data) if name.endswith("gz") else data})
    said = refusal(tmp_path, source(name, identifiers={"plate": "drop"}))
    place = f"{len(whole) + 17}" + (" of the unpacked file" if name.endswith("gz") else "")
    assert said.startswith(f"{name}: line {rows + 2}: not UTF-8 text at byte {place}, counted from 1; save the file")
    assert "declare its encoding, gb18030" in said


@pytest.mark.parametrize("padding", [*range(65_515, 65_540), 131_070, 131_071, 131_072])
def test_the_byte_is_right_where_a_character_lies_across_two_blocks(tmp_path, padding):
    head = b"timestamp,a\n" + b"\n" * (padding - 12)
    for start, at in ((b"\xe4\xba\xac\xff", 4), (b"\xe4\xba\x41", 1), (b"\xf0\x9f\x98", 1), (b"\x80", 1)):
        write(tmp_path, {"speed.csv": head + start})
        said = refusal(tmp_path, source("speed.csv"))
        assert f"line {head.count(bytes([10])) + 1}: not UTF-8 text at byte {padding + at}, " in said


def test_a_file_that_is_not_gb18030_is_refused_with_line_and_byte(tmp_path):
    write(tmp_path, {"speed.csv": CHINESE.encode("gb18030") + b"2012-03-01 00:10,\xff" + CANARY.encode()})
    said = refusal(tmp_path, source("speed.csv", encoding="gb18030", **COLUMNS))
    place = len(CHINESE.encode("gb18030")) + 18
    assert said == (
        f"speed.csv: line 4: not GB18030 text at byte {place}, counted from 1; save the file as GB18030, or correct "
        "encoding in the declaration"
    )


def test_a_wrong_byte_in_the_header_has_its_place_too(tmp_path):
    write(tmp_path, {"speed.csv": "timestamp,速度\n".encode("gb18030")})
    assert refusal(tmp_path, source("speed.csv")).startswith("speed.csv: line 1: not UTF-8 text at byte 11, ")


def test_a_file_that_is_exchanged_before_its_wrong_byte_is_looked_for_ends_the_search():
    assert _first_wrong_byte(io.BytesIO(b"a,b\n1,2").read, "utf-8") == (2, 8)


def text_table(folder, cells, column="plate"):
    """A Parquet file with texts whose bytes are given, as a careless program writes them."""
    binary = pa.array(cells, pa.binary())
    text = pa.StringArray.from_buffers(len(cells), *binary.buffers()[1:])
    times = pa.array([dt.datetime(2012, 3, 1)] * len(cells))
    columns = {"timestamp": times, "a": pa.array([1.0] * len(cells))} | {column: text}
    pq.write_table(pa.table(columns), folder / "speed.parquet", row_group_size=2)


@pytest.mark.parametrize("column", ["plate", "region", "timestamp"])
def test_parquet_text_that_is_not_utf_8_is_refused_with_its_row(tmp_path, column):
    good = b"2012-03-01" if column == "timestamp" else b"x"
    text_table(tmp_path, [good, good, CANARY.encode() + b"\xff"], column)
    changes = {"plate": {"identifiers": {"plate": "drop"}}, "region": {"long": {"series": "region", "value": "a"}}}
    said = refusal(tmp_path, source("speed.parquet", **changes.get(column, {})))
    assert said.startswith(f"speed.parquet: row 3: column {column!r} is not UTF-8 text")


@pytest.mark.parametrize("column", ["plate", "region", "timestamp"])
def test_sqlite_text_that_is_not_utf_8_is_refused_with_its_row(tmp_path, column):
    connection = sqlite3.connect(tmp_path / "speed.db")
    connection.execute("CREATE TABLE speed (timestamp TEXT, a REAL, plate TEXT, region TEXT)")
    rows = [{"timestamp": "2012-03-01", "a": at, "plate": "x", "region": "x"} for at in range(2)]
    for row in rows:
        connection.execute("INSERT INTO speed VALUES (:timestamp, :a, :plate, :region)", row)
    connection.execute(f"UPDATE speed SET {column} = CAST(x'3331333337ff' AS TEXT) WHERE a = 1")
    connection.commit()
    connection.close()
    write(tmp_path, {"url": "sqlite:///speed.db\n"})
    (tmp_path / "url").chmod(0o600)
    changes = {
        "plate": {"identifiers": {"plate": "drop"}, "values": {"a": "a"}},
        "region": {"long": {"series": "region", "value": "a"}},
        "timestamp": {"values": {"a": "a"}},
    }
    said = refusal(tmp_path, source(sql={"url_file": "url", "table": "speed"}, **changes[column]))
    wrong = "is no date and time" if column == "timestamp" else "is not UTF-8 text"
    assert said.startswith(f"table speed: row 2: column {column!r} {wrong}")


def test_postgres_text_that_is_not_of_its_own_encoding_is_refused(tmp_path, postgres_server):  # noqa: F811
    url = postgres_server.url("encodings")
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        # As a database does that was made with SQL_ASCII: it hands out bytes, and says that they are ASCII.
        connection.execute(sa.text("ALTER ROLE CURRENT_USER SET client_encoding = 'SQL_ASCII'"))
        connection.execute(sa.text("CREATE TABLE speed (timestamp timestamp, a real, plate text)"))
        rows = f"('2012-03-01', 1, 'x'), ('2012-03-02', 2, 'é{CANARY}')"
        connection.execute(sa.text(f"INSERT INTO speed VALUES {rows}"))
    write(tmp_path, {"url": url})
    (tmp_path / "url").chmod(0o600)
    declared = source(sql={"url_file": "url", "table": "speed"}, identifiers={"plate": "drop"})
    assert refusal(tmp_path, declared) == (
        "table speed: after row 0: a text is not of the encoding that the database declares; repair it there"
    )


def test_a_column_twice_in_a_header_is_named_with_both_places(tmp_path):
    write(tmp_path, {"speed.csv": f"timestamp,a,b, a\n2012-03-01,1,2,{CANARY}\n"})
    said = refusal(tmp_path, source("speed.csv"))
    assert said == "speed.csv: line 1: column 'a' is named twice, as 2 and 4 from the left; keep one of them"
    with pytest.raises(InputError, match="is named twice"):
        CsvTable(tmp_path / "speed.csv")


PATTERN = {"column": "when", "format": "%d/%m/%Y %H:%M"}
TURNED = (
    "is no date and time of the pattern '%d/%m/%Y %H:%M', but of '%m/%d/%Y %H:%M': day and month in the other order; "
    "write all dates in one order, and declare it in time.format"
)


def test_dates_in_two_orders_are_refused_with_the_first_row_that_fits_the_other_only(tmp_path):
    cells = ["03/04/2012 00:00", "13/03/2012 00:00", "03/14/2012 00:00", "03/15/2012 00:00"]
    write(tmp_path, {"speed.csv": "when,a\n" + "".join(f"{cell},{CANARY}\n" for cell in cells)})
    assert refusal(tmp_path, source("speed.csv", time=PATTERN)) == f"speed.csv: line 4: column 'when' {TURNED}"
    problems = Collected(20)
    sources.read(tmp_path, source("speed.csv", time=PATTERN), None, problems=problems)
    assert [str(problem).split(" is no")[0] for problem in problems.found] == [
        "speed.csv: line 4: column 'when'",
        "speed.csv: line 5: column 'when'",
    ]
    pq.write_table(pa.table({"when": cells, "a": [1.0] * 4}), tmp_path / "speed.parquet")
    said = refusal(tmp_path, source("speed.parquet", time=PATTERN))
    assert said == f"speed.parquet: row 3: column 'when' {TURNED}"


def test_dates_in_two_orders_in_a_database_are_refused_with_their_row(tmp_path):
    connection = sqlite3.connect(tmp_path / "speed.db")
    connection.execute("CREATE TABLE speed (timestamp TEXT, a REAL)")
    connection.executemany("INSERT INTO speed VALUES (?, 1)", [("03/04/2012 00:00",), ("03/14/2012 00:00",)])
    connection.commit()
    connection.close()
    write(tmp_path, {"url": "sqlite:///speed.db\n"})
    (tmp_path / "url").chmod(0o600)
    declared = source(sql={"url_file": "url", "table": "speed"}, time=PATTERN | {"column": "timestamp"})
    assert refusal(tmp_path, declared) == f"table speed: row 2: column 'timestamp' {TURNED}"


def test_california_declared_month_first_is_refused_at_its_first_13th(shared_data, tmp_path):
    """The file writes days first; only from the 13th of a month on does that show."""
    path = shared_data / "traffic" / "pems_california_lane_flow_5min_train.csv.gz"
    (tmp_path / "speed.csv.gz").write_bytes(path.read_bytes())
    declared = source("speed.csv.gz", time={"column": "5 Minutes", "format": "%m/%d/%Y %H:%M"})
    rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    first = next(line for line, row in enumerate(rows, 1) if row[:2] == "13")
    said = refusal(tmp_path, declared, span=None)
    assert said.startswith(f"speed.csv.gz: line {first}: column '5 Minutes' is no date and time of the pattern '%m/%d")
    assert "but of '%d/%m/%Y %H:%M': day and month in the other order" in said
