"""Reading an agency's table from its database, through SQLAlchemy Core: reflected, with bound parameters, streamed.

The database's URL is a secret: it is read from a file of the agency and stands in no message. Errors of the driver are
not chained or quoted, since they name hosts, users and cells. SQLAlchemy is imported when a table is read.
"""

from __future__ import annotations

import datetime as dt
import math
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import numpy as np

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig, SqlConfig
from fl_tasks.data.series import Series
from fl_tasks.data.table import Clock, Layout, Problems, Read, WrongTime, check_finite, join, plan

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Engine, Row, Table

_BATCH = 5000
_CONNECT_SECONDS = 15


class DatabaseUnreachable(InputError):
    """The agency's database does not answer, or refuses the login."""

    retryable: ClassVar[bool] = True


def read_sql(folder: Path, name: str, source: SourceConfig, clock: Clock, problems: Problems) -> Read:
    """Read the rows that the clock covers, in order of time; rows are numbered from 1 in this order.

    Values are columns of numbers, NULL is no value. Times are timestamps or dates without a zone, or text as declared,
    or integers where the declaration says `index`. The database gives only the rows of the span where it knows the
    type of the time column; rows whose time is text other than ISO are chosen here.

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
        parts: list[Series] = []
        rows = 0
        for batch in _batches(engine, table, layout, clock):
            parts.append(_read_batch(batch, layout, f"{name}: row", rows, clock, problems))
            rows += len(batch)
        if rows == 0 and clock.first is None:
            problems.add(InputError(f"{name}: no row; at least one row is needed"))
    return Read(join(parts, layout), layout.values)


@contextmanager
def _engine(folder: Path, sql: SqlConfig, name: str) -> Iterator[Engine]:
    """Give an engine that is closed at the end; what the driver raises becomes an error without its text."""
    import sqlalchemy as sa  # noqa: PLC0415

    url = _url(folder, sql.url_file, name)
    try:
        # PostgreSQL's driver waits for minutes by itself.
        limits = {"connect_timeout": _CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True, connect_args=limits)
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


def _check_types(name: str, layout: Layout, table: Table) -> None:
    import sqlalchemy as sa  # noqa: PLC0415

    kind = table.c[layout.time].type
    if isinstance(kind, sa.DateTime) and kind.timezone:
        raise InputError(
            f"{name}: column {layout.time!r} has a time zone; local wall time of the scenario's zone is needed, "
            "without a zone: name a view that gives it"
        )
    for column in layout.values:
        kind = table.c[column].type
        # SQLite knows columns without a type.
        if not isinstance(kind, sa.Float | sa.Numeric | sa.Integer | sa.types.NullType):
            raise InputError(
                f"{name}: column {column!r} is of type {kind}, numbers are needed; give numbers, or name the columns "
                "of values in `values`"
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
    options: dict[str, Any] = {"yield_per": _BATCH}
    if engine.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    with engine.connect().execution_options(**options) as connection:
        yield from connection.execute(query).partitions()


def _limits(time: ColumnElement[Any], clock: Clock) -> ColumnElement[bool] | None:
    """Return the span as a condition, or None where the database does not know the time's type."""
    import sqlalchemy as sa  # noqa: PLC0415

    if clock.first is None or clock.end is None:
        return None
    if clock.origin is not None:
        if not isinstance(time.type, sa.Integer):
            return None
        # Index i is at origin + i * step; these are ceilings.
        first, end = (-((clock.origin - limit) // clock.step) for limit in (clock.first, clock.end))
        inside = sa.and_(time >= first, time < end)
    elif isinstance(time.type, sa.DateTime | sa.Date):
        moment = sa.cast(time, sa.DateTime)
        inside = sa.and_(moment >= clock.first, moment < clock.end)
    else:
        return None
    return sa.or_(time.is_(None), inside)  # a row without a time is refused, as in a file


def _sqlite_limits(time: ColumnElement[Any], clock: Clock) -> ColumnElement[bool] | None:
    """Like _limits, where a time is text or a number whatever the column's type says.

    A day more on both sides, since date() takes a UTC offset off; what it cannot read comes too, to be refused by name.
    """
    import sqlalchemy as sa  # noqa: PLC0415

    if clock.format != "iso" or clock.first is None or clock.end is None:
        return None
    day = dt.timedelta(days=1)
    date = sa.func.date(time)
    return sa.or_(
        date.is_(None), date.between((clock.first - day).date().isoformat(), (clock.end + day).date().isoformat())
    )


def _read_batch(
    batch: Sequence[Row[Any]], layout: Layout, row: str, before: int, clock: Clock, problems: Problems
) -> Series:
    """Return the rows that the clock covers of one batch, before which there were `before` rows."""
    width = len(layout.values)
    times: list[dt.datetime] = []
    values: list[list[float]] = []
    places: list[str] = []
    identifiers: dict[str, list[str]] = {column: [] for column in layout.identifiers}
    for index, cells in enumerate(batch, before + 1):
        try:
            time = clock.value(cells[0])
        except WrongTime as error:
            problems.add(InputError(f"{row} {index}: column {layout.time!r} {error}"))
            continue
        if not clock.covers(time):
            continue
        times.append(time)
        places.append(f"{row} {index}")
        values.append(
            [_number(cell, places[-1], layout.values[at], problems) for at, cell in enumerate(cells[1 : width + 1])]
        )
        for column, cell in zip(layout.identifiers, cells[width + 1 :], strict=True):
            identifiers[column].append("" if cell is None else str(cell).strip())
    shaped = np.array(values, dtype=np.float64).reshape(len(times), width)
    check_finite(shaped, layout.values, places, problems)
    return Series(np.array(times, dtype="datetime64[us]"), layout.names, shaped, identifiers)


def _number(cell: object, place: str, column: str, problems: Problems) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, float | int | Decimal) and not isinstance(cell, bool):
        return float(cell)
    problems.add(InputError(f"{place}: column {column!r} is not a number; leave it empty if missing"))
    return math.nan
