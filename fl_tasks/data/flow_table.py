"""Origin-destination tables: how many trips went from where to where in each step of time, small counts suppressed.

pyarrow is imported where a file is read or written, so that importing a stage costs nothing.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import FlowTableConfig
from fl_tasks.data.csv_table import CsvTable
from fl_tasks.data.suppression import suppress

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE = "whole numbers from 0 on are needed"


@dataclass(frozen=True)
class FlowTable:
    """K cells in long form, in order of time, origin and destination, each at most once; a cell not there is 0.

    Attributes:
        columns: Names of the columns: time, origin, destination, count.
        labels: Distinct times, origins and destinations, ascending, of the type that they were delivered in.
        codes: Shape (3, K), int64: of each cell the indices of its labels.
        counts: Shape (K,), int64, not negative; 0 where suppressed.
        hidden: Shape (K,): suppressed cells.
    """

    columns: tuple[str, str, str, str]
    labels: tuple[pa.Array, pa.Array, pa.Array]
    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    hidden: NDArray[np.bool_]


@dataclass(frozen=True)
class ProtectedFlowTable:
    """A flow table that may be shown, and what it took.

    Attributes:
        table: Hidden cells instead of small ones.
        cells: Cells of the original that are not zero.
        suppressed: Cells hidden because they are below the limit.
        complementary: Cells hidden because the totals would tell others.
        exposed: Suppressed cells that a step's totals give away all the same.
    """

    table: FlowTable
    cells: int
    suppressed: int
    complementary: int
    exposed: int


def read_flow_table(path: Path, config: FlowTableConfig, *, name: str) -> FlowTable:
    """Read the four declared columns of a CSV (.csv, .csv.gz) or Parquet file; others are left where they are.

    Args:
        path: The file.
        config: What its columns are called.
        name: How messages call it.

    Raises:
        InputError: If it is empty or malformed, lacks a column, a cell has no time, origin, destination or count, a
            count is no whole number of 0 or more, or a cell is there twice. The message names file and column, never
            a value.
    """
    columns = (config.time, config.origin, config.destination, config.count)
    table = _read_parquet(path, columns, name) if path.suffix == ".parquet" else _read_csv(path, columns, name)
    if table.num_rows == 0:
        raise InputError(f"{name}: only a header, no row; at least one row is needed")
    # Before the types: a column of nothing but gaps has none.
    for column in columns:
        if table.column(column).null_count:
            raise InputError(f"{name}: column {column!r}: a cell is empty; every row needs all of {', '.join(columns)}")
    table = _plain(table, columns, name)
    counts = _integers(table.column(config.count))
    if (counts < 0).any():
        raise InputError(f"{name}: column {config.count!r}: a count is negative; {_WHOLE}")
    keys = [_factorize(table.column(column)) for column in columns[:3]]
    codes = np.stack([code for _, code in keys])
    order = np.lexsort(codes[::-1])
    codes, counts = codes[:, order], counts[order]
    if (codes[:, 1:] == codes[:, :-1]).all(axis=0).any():
        raise InputError(
            f"{name}: columns {', '.join(map(repr, columns[:3]))}: a cell is there twice; deliver each pair of places "
            "once a time, with the sum"
        )
    labels = (keys[0][0], keys[1][0], keys[2][0])
    return FlowTable(columns, labels, codes, counts, np.zeros(len(counts), dtype=np.bool_))


def protect(table: FlowTable, limit: int) -> ProtectedFlowTable:
    """Suppress counts from 1 to limit - 1 of every time step, and what it takes that the step's totals do not tell.

    A step's table has all origins as rows and all destinations as columns; its row, column and grand totals are taken
    as known (pick-ups by zone are a series that agencies train on). What is guaranteed, and what is not, stands with
    `fl_tasks.data.suppression.suppress`; no total over several steps is taken as known. A zero that has to be hidden
    becomes a row of its own; zeros else need none.

    Args:
        table: With no cell hidden yet.
        limit: Smaller counts than this are suppressed.
    """
    m, n = len(table.labels[1]), len(table.labels[2])
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    suppressed = complementary = exposed = 0
    starts = np.flatnonzero(np.diff(table.codes[0], prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(table.counts)], strict=True):
        time, origins, destinations = table.codes[:, start:end]
        step = np.zeros((m, n), dtype=np.int64)
        step[origins, destinations] = table.counts[start:end]
        there = np.zeros((m, n), dtype=np.bool_)
        there[origins, destinations] = True
        found = suppress(step, limit)
        suppressed += found.primary
        complementary += found.complementary
        exposed += found.exposed
        rows, columns = np.nonzero(there | found.hidden)
        hidden = found.hidden[rows, columns]
        parts.append(
            (np.stack([np.full(len(rows), time[0]), rows, columns]), np.where(hidden, 0, step[rows, columns]), hidden)
        )
    codes, counts, masks = zip(*parts, strict=True)
    return ProtectedFlowTable(
        FlowTable(
            table.columns, table.labels, np.concatenate(codes, axis=1), np.concatenate(counts), np.concatenate(masks)
        ),
        int((table.counts > 0).sum()),
        suppressed,
        complementary,
        exposed,
    )


def write_flow_table(path: Path, table: FlowTable) -> None:
    """Write a flow table as Parquet, atomically, readable by the owner only; a suppressed count is null."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = len(table.counts)

    # From buffers: pa.array() imports pandas, a second in every process.
    def integers(values: NDArray[np.int64], valid: NDArray[np.bool_] | None = None) -> pa.Array:
        bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(pa.int64(), rows, [bits, pa.py_buffer(np.ascontiguousarray(values))])

    arrays = [labels.take(integers(codes)) for labels, codes in zip(table.labels, table.codes, strict=True)]
    arrays.append(integers(table.counts, ~table.hidden))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, names=list(table.columns)), sink)  # type: ignore[no-untyped-call]
    write_atomic(path, sink.getvalue().to_pybytes())


def _read_csv(path: Path, columns: tuple[str, ...], name: str) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    header = CsvTable(path, name=name, needs=columns).columns
    try:
        return csv.read_csv(  # type: ignore[attr-defined]
            path,
            # One thread, so that a complaint can name the line.
            read_options=csv.ReadOptions(use_threads=False, column_names=list(header), skip_rows=1),  # type: ignore[attr-defined]
            convert_options=csv.ConvertOptions(  # type: ignore[attr-defined]
                include_columns=list(columns), column_types={columns[3]: pa.int64()}, strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        # pyarrow quotes the cell or the row: its message, and the error itself, stay here.
        found = re.search(r"Row #(\d+):", str(error))
        line = f"line {found[1]}: " if found else ""
        if "conversion error to int64" in str(error):
            raise InputError(f"{name}: {line}column {columns[3]!r}: a count is no whole number; {_WHOLE}") from None
        raise InputError(f"{name}: {line}damaged, or cut off: not as many cells as the header has") from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{name}: cannot be read to its end ({type(error).__name__}); copy it again") from None


def _read_parquet(path: Path, columns: tuple[str, ...], name: str) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        # By handle: opened by path, pyarrow imports its data-set and file-system layers too.
        with path.open("rb") as file:
            source = pq.ParquetFile(file)  # type: ignore[no-untyped-call]
            for column in columns:
                if source.schema_arrow.names.count(column) != 1:
                    raise InputError(f"{name}: column {column!r} is not there, or twice; one of that name is needed")
            table = source.read(columns=list(columns))  # type: ignore[no-untyped-call]
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{name}: not a whole Parquet file ({type(error).__name__}); copy it again") from None
    if not pa.types.is_integer(table.schema.field(columns[3]).type):
        raise InputError(f"{name}: column {columns[3]!r}: not a column of whole numbers; {_WHOLE}")
    return table


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    import pyarrow as pa  # noqa: PLC0415

    return np.asarray(np.from_dlpack(column.cast(pa.int64()).combine_chunks()), dtype=np.int64)


def _factorize(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the distinct values of a column, ascending, and the index of each row's value among them."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    encoded = column.combine_chunks().dictionary_encode()
    order = compute.sort_indices(encoded.dictionary)  # type: ignore[attr-defined]
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.from_dlpack(order)] = np.arange(len(order))
    return encoded.dictionary.take(order), rank[np.from_dlpack(encoded.indices.cast(pa.int64()))]


def _plain(table: pa.Table, columns: tuple[str, ...], name: str) -> pa.Table:
    """Return the table with categories as their values; refuse what is no name of a time or place."""
    import pyarrow as pa  # noqa: PLC0415

    known = pa.types
    allowed = (known.is_integer, known.is_temporal, known.is_string, known.is_large_string)
    for index, column in enumerate(columns):
        kind = table.schema.field(column).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
            table = table.set_column(index, column, table.column(column).cast(kind))
        if not any(fits(kind) for fits in allowed):
            raise InputError(f"{name}: column {column!r}: {kind}; whole numbers, UTF-8 text or times are needed")
    return table
