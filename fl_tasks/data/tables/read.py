"""Reading an agency's table in pieces, so that memory holds one piece, whatever the size of the source.

CSV of a declared encoding, Parquet, or a database's table. Problems of a source as such name the file, the line or row
and the column, never the value. pyarrow and SQLAlchemy are imported when a source is read.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.csv_table import CsvTable
from fl_tasks.data.parquet_table import _numbers
from fl_tasks.data.source_files import deliveries
from fl_tasks.data.sql_table import _engine, _reflect

if TYPE_CHECKING:
    import pyarrow as pa

CELLS = 100_000
"""Cells that are in memory at a time."""

_BUFFER_BYTES = 1 << 16

Cells = Sequence[str] | NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """Some rows of a source, one after the other.

    Attributes:
        source: How messages call the file or table.
        word: What `numbers` count: line or row.
        numbers: Line or row of each of the n rows, from 1.
        columns: Delivered column -> n texts, stripped, or n numbers (NaN where there is none) where the source itself
            holds numbers and numbers were asked for.
    """

    source: str
    word: str
    numbers: Sequence[int]
    columns: Mapping[str, Cells]

    def place(self, row: int) -> str:
        """Say where a row of the piece, from 0, stands."""
        return f"{self.source}: {self.word} {self.numbers[row]}"


@dataclass(frozen=True)
class Wanted:
    """What is read of a source.

    Attributes:
        needed: Columns that have to be there.
        welcome: Columns that are read if they are there.
        numbers: Those that are wanted as numbers, where the source knows numbers.
    """

    needed: Sequence[str]
    welcome: Sequence[str] = ()
    numbers: frozenset[str] = frozenset()

    def of(self, there: Sequence[str], where: str) -> list[str]:
        """Return the columns to read of those that are there.

        Raises:
            InputError: If a needed one is missing, or one is there twice.
        """
        missing = [column for column in self.needed if column not in there]
        if missing:
            more = f", nor {len(missing) - 1} others that are needed" if len(missing) > 1 else ""
            raise InputError(
                f"{where}: there is no column {missing[0]!r}{more}; deliver it, or name its column under `columns`"
            )
        chosen = [column for column in dict.fromkeys((*self.needed, *self.welcome)) if column in there]
        twice = [column for column in chosen if list(there).count(column) > 1]
        if twice:
            raise InputError(f"{where}: column {twice[0]!r} is there twice; keep one of them")
        return chosen


def read_pieces(source: TableSource, folder: Path, name: str, wanted: Wanted) -> Iterator[Piece]:
    """Read a declared source, file after file in order of their names.

    Args:
        source: The declaration.
        folder: The agency's folder.
        name: How messages call the source.
        wanted: Columns to read.

    Raises:
        InputError: If the source is missing, empty or malformed; the message names file, line or row and column.
        DatabaseUnreachable: If the database does not answer.
    """
    if source.sql is not None:
        yield from _filled(_sql(source, folder, name, wanted), name)
        return
    for path, called in deliveries(folder / str(source.path), name):
        read = _parquet if path.name.lower().endswith(".parquet") else _csv
        yield from _filled(read(path, called, source, wanted), called)


def _filled(pieces: Iterator[Piece], name: str) -> Iterator[Piece]:
    first = next(pieces, None)
    if first is None:
        raise InputError(f"{name}: no row; at least one is needed")
    yield first
    yield from pieces


def _csv(path: Path, name: str, source: TableSource, wanted: Wanted) -> Iterator[Piece]:
    table = CsvTable(path, name=name, needs=tuple(wanted.needed), encoding=source.encoding)
    columns = wanted.of(table.columns, f"{name}: line 1")
    places = [table.columns.index(column) for column in columns]
    rows = table.rows()
    while batch := list(islice(rows, max(1, CELLS // len(table.columns)))):
        cells = list(zip(*(row for _, row in batch), strict=True))
        found = {column: [cell.strip() for cell in cells[at]] for column, at in zip(columns, places, strict=True)}
        yield Piece(name, "line", [line for line, _ in batch], found)


def _parquet(path: Path, name: str, source: TableSource, wanted: Wanted) -> Iterator[Piece]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    before = 0
    try:
        with path.open("rb") as stream:
            # With a buffer, a row group comes page by page; without, all of it at once.
            file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES)  # type: ignore[no-untyped-call]
            columns = wanted.of(file.schema_arrow.names, name)
            rows = max(1, CELLS // len(columns))
            for batch in file.iter_batches(rows, columns=columns):  # type: ignore[no-untyped-call]
                numbers = range(before + 1, before + 1 + batch.num_rows)
                found = {
                    column: _arrow_cells(batch.column(column), column in wanted.numbers, f"{name}: column {column!r}")
                    for column in columns
                }
                yield Piece(name, "row", numbers, found)
                before += batch.num_rows
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file; put the data there") from None
    except IsADirectoryError:
        raise InputError(f"{name}: a folder, but a Parquet file is needed") from None
    except (pa.ArrowException, OSError) as error:
        # Arrow quotes cells in its messages.
        raise InputError(f"{name}: not a whole Parquet file ({type(error).__name__}); write it again") from None


def _arrow_cells(cells: pa.Array, as_numbers: bool, where: str) -> Cells:
    import pyarrow as pa  # noqa: PLC0415

    kind = cells.type
    if as_numbers and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return _numbers(cells)
    if pa.types.is_timestamp(kind):  # in nanoseconds they would come as pandas' own type
        cells = cells.cast(pa.timestamp("us", kind.tz), safe=False)
    try:
        return [as_text(cell) for cell in cells.to_pylist()]
    except UnicodeDecodeError:
        raise InputError(f"{where} is not UTF-8 text; write the file anew") from None


def _sql(source: TableSource, folder: Path, name: str, wanted: Wanted) -> Iterator[Piece]:
    import sqlalchemy as sa  # noqa: PLC0415

    assert source.sql is not None  # the caller looked
    before = 0
    with _engine(folder, source.sql, name) as engine:
        table = _reflect(engine, source.sql, name)
        columns = wanted.of([column.name for column in table.columns], name)
        chosen: list[Any] = [table.c[column] for column in columns]
        if engine.dialect.name == "sqlite":
            # As they are stored: SQLAlchemy's own reading of SQLite's dates would quote a bad cell.
            chosen = [sa.type_coerce(column, sa.types.NullType()) for column in chosen]
        options: dict[str, Any] = {"yield_per": max(1, CELLS // len(columns))}
        if engine.dialect.name == "postgresql":
            options["postgresql_readonly"] = True
        try:
            with engine.connect().execution_options(**options) as connection:
                # In an order of their own, so that a row has the same number at every reading.
                for batch in connection.execute(sa.select(*chosen).order_by(*chosen)).partitions():
                    cells = zip(*batch, strict=True)
                    found = {
                        column: _sql_cells(those, column in wanted.numbers, f"{name}: column {column!r}")
                        for column, those in zip(columns, cells, strict=True)
                    }
                    yield Piece(name, "row", range(before + 1, before + 1 + len(batch)), found)
                    before += len(batch)
        except UnicodeDecodeError:
            raise InputError(
                f"{name}: after row {before}: a text is not of the encoding that the database declares; repair it there"
            ) from None


def _sql_cells(cells: Sequence[object], as_numbers: bool, where: str) -> Cells:
    if as_numbers and all(
        cell is None or (isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)) for cell in cells
    ):
        return np.array([math.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)  # type: ignore[arg-type]
    found = [as_text(cell) for cell in cells]
    try:
        "".join(found).encode()
    except UnicodeEncodeError:
        raise InputError(f"{where} is not UTF-8 text; repair it in the database") from None
    return found


def as_text(cell: object) -> str:
    """Return a typed cell as the text that a declaration names it by: true, 7 for 7.0, 2024-06-30, nothing for null."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float | Decimal):
        if not math.isfinite(cell):
            return "" if math.isnan(cell) else str(cell)
        return str(int(cell)) if cell == int(cell) else str(cell)
    if isinstance(cell, dt.date):
        return cell.isoformat()
    return str(cell).strip()
