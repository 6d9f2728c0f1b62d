"""Reading an agency's table from its database, through SQLAlchemy Core: reflected, with bound parameters, streamed.

The database's URL is a secret: it is read from a file of the agency and stands in no message. Errors of the driver are
not chained or quoted, since they name hosts, users and cells. SQLAlchemy is imported when a table is read.
"""

from __future__ import annotations

import datetime as dt
import math
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import numpy as np

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig, SqlConfig
from fl_tasks.data.clock import Clock, WrongTime
from fl_tasks.data.long_table import Labels, widen
from fl_tasks.data.series import Series
from fl_tasks.data.table import Layout, Problems, Read, check_finite, join, of_own, plan

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import URL, ColumnElement, Engine, Row, Table
    from sqlalchemy.types import TypeEngine

_BATCH_CELLS = 100_000
_BATCH_ROWS = 5000
_CONNECT_SECONDS = 15


class DatabaseUnreachable(InputError):
    """The agency's database does not answer, or refuses the login."""

    retryable: ClassVar[bool] = True


def read_sql(folder: Path, name: str, source: SourceConfig, clock: Clock, problems: Problems) -> Read:
    """Read the rows that the clock covers, in order of time; rows are numbered from 1 in this order.

    Values are columns of numbers, NULL is no value. Times are timestamps or dates without a zone, or text as declared,
    or integers where the declaration says `index`; timestamps with a zone where it says `offset`. The database gives
    only the rows of the span where it knows the type of the time column; rows whose time is text other than ISO are
    chosen here, and so are those that `only` chooses. The series of a long table, and what `only` chooses by, are text
    or integers. Of all rows those of one batch at a time are in memory.

    Args:
        folder: The agency's folder, to which url_file and the path of an SQLite database are relative.
        name: How messages call the table; without its URL.
        source: Its `sql`, and which columns are what.
        clock: What a time is, and the span.
        problems: Where problems of single rows go.

    Raises:
        InputError: If the file of the URL is missing or open to others, the URL is none, or the table or a column is
            not there or of the wrong type; never with a value or the URL.
        DatabaseUnreachable: If the database does not answer.
    """
    if source.sql is None:
        raise InputError(f"{name}: field sql: a table and a url_file are needed")
    with _engine(folder, source.sql, name) as engine:
        table = _reflect(engine, source.sql, name)
        layout = plan([column.name for column in table.columns], source, name)
        _check_types(name, layout, table)
        if engine.dialect.name != "sqlite":  # there times are text, whatever their type says
            _check_time(name, layout.time, table.c[layout.time].type, clock)
        reader = _Reader(name, layout, clock, problems)
        try:
            for batch in _batches(engine, table, layout, clock):
                reader.read(batch)
        except UnicodeDecodeError:
            raise InputError(
                f"{name}: after row {reader.rows}: a text is not of the encoding that the database declares; "
                "repair it there"
            ) from None
        if not reader.own_rows and clock.first is None:
            problems.add(InputError(f"{name}: no row{of_own(layout)}; at least one row is needed"))
    series = join(reader.parts, layout)
    if reader.labels is None:
        return Read(series, layout.values)
    return widen(series, series.identifiers[layout.texts[-1]], reader.labels, source, name)


@contextmanager
def _engine(folder: Path, sql: SqlConfig, name: str) -> Iterator[Engine]:
    """Give an engine that is closed at the end; what the driver raises becomes an error without its text."""
    import sqlalchemy as sa  # noqa: PLC0415

    url = _url(folder, sql.url_file, name)
    try:
        # PostgreSQL's driver waits for minutes by itself.
        limits = {"connect_timeout": _CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True, connect_args=limits)
        if url.get_backend_name() == "sqlite":
            sa.event.listen(engine, "connect", _keep_wrong_bytes)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise InputError(
            f"{name}: {sql.url_file}: no driver serves this URL ({type(error).__name__}); "
            "postgresql+psycopg2://... and sqlite:///... are served, others after their driver is installed"
        ) from None
    try:
        yield engine
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise DatabaseUnreachable(
            f"{name}: the database does not answer or refuses the login ({type(error).__name__}); "
            f"check that it runs, and the URL in {sql.url_file}"
        ) from None
    except sa.exc.SQLAlchemyError as error:
        raise InputError(
            f"{name}: the database refuses the query ({type(error).__name__}); "
            "check that the login may read the table, and the types of its columns"
        ) from None
    finally:
        engine.dispose()


def _keep_wrong_bytes(connection: sqlite3.Connection, _record: object) -> None:
    """Let SQLite give text that is not UTF-8 with its wrong bytes marked; its own error would quote the cell."""
    connection.text_factory = lambda cell: cell.decode("utf-8", "surrogateescape")


def _url(folder: Path, file: str, name: str) -> URL:
    import sqlalchemy as sa  # noqa: PLC0415

    path = folder / file
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputError(
                f"{name}: {file} is open to others (mode {stat.S_IMODE(mode):04o}); it holds a secret: chmod 600 {file}"
            )
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise InputError(f"{name}: there is no file {file}; put the SQLAlchemy URL there, mode 0600") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{name}: {file} cannot be read ({type(error).__name__}); one line of UTF-8 text is needed"
        ) from None
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(
            f"{name}: {file} holds no SQLAlchemy URL; one line like postgresql+psycopg2://user:password@host/database "
            "is needed"
        ) from None
    if url.get_backend_name() != "sqlite":
        return url
    database = folder / (url.database or "")
    if not database.is_file():
        raise InputError(f"{name}: the SQLite database of {file} is not there; correct the path, or put it there")
    # Read only: SQLite would make a file that is missing, and lock one that is there.
    return url.set(database=f"file:{quote(str(database))}", query={"mode": "ro", "uri": "true"})


def _reflect(engine: Engine, sql: SqlConfig, name: str) -> Table:
    import sqlalchemy as sa  # noqa: PLC0415

    schema, _, table = sql.table.rpartition(".")
    try:
        return sa.Table(table, sa.MetaData(), schema=schema or None, autoload_with=engine, resolve_fks=False)
    except sa.exc.NoSuchTableError:
        raise InputError(f"{name}: there is no such table or view; correct sql.table, or make it") from None


def _check_time(name: str, column: str, kind: TypeEngine[Any], clock: Clock) -> None:
    import sqlalchemy as sa  # noqa: PLC0415

    if isinstance(kind, sa.DateTime) and bool(kind.timezone) != clock.offsets:
        has, needed = ("a", "without a zone") if kind.timezone else ("no", "with one")
        raise InputError(
            f"{name}: column {column!r} has {has} time zone; times {needed} are needed: name a view that gives them, "
            "or another time.timezone"
        )


def _check_types(name: str, layout: Layout, table: Table) -> None:
    import sqlalchemy as sa  # noqa: PLC0415

    for column in layout.values:
        kind = table.c[column].type
        # SQLite knows columns without a type.
        if not isinstance(kind, sa.Float | sa.Numeric | sa.Integer | sa.types.NullType):
            raise InputError(
                f"{name}: column {column!r} is of type {kind}, numbers are needed; give numbers, or name the columns "
                "of values in `values`"
            )
    for column in {*layout.only, *([] if layout.label is None else [layout.label])}:
        kind = table.c[column].type
        if not isinstance(kind, sa.String | sa.Integer | sa.Enum | sa.types.NullType):
            raise InputError(
                f"{name}: column {column!r} is of type {kind}; text or whole numbers are needed to choose by"
            )


def _batches(engine: Engine, table: Table, layout: Layout, clock: Clock) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows that may lie in the span, a few thousand at a time, ordered by time and then by all cells."""
    import sqlalchemy as sa  # noqa: PLC0415

    columns: list[ColumnElement[Any]] = [table.c[column] for column in layout.columns]
    sqlite = engine.dialect.name == "sqlite"
    if sqlite:
        # As they are stored: SQLAlchemy's own reading of SQLite's dates would quote a bad cell.
        columns = [sa.type_coerce(column, sa.types.NullType()) for column in columns]
    query = sa.select(*columns).order_by(*columns)
    limits = _sqlite_limits(columns[0], clock) if sqlite else _limits(table.c[layout.time], clock)
    if limits is not None:
        query = query.where(limits)
    options: dict[str, Any] = {"yield_per": max(1, min(_BATCH_ROWS, _BATCH_CELLS // len(columns)))}
    if engine.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    with engine.connect().execution_options(**options) as connection:
        yield from connection.execute(query).partitions()


def _limits(time: ColumnElement[Any], clock: Clock) -> ColumnElement[bool] | None:
    """Return the span as a condition, or None where the database does not know the time's type."""
    import sqlalchemy as sa  # noqa: PLC0415

    span = clock.limits()
    if span is None:
        return None
    if clock.origin is not None:
        if not isinstance(time.type, sa.Integer):
            return None
        # Index i is at origin + i * step; these are ceilings.
        first, end = (-((clock.origin - limit) // clock.step) for limit in span)
        inside = sa.and_(time >= first, time < end)
    elif isinstance(time.type, sa.DateTime | sa.Date):
        moment = sa.cast(time, sa.DateTime(timezone=clock.offsets))
        start, stop = (limit.replace(tzinfo=dt.UTC) for limit in span) if clock.offsets else span
        inside = sa.and_(moment >= start, moment < stop)
    else:
        return None
    return sa.or_(time.is_(None), inside)  # a row without a time is refused, as in a file


def _sqlite_limits(time: ColumnElement[Any], clock: Clock) -> ColumnElement[bool] | None:
    """Like _limits, where a time is text or a number whatever the column's type says.

    A day more on both sides, since date() takes a UTC offset off; what it cannot read comes too, to be refused by name.
    """
    import sqlalchemy as sa  # noqa: PLC0415

    span = clock.limits()
    if clock.format != "iso" or span is None:
        return None
    day = dt.timedelta(days=1)
    date = sa.func.date(time)
    return sa.or_(date.is_(None), date.between((span[0] - day).date().isoformat(), (span[1] + day).date().isoformat()))


class _Reader:
    """Takes a table batch after batch, and keeps the rows that the clock covers.

    Attributes:
        parts: The kept rows of each batch.
        labels: The series of a long table.
        rows: Rows so far.
        own_rows: Whether there was a row that the declaration chooses.
    """

    def __init__(self, name: str, layout: Layout, clock: Clock, problems: Problems) -> None:
        self.parts: list[Series] = []
        self.labels = None if layout.label is None else Labels(layout.label, problems)
        self.rows = 0
        self.own_rows = False
        self._name, self._layout, self._clock, self._problems = name, layout, clock, problems
        position = {column: at for at, column in enumerate(layout.columns)}
        self._choice = [(position[column], texts) for column, texts in layout.only.items()]
        self._texts = [(position[column], column) for column in layout.texts]

    def read(self, batch: Sequence[Row[Any]]) -> None:
        """Keep the rows of the next batch that the run reads."""
        layout = self._layout
        times: list[dt.datetime] = []
        values: list[list[float]] = []
        places: list[str] = []
        kept: dict[str, list[str]] = {column: [] for column in layout.texts}
        for cells in batch:
            self.rows += 1
            place = f"{self._name}: row {self.rows}"
            if not all(_text(cells[at]) in texts for at, texts in self._choice):
                continue
            self.own_rows = True
            if self.labels is not None and self.labels.add(_text(cells[self._texts[-1][0]]), place) is None:
                continue
            try:
                time = self._clock.value(cells[0])
            except WrongTime as error:
                self._problems.add(InputError(f"{place}: column {layout.time!r} {error}"))
                continue
            if not self._clock.covers(time):
                continue
            times.append(time)
            places.append(place)
            values.append(
                [_number(cells[at], place, column, self._problems) for at, column in enumerate(layout.values, 1)]
            )
            for at, column in self._texts:
                kept[column].append(self._kept(cells[at], place, column))
        if times:
            shaped = np.array(values, dtype=np.float64).reshape(len(times), len(layout.values))
            check_finite(shaped, layout.values, places, self._problems)
            self.parts.append(Series(np.array(times, dtype="datetime64[us]"), layout.names, shaped, kept))

    def _kept(self, cell: object, place: str, column: str) -> str:
        """Return a cell as text, each different text once in memory."""
        text = _text(cell)
        try:
            text.encode()
        except UnicodeEncodeError:
            self._problems.add(InputError(f"{place}: column {column!r} is not UTF-8 text; repair it in the database"))
        return sys.intern(text)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _number(cell: object, place: str, column: str, problems: Problems) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, float | int | Decimal) and not isinstance(cell, bool):
        return float(cell)
    problems.add(InputError(f"{place}: column {column!r} is not a number; leave it empty if missing"))
    return math.nan
