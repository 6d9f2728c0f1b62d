"""Reading an agency's Parquet file strictly: every problem names the file, the row and the column, never the value.

pyarrow is imported when a file is read.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.series import Series
from fl_tasks.data.table import Clock, Layout, Problems, Read, WrongTime, check_finite, join, plan

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, name: str, source: SourceConfig, clock: Clock, problems: Problems) -> Read:
    """Read the rows of one file that the clock covers, in the file's order; rows are numbered from 1.

    Values are columns of integers, floats or decimals, a null is no value. Times are timestamps or dates without
    a zone, or text as declared, or integers where the declaration says `index`.

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
            file = pq.ParquetFile(stream)  # type: ignore[no-untyped-call]
            schema = file.schema_arrow
            repeated = sorted({column for column in schema.names if schema.names.count(column) > 1})
            if repeated:
                raise InputError(f"{name}: column {repeated[0]!r} is there twice; keep one of them")
            layout = plan(schema.names, source, name)
            _check_types(name, layout, schema)
            rows = 0
            parts: list[Series] = []
            for batch in file.iter_batches(columns=list(layout.columns)):  # type: ignore[no-untyped-call]
                parts.append(_read_batch(batch, layout, f"{name}: row", rows, clock, problems))
                rows += batch.num_rows
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file; put the data there") from None
    except IsADirectoryError:
        raise InputError(f"{name}: a folder, but a Parquet file is needed") from None
    except (pa.ArrowException, OSError) as error:
        # Arrow quotes cells in its messages.
        raise InputError(f"{name}: not a whole Parquet file ({type(error).__name__}); write it again") from None
    if rows == 0:
        problems.add(InputError(f"{name}: no row; at least one row is needed"))
    return Read(join(parts, layout), layout.values)


def _check_types(name: str, layout: Layout, schema: pa.Schema) -> None:
    import pyarrow as pa  # noqa: PLC0415

    kind = schema.field(layout.time).type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        raise InputError(
            f"{name}: column {layout.time!r} has a time zone; local wall time of the scenario's zone is needed, "
            "without a zone"
        )
    for column in layout.values:
        kind = schema.field(column).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise InputError(
                f"{name}: column {column!r} is of type {kind}, numbers are needed; write it as numbers, or name the "
                "columns of values in `values`"
            )


def _read_batch(
    batch: pa.RecordBatch, layout: Layout, row: str, before: int, clock: Clock, problems: Problems
) -> Series:
    """Return the rows that the clock covers of one batch, before which there were `before` rows."""
    import pyarrow as pa  # noqa: PLC0415

    cells = batch.column(layout.time)
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.timestamp("us"), safe=False)  # in nanoseconds, they would come as pandas' own type
    times: list[dt.datetime] = []
    inside: list[int] = []
    for index, cell in enumerate(cells.to_pylist()):
        try:
            time = clock.value(cell)
        except WrongTime as error:
            problems.add(InputError(f"{row} {before + index + 1}: column {layout.time!r} {error}"))
            continue
        if clock.covers(time):
            times.append(time)
            inside.append(index)
    values = np.empty((len(inside), len(layout.values)))
    for at, column in enumerate(layout.values):
        values[:, at] = _numbers(batch.column(column))[inside]
    check_finite(values, layout.values, [f"{row} {before + index + 1}" for index in inside], problems)
    identifiers = {}
    for column in layout.identifiers:
        texts = batch.column(column).to_pylist()
        identifiers[column] = ["" if texts[index] is None else str(texts[index]) for index in inside]
    return Series(np.array(times, dtype="datetime64[us]"), layout.names, values, identifiers)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return a column as floats, NaN for null; by its buffers, since fill_null() imports pandas, a second."""
    import pyarrow as pa  # noqa: PLC0415

    plain = column.cast(pa.float64(), safe=False)
    values = np.frombuffer(plain.buffers()[1], dtype=np.float64)[plain.offset : plain.offset + len(plain)].copy()
    if plain.null_count:
        values[np.from_dlpack(plain.is_null().cast(pa.uint8())).astype(bool)] = np.nan
    return values
