"""Reading an agency's table from SQLite and from a real PostgreSQL server; the URL is a secret."""

from __future__ import annotations

import datetime as dt
import sqlite3
import traceback
import uuid

import numpy as np
import pytest
import sqlalchemy as sa

from fl_tasks.contracts.errors import InputError
from fl_tasks.data.ingest import read_source
from fl_tasks.data.sql_table import DatabaseUnreachable
from tests.data import sources
from tests.data.sources import CANARY, SPAN, source, write
from tests.servers.postgres import PostgresServer, postgres_programs, postgres_server  # noqa: F401

TIMES = [
    dt.datetime(2012, 2, 29, 23, 55),
    dt.datetime(2012, 3, 1),
    dt.datetime(2012, 3, 31, 23, 55),
    dt.datetime(2012, 4, 1),
]
URL_FILE = "secrets/database.url"


def declared(table="speed", **changes):
    return source(sql={"url_file": URL_FILE, "table": table}, **changes)


def put_url(folder, url, mode=0o600):
    write(folder, {URL_FILE: f"{url}\n"})
    (folder / URL_FILE).chmod(mode)


@pytest.fixture
def sqlite(tmp_path):
    """Make table speed of an SQLite database in the agency's folder, and read it."""

    def read(create, rows, **changes):
        (tmp_path / "speed.db").unlink(missing_ok=True)
        connection = sqlite3.connect(tmp_path / "speed.db")
        connection.execute(create)
        if rows:
            connection.executemany(f"INSERT INTO speed VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.commit()
        connection.close()
        put_url(tmp_path, "sqlite:///speed.db")
        return sources.read(tmp_path, declared(**changes)).series

    return read


@pytest.fixture
def postgres(postgres_server, tmp_path):  # noqa: F811
    """Run statements in a database of their own, and read a table of it."""
    url = postgres_server.url(f"test_{uuid.uuid4().hex}")
    put_url(tmp_path, url)
    engine = sa.create_engine(url, poolclass=sa.NullPool)

    def read(*statements, table="speed", span=SPAN, **changes):
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
        return sources.read(tmp_path, declared(table, **changes), span).series

    return read


@pytest.mark.parametrize("kind", ["TEXT", "DATETIME", "DATE", ""])
def test_sqlite_gives_the_rows_of_the_span_however_their_times_are_written(sqlite, kind):
    rows = [(f"{time}", index) for index, time in enumerate(TIMES)]
    rows += [(time.isoformat(), index) for index, time in enumerate(TIMES)]
    rows += [("2012-03-02", 7), ("20120303T0005", 8), ("20110303T0005", 9)]
    raw = sqlite(f"CREATE TABLE speed (timestamp {kind}, a REAL)", rows)
    assert sorted(raw.values.ravel().tolist()) == [1, 1, 2, 2, 7, 8]
    assert set(raw.times.tolist()) == {*TIMES[1:3], dt.datetime(2012, 3, 2), dt.datetime(2012, 3, 3, 0, 5)}


def test_sqlite_numbers_without_a_declared_type_and_null(sqlite):
    raw = sqlite("CREATE TABLE speed (timestamp, a, b INTEGER)", [(f"{TIMES[1]}", 1.5, None), (f"{TIMES[2]}", None, 2)])
    np.testing.assert_array_equal(raw.values, [[1.5, np.nan], [np.nan, 2.0]])


def test_sqlite_times_of_a_pattern_or_an_index(sqlite):
    pattern = {"format": "%d/%m/%Y %H:%M"}
    rows = [(f"{time:%d/%m/%Y %H:%M}", index) for index, time in enumerate(TIMES)]
    raw = sqlite("CREATE TABLE speed (timestamp TEXT, a REAL)", rows, time=pattern)
    assert sorted(raw.values.ravel().tolist()) == [1, 2]
    index = {"format": "index", "start": TIMES[0]}
    raw = sqlite("CREATE TABLE speed (timestamp INTEGER, a REAL)", [(0, 5), (1, 6), (2, 7), (99999, 8)], time=index)
    assert raw.values.ravel().tolist() == [6, 7]


@pytest.mark.parametrize(
    ("create", "row", "expected"),
    [
        ("(time TEXT, a REAL)", (f"{TIMES[1]}", 1), "there is no column 'timestamp'"),
        ("(timestamp TEXT)", (f"{TIMES[1]}",), "no column beside 'timestamp'"),
        ("(timestamp TEXT, a TEXT)", (f"{TIMES[1]}", CANARY), "column 'a' is of type TEXT, numbers are needed"),
        ("(timestamp TEXT, a REAL)", (f"{TIMES[1]}", f"x{CANARY}"), "row 1: column 'a' is not a number"),
        ("(timestamp TEXT, a REAL)", (f"{TIMES[1]}", float("inf")), "row 1: column 'a' is infinite"),
        ("(timestamp DATETIME, a REAL)", (f"{CANARY} March", 1), "row 1: column 'timestamp' is no date and time"),
        ("(timestamp DATETIME, a REAL)", (None, 1), "row 1: column 'timestamp' is empty"),
        ("(timestamp DATETIME, a REAL)", ("2012-03-01T00:00+08:00", 1), "row 1: column 'timestamp' carries a UTC"),
        ("(timestamp DATETIME, a REAL)", (f"{TIMES[0]}", 1), "no row lies inside"),
    ],
)
def test_a_bad_table_is_refused_with_place_but_without_the_value(sqlite, create, row, expected):
    with pytest.raises(InputError) as caught:
        sqlite(f"CREATE TABLE speed {create}", [row])
    assert str(caught.value).startswith("table speed: ")
    assert expected in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_an_sqlite_database_is_neither_made_nor_changed(tmp_path, sqlite):
    sqlite("CREATE TABLE speed (timestamp TEXT, a REAL)", [(f"{TIMES[1]}", 1)])
    before = (tmp_path / "speed.db").read_bytes()
    sources.read(tmp_path, declared())
    assert (tmp_path / "speed.db").read_bytes() == before
    put_url(tmp_path, "sqlite:///other.db")
    with pytest.raises(InputError, match=r"the SQLite database of secrets/database\.url is not there"):
        sources.read(tmp_path, declared())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secrets", "speed.db"]


def test_an_unknown_table_is_named(tmp_path, sqlite):
    sqlite("CREATE TABLE speed (timestamp TEXT, a REAL)", [(f"{TIMES[1]}", 1)])
    with pytest.raises(InputError, match="table flow: there is no such table or view"):
        sources.read(tmp_path, declared("flow"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_url_file_that_others_can_open_is_refused(tmp_path, mode):
    put_url(tmp_path, f"sqlite:///{CANARY}.db", mode)
    with pytest.raises(InputError, match=rf"secrets/database\.url is open to others \(mode {mode:04o}\).*chmod 600"):
        sources.read(tmp_path, declared())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{CANARY}", "holds no SQLAlchemy URL"),
        ("", "holds no SQLAlchemy URL"),
        (f"postgresql://user:{CANARY}@host:port/x", "holds no SQLAlchemy URL"),
        (f"nobase://user:{CANARY}@host/x", "no driver serves this URL"),
        (f"mysql://user:{CANARY}@host/x", "no driver serves this URL"),
    ],
)
def test_a_url_that_is_none_is_refused_without_being_told(tmp_path, content, expected):
    put_url(tmp_path, content)
    with pytest.raises(InputError, match=expected) as caught:
        sources.read(tmp_path, declared())
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_url_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no file secrets/database\.url"):
        sources.read(tmp_path, declared())
    put_url(tmp_path, "x")
    (tmp_path / URL_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"secrets/database\.url cannot be read \(UnicodeDecodeError\)"):
        sources.read(tmp_path, declared())


def values(times, column="a"):
    return ", ".join(f"('{time}', {index})" for index, time in enumerate(times))


def test_postgres_gives_the_rows_of_the_span_in_order_of_time(postgres):
    raw = postgres(
        "CREATE TABLE speed (timestamp timestamp, a double precision, b numeric, c integer, plate text)",
        "INSERT INTO speed SELECT t::timestamp, a, a / 2.0, NULL, 'p' || a "
        f"FROM (VALUES {values(TIMES[::-1])}) v(t, a)",
        "INSERT INTO speed VALUES ('2012-03-05', 'NaN', NULL, 7, NULL)",
        identifiers={"plate": "drop"},
    )
    assert raw.times.tolist() == [TIMES[1], dt.datetime(2012, 3, 5), TIMES[2]]
    nan = np.nan
    np.testing.assert_array_equal(raw.values, [[2.0, 1.0, nan], [nan, nan, 7.0], [1.0, 0.5, nan]])
    assert raw.identifiers == {"plate": ["p2", "", "p1"]}


def test_postgres_streams_more_rows_than_one_batch_and_replays_them(postgres):
    rows = (
        "SELECT timestamp '2012-03-01' - interval '52 weeks' + i * interval '5 min', i FROM generate_series(0, 11999) i"
    )
    raw = postgres(f"CREATE VIEW speed (timestamp, a) AS {rows}", replay_shift_weeks=52)
    assert len(raw.times) == 31 * 288
    np.testing.assert_array_equal(raw.values[:, 0], np.arange(31 * 288))
    assert raw.times[0] == np.datetime64(SPAN[0])


@pytest.mark.parametrize(
    ("kind", "time"),
    [
        ("date", {}),
        ("text", {}),
        ("text", {"format": "%d.%m.%Y"}),
        ("integer", {"format": "index", "start": dt.datetime(2012, 2, 28)}),
    ],
)
def test_postgres_times_of_every_declared_kind(postgres, kind, time):
    days = [dt.date(2012, 2, 29), dt.date(2012, 3, 1), dt.date(2012, 3, 31), dt.date(2012, 4, 1)]
    start = dt.date(2012, 2, 28)
    cells = [f"{day:%d.%m.%Y}" if time.get("format", "iso") not in {"iso", "index"} else f"{day}" for day in days]
    if "start" in time:
        cells = [(day - start).days for day in days]
    rows = f"INSERT INTO speed SELECT t::{kind}, a FROM (VALUES {values(cells)}) v(t, a)"
    raw = postgres(f"CREATE TABLE speed (timestamp {kind}, a real)", rows, time=time, step_minutes=1440)
    assert [moment.date() for moment in raw.times.tolist()] == days[1:3]


def test_a_table_of_another_schema_is_read(postgres):
    raw = postgres(
        "CREATE SCHEMA roads",
        "CREATE TABLE roads.speed AS SELECT timestamp '2012-03-01' AS timestamp, 5 AS a",
        table="roads.speed",
    )
    assert raw.values.tolist() == [[5.0]]


@pytest.mark.parametrize(
    ("columns", "row", "expected"),
    [
        ("timestamp timestamptz, a real", "'2012-03-01', 1", "column 'timestamp' has a time zone"),
        ("timestamp timestamp, a text", f"'2012-03-01', '{CANARY}'", "column 'a' is of type TEXT, numbers are needed"),
        ("timestamp timestamp, a boolean", "'2012-03-01', true", "column 'a' is of type BOOLEAN, numbers are needed"),
        ("timestamp timestamp, a real", "'2012-03-01', 'Infinity'", "row 1: column 'a' is infinite"),
        ("timestamp timestamp, a real", "NULL, 1", "row 1: column 'timestamp' is empty"),
    ],
)
def test_a_bad_postgres_table_is_refused(postgres, columns, row, expected):
    with pytest.raises(InputError) as caught:
        postgres(f"CREATE TABLE speed ({columns})", f"INSERT INTO speed VALUES ({row})")
    assert expected in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_table_that_the_login_may_not_read_is_a_final_error(postgres, tmp_path, postgres_server):  # noqa: F811
    postgres("CREATE TABLE speed AS SELECT timestamp '2012-03-01' AS timestamp, 5 AS a")
    owner = sa.make_url((tmp_path / URL_FILE).read_text().strip())
    other = sa.make_url(postgres_server.url(f"reader_{uuid.uuid4().hex}"))
    put_url(tmp_path, other.set(database=owner.database).render_as_string(hide_password=False))
    with pytest.raises(InputError, match="table speed: the database refuses the query") as caught:
        sources.read(tmp_path, declared())
    assert not caught.value.retryable
    put_url(tmp_path, owner.set(password=CANARY).render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnreachable, match="does not answer or refuses the login") as caught:
        sources.read(tmp_path, declared())
    text = "".join(traceback.format_exception(caught.value))
    assert not {secret for secret in (CANARY, owner.username, "127.0.0.1") if secret in text}


def test_a_database_that_is_down_is_worth_a_retry_and_read_when_it_is_back(tmp_path, postgres_programs):  # noqa: F811
    server = PostgresServer()
    try:
        server.start()
        put_url(tmp_path, url := server.url("roads"))
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
            connection.execute(sa.text("CREATE TABLE speed AS SELECT timestamp '2012-03-01' AS timestamp, 5 AS a"))
        server.stop()
        with pytest.raises(DatabaseUnreachable, match="table speed: the database does not answer") as caught:
            read_source(declared(), tmp_path, SPAN, name="table speed")
        assert caught.value.retryable
        assert sa.make_url(url).password not in "".join(traceback.format_exception(caught.value))
        server.start()
        put_url(tmp_path, server.url("roads"))
        assert sources.read(tmp_path, declared()).series.values.tolist() == [[5.0]]
    finally:
        server.close()
