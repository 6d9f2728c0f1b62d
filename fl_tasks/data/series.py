"""Series on one time axis: what the data stages hand to each other, as parquet files at the agency.

pyarrow is imported where a file is read or written, so that importing a stage costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import MissingInput

TIME = "timestamp"
REASON = "quarantine_reason"


@dataclass(frozen=True)
class Series:
    """Values of S series at T times.

    Attributes:
        times: Shape (T,), local wall time, datetime64[us].
        names: S names of the series (sensors), in the file's order.
        values: Shape (T, S), float64, in the unit that the stage works in; NaN where there is no value.
        identifiers: Column that points at persons or vehicles -> T texts, empty where there is none.
    """

    times: NDArray[np.datetime64]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    identifiers: Mapping[str, list[str]] = field(default_factory=dict)

    def rows(self, chosen: NDArray[np.bool_]) -> Series:
        """Return the rows that a mask of shape (T,) chooses."""
        identifiers = {name: list(compress(texts, chosen)) for name, texts in self.identifiers.items()}
        return Series(self.times[chosen], self.names, self.values[chosen], identifiers)


def write_series(path: Path, series: Series, *, reasons: list[str] | None = None) -> None:
    """Write series as parquet, atomically, readable by the owner only; a missing value is NaN.

    Args:
        path: Where.
        series: What.
        reasons: T texts, written beside the rows as column `quarantine_reason`.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = len(series.times)

    # From buffers: pa.array() and fill_null() import pandas, a second in every process.
    def plain(values: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
        return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(np.ascontiguousarray(values))])

    def text(texts: list[str]) -> pa.Array:
        encoded = [cell.encode() for cell in texts]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
        return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))

    columns = {TIME: plain(series.times.astype("datetime64[us]").astype(np.int64), pa.timestamp("us"))}
    if reasons is not None:
        columns[REASON] = text(reasons)
    for name, texts in series.identifiers.items():
        columns[name] = text(texts)
    for index, name in enumerate(series.names):
        columns[name] = plain(series.values[:, index].astype(np.float64), pa.float64())
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    pq.write_table(table, sink)  # type: ignore[no-untyped-call]
    write_atomic(path, sink.getvalue().to_pybytes())


def read_series(path: Path) -> Series:
    """Read what write_series wrote, but for the reasons: columns of numbers are series, those of text identifiers.

    Raises:
        MissingInput: If the file is not there: an earlier stage has not run.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not path.exists():
        raise MissingInput(f"{path.name} of this run is not there yet; run the stage before this one first")
    # By handle: opened by path, pyarrow imports its data-set and file-system layers too.
    with path.open("rb") as file:
        table = pq.ParquetFile(file).read()  # type: ignore[no-untyped-call]
    fields = [column for column in table.schema if column.name not in {TIME, REASON}]
    names = tuple(column.name for column in fields if not pa.types.is_string(column.type))
    values = np.empty((table.num_rows, len(names)), dtype=np.float64)
    for index, name in enumerate(names):
        values[:, index] = np.from_dlpack(table.column(name).combine_chunks())
    times = np.from_dlpack(table.column(TIME).cast(pa.int64()).combine_chunks())
    identifiers = {column.name: table.column(column.name).to_pylist() for column in fields if column.name not in names}
    return Series(times.astype("datetime64[us]"), names, values, identifiers)
