"""What every reader of a table shares: which column is what, which rows are the agency's own, where problems go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import FLError, InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.series import REASON, TIME, Series


class Problems:
    """Where a reader reports a problem. This one ends the reading with the first: a run takes no broken data."""

    def add(self, error: FLError) -> None:
        """Report one problem; returns only if reading may go on without the row."""
        raise error


class TooManyProblems(FLError):
    """A check of a file has found as many problems as it tells."""


class Collected(Problems):
    """The first problems of a whole source, for whoever has to repair it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.found: list[FLError] = []

    def add(self, error: FLError) -> None:
        """Keep a problem.

        Raises:
            TooManyProblems: If it is the last that is told.
        """
        self.found.append(error)
        if len(self.found) >= self.limit:
            raise TooManyProblems(f"{self.limit} problems are told; repair them and check again")


@dataclass(frozen=True)
class Layout:
    """Which columns of one table are what.

    Attributes:
        time: The time's column.
        values: Columns of values that are there.
        names: Their series' names, in the same order.
        identifiers: Identifying columns that are there.
        label: In a long table, the column that says which series a row is of; `values` then is the one column of the
            values, and `names` holds it for the time being.
        only: Column -> texts; a row that holds another one is not the agency's.
    """

    time: str
    values: tuple[str, ...]
    names: tuple[str, ...]
    identifiers: tuple[str, ...]
    label: str | None = None
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Columns of which each chosen row's text is kept: identifiers, and the label."""
        return self.identifiers if self.label is None else (*self.identifiers, self.label)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read, each once: time, values, texts, and those that choose rows."""
        return tuple(dict.fromkeys((self.time, *self.values, *self.texts, *self.only)))


def plan(columns: Sequence[str], source: SourceConfig, where: str) -> Layout:
    """Find the declared columns among those of a table.

    Args:
        columns: All columns of the table, distinct.
        source: The declaration.
        where: How messages call the place of the column names, like `a.csv: line 1`.

    Raises:
        InputError: If there is no time column or no column of values, or one that chooses rows is not there, or a name
            is reserved.
    """
    time = source.time.column
    needed = {time: "it must say the time. Correct the data, or time.column"}
    needed |= dict.fromkeys(source.only, "it must say which rows are the agency's. Correct the data, or only")
    if source.long is not None:
        needed[source.long.series] = "it must say the series. Correct the data, or long.series"
        needed[source.long.value] = "it must hold the values. Correct the data, or long.value"
    for column, why in needed.items():
        if column not in columns:
            raise InputError(f"{where}: there is no column {column!r}; {why}")
    only = {column: frozenset(texts) for column, texts in source.only.items()}
    if source.long is not None:
        label, value = source.long.series, source.long.value
        if source.values is not None:
            only[label] = only.get(label, frozenset(source.values)) & frozenset(source.values)
        return Layout(time, (value,), (value,), (), label, only)
    there = set(columns)
    identifiers = tuple(column for column in source.identifiers if column in there)
    if source.values is None:
        others = {time, *source.identifiers, *only}
        chosen = {column: column for column in columns if column not in others}
        if not chosen:
            raise InputError(f"{where}: there is no column beside {time!r}; one column a series is needed")
    else:
        chosen = {column: name for column, name in source.values.items() if column in there}
        if not chosen:
            wanted = ", ".join(map(repr, source.values))
            raise InputError(f"{where}: there is no column of values ({wanted}); correct the data, or values")
    for name in (*chosen.values(), *identifiers):
        if name in {TIME, REASON} or (name in identifiers and name in chosen.values()):
            raise InputError(f"{where}: {name!r} cannot name a series or identifier; map its column to another name")
    return Layout(time, tuple(chosen), tuple(chosen.values()), identifiers, None, only)


def of_own(layout: Layout) -> str:
    """Return what a message about a lack of rows adds, where a declaration chooses among them."""
    return f" that {', '.join(map(repr, layout.only))} choose" if layout.only else ""


@dataclass(frozen=True)
class Read:
    """What one file or table holds.

    Attributes:
        series: Rows that the run reads, in the file's order; times on the scenario's wall, not yet shifted.
        columns: The columns of values that were found; of a long table the series.
    """

    series: Series
    columns: tuple[str, ...]


def check_finite(values: NDArray[np.float64], columns: Sequence[str], rows: Sequence[str], problems: Problems) -> None:
    """Report every infinite value.

    Args:
        values: Shape (T, S).
        columns: S names.
        rows: How messages call the T rows.
        problems: Where they go.
    """
    for row, column in np.argwhere(np.isinf(values)):
        problems.add(InputError(f"{rows[row]}: column {columns[column]!r} is infinite; leave it empty if missing"))


def join(parts: Sequence[Series], layout: Layout) -> Series:
    """Return the rows of all parts of one table, one after the other."""
    return Series(
        np.concatenate([np.array([], dtype="datetime64[us]"), *(part.times for part in parts)]),
        layout.names,
        np.concatenate([np.empty((0, len(layout.names))), *(part.values for part in parts)]),
        {name: [text for part in parts for text in part.identifiers[name]] for name in layout.texts},
    )
