"""An agency's deliveries: the files of its folder, and how a later one corrects an earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.clock import Clock
from fl_tasks.data.csv_table import read_csv
from fl_tasks.data.parquet_table import read_parquet
from fl_tasks.data.series import Series
from fl_tasks.data.table import Problems, Read

_READERS = {".csv": read_csv, ".csv.gz": read_csv, ".parquet": read_parquet}


def deliveries(path: Path, name: str) -> list[tuple[Path, str]]:
    """Return the files that a declaration's path means, each with how messages call it.

    Of a folder these are its .csv, .csv.gz and .parquet files in order of name, without hidden ones and sub-folders.

    Raises:
        InputError: If there is no such file, or of another kind, or the folder holds none.
    """
    if not path.is_dir():
        if _kind(path) is None:
            raise InputError(f"{name}: its name must end in {', '.join(_READERS)}; save it as one of them")
        return [(path, name)]
    files = sorted(
        (file for file in path.iterdir() if _kind(file) and not file.name.startswith(".") and file.is_file()),
        key=lambda file: file.name,
    )
    if not files:
        raise InputError(
            f"{name}: the folder holds no file whose name ends in {', '.join(_READERS)}; put the data there"
        )
    return [(file, f"{name}/{file.name}") for file in files]


def read_file(path: Path, name: str, source: SourceConfig, clock: Clock, problems: Problems) -> Read:
    """Read one of `deliveries`; raises InputError with file, line or row and column, never a value."""
    return _READERS[_kind(path) or ".csv"](path, name, source, clock, problems)


def _kind(path: Path) -> str | None:
    return next((suffix for suffix in _READERS if path.name.lower().endswith(suffix)), None)


@dataclass(frozen=True)
class Combined:
    """All deliveries as one.

    Attributes:
        series: Rows in the order of the files and, in a file, in its own order.
        replaced: Rows of an earlier file that are gone, since later ones hold every value of theirs.
        corrected: Whether a later file replaced any value of an earlier one.
    """

    series: Series
    replaced: int
    corrected: bool


def combine(parts: Sequence[Series]) -> Combined:
    """Put deliveries together; of one time and series the value of the last file that has one counts.

    Files may differ in their columns. An empty cell is no value and replaces none. Rows of one file with the same
    time stay as they are.

    Args:
        parts: One a file, in order of the files.
    """
    if len(parts) == 1:
        return Combined(parts[0], 0, corrected=False)
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    identifiers = tuple(dict.fromkeys(name for part in parts for name in part.identifiers))
    rows = [len(part.times) for part in parts]
    values = np.full((sum(rows), len(names)), np.nan)
    start = 0
    for part in parts:
        values[start : start + len(part.times), [names.index(name) for name in part.names]] = part.values
        start += len(part.times)
    whole = Series(
        np.concatenate([np.array([], dtype="datetime64[us]"), *(part.times for part in parts)]),
        names,
        values,
        {
            name: [text for part in parts for text in part.identifiers.get(name, [""] * len(part.times))]
            for name in identifiers
        },
    )
    file = np.repeat(np.arange(len(parts)), rows)
    outdated, superseded = _outdated(whole.times, values, file)
    values[outdated] = np.nan
    gone = superseded & np.isnan(values).all(axis=1)
    return Combined(whole.rows(~gone), int(gone.sum()), corrected=bool(outdated.any()))


def _outdated(
    times: NDArray[np.datetime64], values: NDArray[np.float64], file: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which values (T, S) a later file has too, and which rows (T,) have a time that a later file has too."""
    _, moment = np.unique(times, return_inverse=True)
    present = ~np.isnan(values)
    last = np.zeros((int(moment.max(initial=-1)) + 1, values.shape[1]), dtype=np.int64)
    last_row = np.zeros(len(last), dtype=np.int64)
    # Files come in order, so that a later one overwrites.
    for index in np.unique(file):
        chosen = np.flatnonzero(file == index)
        row, column = np.nonzero(present[chosen])
        last[moment[chosen][row], column] = index
        last_row[moment[chosen]] = index
    return present & (last[moment] > file[:, None]), last_row[moment] > file
