"""Rows of one schema: what the data stages of tables hand to each other, as parquet files at the agency.

pyarrow is imported where a file is read or written, so that importing a stage costs nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import fsync_folder, make_private_folder
from fl_tasks.contracts.errors import InputError, MissingInput
from fl_tasks.contracts.table_config import TableColumn
from fl_tasks.data.series import REASON

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP = 65_536


@dataclass(frozen=True)
class Table:
    """n rows by column.

    Attributes:
        columns: Column -> shape (n,): float64 with NaN where a number is missing, or an object array of str with ""
            where a text is. A generalized column holds its labels as texts, whatever it was before.
    """

    columns: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        lengths = {len(values) for values in self.columns.values()}
        if len(lengths) > 1:
            raise InputError(f"columns of {' and '.join(map(str, sorted(lengths)))} rows; one length is needed")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self, chosen: NDArray[Any] | slice) -> Table:
        """Return the rows that a mask of shape (n,), an array of positions, or a slice chooses."""
        return Table({name: values[chosen] for name, values in self.columns.items()})

    def replaced(self, columns: Mapping[str, NDArray[Any]]) -> Table:
        """Return the table with other values in some columns, or with further columns at its end."""
        return Table({**self.columns, **columns})


def joined(tables: Sequence[Table]) -> Table:
    """Put tables of the same columns below one another."""
    if not tables:
        return Table({})
    return Table({name: np.concatenate([one.columns[name] for one in tables]) for name in tables[0].columns})


def texts(values: Sequence[str] | NDArray[Any]) -> NDArray[Any]:
    """Return texts as an object array of shape (n,)."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


class TableWriter:
    """Writes a table piece by piece into one parquet file, so that memory holds one piece only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, table: Table, reasons: Sequence[str] | None = None) -> None:
        """Append rows; every piece has the same columns, and reasons in all of them or in none."""
        import pyarrow.parquet as pq  # noqa: PLC0415

        for start in range(0, max(len(table), 1), _ROW_GROUP):
            part = slice(start, start + _ROW_GROUP)
            piece = _to_arrow(table.rows(part), None if reasons is None else reasons[part])
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, piece.schema)  # type: ignore[no-untyped-call]
            self._writer.write_table(piece)

    def close(self) -> None:
        """Write the end of the file; without a piece there is no file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def table_writer(path: Path) -> Iterator[TableWriter]:
    """Write a parquet file whole or not at all, readable by the owner only; on an error the old one stays.

    At least one piece, be it without rows, has to be written.
    """
    make_private_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    writer = TableWriter(temporary)
    try:
        yield writer
        writer.close()
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(path: Path, table: Table, reasons: Sequence[str] | None = None) -> None:
    """Write a table as parquet, atomically, readable by the owner only.

    Args:
        path: Where.
        table: What.
        reasons: n texts, written beside the rows as column `quarantine_reason`.
    """
    with table_writer(path) as writer:
        writer.write(table, reasons)


def read_table(path: Path, columns: Sequence[TableColumn] = ()) -> Table:
    """Read what write_table wrote, but for the reasons.

    Args:
        path: The file.
        columns: Those that have to be there and alone are read, but for direct identifiers, which no stage needs and
            few agencies deliver; by default all that are in the file.

    Raises:
        MissingInput: If the file is not there: an earlier stage has not run.
        InputError: If it has not a column.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not path.exists():
        raise MissingInput(f"{path.name} of this run is not there yet; run the stage before this one first")
    # By handle: opened by path, pyarrow imports its data-set and file-system layers too.
    with path.open("rb") as stream:
        file = pq.ParquetFile(stream)  # type: ignore[no-untyped-call]
        there = [name for name in file.schema_arrow.names if name != REASON]
        wanted = [column.column for column in columns if column.role != "direct_identifier"] or there
        missing = [name for name in wanted if name not in there]
        if missing:
            raise InputError(f"{path.name}: there is no column {missing[0]!r}; start a new run")
        found = file.read(columns=wanted)  # type: ignore[no-untyped-call]
    return Table({name: _from_arrow(found.column(name)) for name in wanted})


def read_reasons(path: Path) -> list[str]:
    """Return why each row of a quarantine file was rejected; raises MissingInput."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not path.exists():
        raise MissingInput(f"{path.name} of this run is not there yet; run the stage before this one first")
    with path.open("rb") as stream:
        column = pq.ParquetFile(stream).read(columns=[REASON]).column(REASON)  # type: ignore[no-untyped-call]
    return [str(reason) for reason in column.to_pylist()]


def _to_arrow(table: Table, reasons: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415

    # From buffers: pa.array() imports pandas, a second and 80 MiB in every process.
    def plain(values: NDArray[Any]) -> pa.Array:
        cells = np.ascontiguousarray(values, dtype=np.float64)
        return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(cells)])

    def text(cells: Sequence[str]) -> pa.Array:
        encoded = [cell.encode() for cell in cells]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
        return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))

    arrays = {
        name: text(values.tolist()) if values.dtype == object else plain(values)
        for name, values in table.columns.items()
    }
    if reasons is not None:
        arrays[REASON] = text(reasons)
    return pa.Table.from_arrays(list(arrays.values()), names=list(arrays))


def _from_arrow(column: pa.ChunkedArray) -> NDArray[Any]:
    import pyarrow as pa  # noqa: PLC0415

    if not pa.types.is_string(column.type):
        chunks = [np.from_dlpack(chunk) for chunk in column.chunks]
        return np.concatenate(chunks) if chunks else np.empty(0, dtype=np.float64)
    # By dictionary: a text that comes a million times is one object.
    pieces = []
    for chunk in column.chunks:
        encoded = chunk.dictionary_encode()
        values = texts(encoded.dictionary.to_pylist())
        pieces.append(values[np.from_dlpack(encoded.indices)])
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=object)
