"""What every reader of a wide table shares: which column is what, what a time is, and where problems go."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import FLError, InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.series import REASON, TIME, Series

Span = tuple[dt.datetime, dt.datetime]


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


class WrongTime(ValueError):
    """A cell is not the time that the declaration says. Its text goes behind the name of file, row and column."""


class Clock:
    """Reads a source's times as declared, and says which of them a run reads.

    Attributes:
        first: Rows before this time are not read; None reads all.
        end: Rows at or after this time are not read.
    """

    def __init__(self, source: SourceConfig, span: Span | None) -> None:
        """Take a source's declaration.

        Args:
            source: Its time column, step and replay.
            span: [start, end) of the run after the replay's shift, local wall time; None for all.
        """
        self.format = source.time.format
        self.origin = source.time.start
        self.step = dt.timedelta(minutes=source.step_minutes)
        shift = dt.timedelta(weeks=source.replay_shift_weeks)
        self.first: dt.datetime | None = None
        self.end: dt.datetime | None = None
        if span is not None:
            self.first, self.end = span[0] - shift, span[1] - shift

    def covers(self, time: dt.datetime) -> bool:
        """Say whether the run reads rows of this time."""
        return self.first is None or self.end is None or self.first <= time < self.end

    def text(self, cell: str) -> dt.datetime:
        """Return the time that a cell of text says; raises WrongTime."""
        cell = cell.strip()
        if self.origin is not None:
            if not (cell.isascii() and cell.isdigit()):
                raise WrongTime("is no index of steps; a whole number from 0 is needed")
            return self._step(int(cell))
        if self.format == "iso":
            return iso_time(cell)
        try:
            time = dt.datetime.strptime(cell, self.format)
        except ValueError:
            raise WrongTime(
                f"is no date and time of the pattern {self.format!r}; correct the cell, or time.format"
            ) from None
        return _local(time)

    def value(self, cell: object) -> dt.datetime:
        """Return the time that a typed cell says (time, date, integer or text); raises WrongTime."""
        if isinstance(cell, str):
            return self.text(cell)
        if self.origin is not None and isinstance(cell, int) and not isinstance(cell, bool):
            return self._step(cell)
        if self.origin is None and isinstance(cell, dt.datetime):
            return _local(cell)
        if self.origin is None and isinstance(cell, dt.date):
            return dt.datetime(cell.year, cell.month, cell.day)
        raise WrongTime("is empty" if cell is None else "is neither text nor of the declared kind (see time.format)")

    def _step(self, index: int) -> dt.datetime:
        if index < 0:
            raise WrongTime("is a negative index of steps; a whole number from 0 is needed")
        try:
            return (self.origin or dt.datetime.min) + index * self.step
        except OverflowError:
            raise WrongTime("is an index of steps beyond the calendar; a smaller number is needed") from None


def iso_time(cell: str) -> dt.datetime:
    """Return the local wall time that an ISO 8601 text says; raises WrongTime."""
    try:
        time = dt.datetime.fromisoformat(cell)
    except ValueError:
        raise WrongTime(
            "is no date and time; local wall time like 2018-06-01 00:05:00 is needed, or another time.format"
        ) from None
    return _local(time)


def _local(time: dt.datetime) -> dt.datetime:
    if time.tzinfo is not None:
        raise WrongTime("carries a UTC offset; local wall time of the scenario's zone is needed, without an offset")
    return time


@dataclass(frozen=True)
class Layout:
    """Which columns of one table are what.

    Attributes:
        time: The time's column.
        values: Columns of values that are there.
        names: Their series' names, in the same order.
        identifiers: Identifying columns that are there.
    """

    time: str
    values: tuple[str, ...]
    names: tuple[str, ...]
    identifiers: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read: time, values, identifiers."""
        return (self.time, *self.values, *self.identifiers)


def plan(columns: Sequence[str], source: SourceConfig, where: str) -> Layout:
    """Find the declared columns among those of a table.

    Args:
        columns: All columns of the table, distinct.
        source: The declaration.
        where: How messages call the place of the column names, like `a.csv: line 1`.

    Raises:
        InputError: If there is no time column or no column of values, or a name is reserved.
    """
    time = source.time.column
    if time not in columns:
        raise InputError(
            f"{where}: there is no column {time!r}; it must say the time. Correct the data, or time.column"
        )
    there = set(columns)
    identifiers = tuple(column for column in source.identifiers if column in there)
    if source.values is None:
        chosen = {column: column for column in columns if column != time and column not in source.identifiers}
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
    return Layout(time, tuple(chosen), tuple(chosen.values()), identifiers)


@dataclass(frozen=True)
class Read:
    """What one file or table holds.

    Attributes:
        series: Rows that the run reads, in the file's order; times as they are there, not yet shifted.
        columns: The columns of values that were found.
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
        {name: [text for part in parts for text in part.identifiers[name]] for name in layout.identifiers},
    )
