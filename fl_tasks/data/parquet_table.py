"""Reading an agency's Parquet file strictly: every problem names the file, the row and the column, never the value.

It is read in batches of rows and by pages of columns, so that memory follows the rows that a run reads, not the file,
however large its row groups are. pyarrow is imported when a file is read.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.clock import Clock, WrongTime
from fl_tasks.data.long_table import Labels, widen
from fl_tasks.data.series import Series
from fl_tasks.data.table import Layout, Problems, Read, check_finite, join, of_own, plan

if TYPE_CHECKING:
    import pyarrow as pa

_Kind = TypeVar("_Kind", bound=np.generic)
_BATCH_CELLS = 100_000
_BUFFER_BYTES = 1 << 16


def read_parquet(path: Path, name: str, source: SourceConfig, clock: Clock, problems: Problems) -> Read:
    """Read the rows of one file that the clock covers, in the file's order; rows are numbered from 1.

    Values are columns of integers, floats or decimals, a null is no value. Times are timestamps or dates without
    a zone, or text as declared, or integers where the declaration says `index`; timestamps with a zone where it says
    `offset`. The series of a long file, and what chooses rows, are text or integers.

    Args:
        path: A .parquet file.
        name: How messages call it.
        source: Which columns are what.
        clock: What a time is, and the span.
        problems: Where problems of single rows go.

    Raises:
        InputError: If the file is missing, empty or damaged, or a column is of a type that it cannot be; with file,
            row and column, never a value.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with path.open("rb") as stream:
            # With a buffer, a row group comes page by page; without, all of it at once.
            file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES)  # type: ignore[no-untyped-call]
            schema = file.schema_arrow
            _check_names(name, schema.names)
            layout = plan(schema.names, source, name)
            _check_types(name, layout, schema, clock)
            reader = _Reader(name, layout, clock, problems)
            rows = max(1, _BATCH_CELLS // len(layout.columns))
            for batch in file.iter_batches(rows, columns=list(layout.columns)):  # type: ignore[no-untyped-call]
                reader.read(batch)
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file; put the data there") from None
    except IsADirectoryError:
        raise InputError(f"{name}: a folder, but a Parquet file is needed") from None
    except (pa.ArrowException, OSError) as error:
        # Arrow quotes cells in its messages.
        raise InputError(f"{name}: not a whole Parquet file ({type(error).__name__}); write it again") from None
    if not reader.own_rows:
        problems.add(InputError(f"{name}: no row{of_own(layout)}; at least one row is needed"))
    series = join(reader.parts, layout)
    if reader.labels is None:
        return Read(series, layout.values)
    return widen(series, series.identifiers[layout.texts[-1]], reader.labels, source, name)


def _check_names(name: str, columns: list[str]) -> None:
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise InputError(f"{name}: column {repeated[0]!r} is there twice; keep one of them")


def _check_types(name: str, layout: Layout, schema: pa.Schema, clock: Clock) -> None:
    import pyarrow as pa  # noqa: PLC0415

    kind = schema.field(layout.time).type
    if pa.types.is_timestamp(kind) and (kind.tz is not None) != clock.offsets:
        has, needed = ("a", "without a zone") if kind.tz is not None else ("no", "with one")
        raise InputError(
            f"{name}: column {layout.time!r} has {has} time zone; times {needed} are needed, or another time.timezone"
        )
    for column in layout.values:
        kind = schema.field(column).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise InputError(
                f"{name}: column {column!r} is of type {kind}, numbers are needed; write it as numbers, or name the "
                "columns of values in `values`"
            )
    for column in {*layout.only, *([] if layout.label is None else [layout.label])}:
        kind = schema.field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise InputError(
                f"{name}: column {column!r} is of type {kind}; text or whole numbers are needed to choose by"
            )


class _Reader:
    """Takes a file batch after batch, and keeps the rows that the clock covers.

    Attributes:
        parts: The kept rows of each batch.
        labels: The series of a long file.
        own_rows: Whether there was a row that the declaration chooses.
    """

    def __init__(self, name: str, layout: Layout, clock: Clock, problems: Problems) -> None:
        self.parts: list[Series] = []
        self.labels = None if layout.label is None else Labels(layout.label, problems)
        self.own_rows = False
        self._name, self._layout, self._clock, self._problems = name, layout, clock, problems
        self._before = 0  # rows before the batch

    def read(self, batch: pa.RecordBatch) -> None:
        """Keep the rows of the next batch that the run reads."""
        texts: dict[str, list[str]] = {}
        for column in {*self._layout.texts, *self._layout.only}:
            texts[column] = self._texts(batch, column)
        rows = range(batch.num_rows)
        chosen: Sequence[int] = rows
        for column, allowed in self._layout.only.items():
            chosen = [row for row in chosen if texts[column][row] in allowed]
        self.own_rows = self.own_rows or bool(chosen)
        if self.labels is not None and self._layout.label is not None:
            of = texts[self._layout.label]
            labels = self.labels
            chosen = [row for row in chosen if labels.add(of[row], self._place(row)) is not None]
        times, inside = self._times(batch, chosen)
        values = np.empty((len(inside), len(self._layout.values)))
        for at, column in enumerate(self._layout.values):
            values[:, at] = _numbers(batch.column(column))[inside]
        check_finite(values, self._layout.values, [self._place(row) for row in inside.tolist()], self._problems)
        kept = {column: [texts[column][row] for row in inside.tolist()] for column in self._layout.texts}
        if len(inside):
            self.parts.append(Series(times, self._layout.names, values, kept))
        self._before += batch.num_rows

    def _place(self, row: int) -> str:
        return f"{self._name}: row {self._before + row + 1}"

    def _texts(self, batch: pa.RecordBatch, column: str) -> list[str]:
        """Return a column as text, each different text once in memory."""
        cells = batch.column(column)
        try:
            return ["" if cell is None else sys.intern(str(cell).strip()) for cell in cells.to_pylist()]
        except UnicodeDecodeError:
            raise self._undecodable(cells, column) from None

    def _undecodable(self, cells: pa.Array, column: str) -> InputError:
        """Say in which row a text is not UTF-8, as Parquet needs it to be."""
        row = next(row for row, cell in enumerate(cells) if not _decodes(cell))
        return InputError(f"{self._place(row)}: column {column!r} is not UTF-8 text; write the file anew")

    def _times(self, batch: pa.RecordBatch, chosen: Sequence[int]) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
        """Return the times that the clock covers, and the rows they stand in, of those that are chosen."""
        import pyarrow as pa  # noqa: PLC0415

        column = self._layout.time
        cells = batch.column(column)
        if pa.types.is_timestamp(cells.type):
            # In nanoseconds they would come as pandas' own type.
            cells = cells.cast(pa.timestamp("us", None if cells.type.tz is None else "UTC"), safe=False)
            if self._clock.origin is None and not self._clock.converts:
                return self._wall_times(cells, np.array(chosen, dtype=np.int64))
        try:
            found = cells.to_pylist()
        except UnicodeDecodeError:
            raise self._undecodable(cells, column) from None
        except OverflowError:
            raise InputError(f"{self._place(0)} or after: column {column!r} is a time beyond the calendar") from None
        times: list[dt.datetime] = []
        inside: list[int] = []
        for row in chosen:
            try:
                time = self._clock.value(found[row])
            except WrongTime as error:
                self._problems.add(InputError(f"{self._place(row)}: column {column!r} {error}"))
                continue
            if self._clock.covers(time):
                times.append(time)
                inside.append(row)
        return np.array(times, dtype="datetime64[us]"), np.array(inside, dtype=np.int64)

    def _wall_times(self, cells: pa.Array, rows: NDArray[np.int64]) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
        """Do as _times for timestamps that are the scenario's wall time already, all at once."""
        empty = _nulls(cells)[rows]
        for row in rows[empty].tolist():
            self._problems.add(InputError(f"{self._place(row)}: column {self._layout.time!r} is empty"))
        rows = rows[~empty]
        times = _buffer(cells, np.int64)[rows].astype("datetime64[us]")
        if self._clock.first is None or self._clock.end is None:
            return times, rows
        first, end = np.datetime64(self._clock.first, "us"), np.datetime64(self._clock.end, "us")
        inside = (times >= first) & (times < end)
        return times[inside], rows[inside]


def _decodes(cell: pa.Scalar) -> bool:
    try:
        cell.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return a column as floats, NaN for null; by its buffers, since fill_null() imports pandas, a second."""
    import pyarrow as pa  # noqa: PLC0415

    plain = column.cast(pa.float64(), safe=False)
    values = _buffer(plain, np.float64).copy()
    values[_nulls(plain)] = np.nan
    return values


def _buffer(cells: pa.Array, kind: type[_Kind]) -> NDArray[_Kind]:
    """Return what a column's buffer holds, whatever under its nulls."""
    return np.frombuffer(cells.buffers()[1], dtype=kind)[cells.offset : cells.offset + len(cells)]


def _nulls(cells: pa.Array) -> NDArray[np.bool_]:
    import pyarrow as pa  # noqa: PLC0415

    if not cells.null_count:
        return np.zeros(len(cells), dtype=bool)
    return np.from_dlpack(cells.is_null().cast(pa.uint8())).astype(bool)
