"""Long tables, one row for each time and series: made wide while they are read.

From here on a row is one time with the values of all series, and rows are counted so. Of one time and series given
more than once, the second value goes into a second row of that time, and so on: standardize merges rows of one time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.series import REASON, TIME, Series
from fl_tasks.data.table import Problems, Read

_MOST_SERIES = 10_000


class Labels:
    """The texts of a long table's column of series, as the agency's rows have them: each is kept in memory once.

    Attributes:
        seen: Every text so far, in order.
    """

    def __init__(self, column: str, problems: Problems) -> None:
        """Take the column's name, and where an empty cell goes."""
        self.seen: dict[str, None] = {}
        self._column = column
        self._problems = problems

    def add(self, text: str, place: str) -> str | None:
        """Return a row's text to keep; None if it is empty, which is a problem.

        Args:
            text: As it stands.
            place: How messages call the row.

        Raises:
            InputError: If there are too many different ones to be series.
        """
        text = sys.intern(text.strip())
        if text in self.seen:
            return text
        if not text:
            error = InputError(f"{place}: column {self._column!r} is empty; every row must say which series it is of")
            self._problems.add(error)
            return None
        if len(self.seen) == _MOST_SERIES:
            raise InputError(
                f"{place}: column {self._column!r} holds more than {_MOST_SERIES} different texts; long.series must "
                "name the column of the series"
            )
        self.seen[text] = None
        return text


def widen(rows: Series, label_of: Sequence[str], labels: Labels, source: SourceConfig, name: str) -> Read:
    """Return a long table as a wide one.

    Args:
        rows: One column of values, shape (T, 1).
        label_of: T texts, the series of each row.
        labels: Those of the whole table.
        source: How its series are called.
        name: How messages call the table.

    Returns:
        Rows in order of time, series in order of their declaration, or of their names.

    Raises:
        InputError: If a series has a reserved name.
    """
    called = source.values or {label: label for label in sorted(labels.seen)}
    there = tuple(label for label in called if label in labels.seen)
    names = tuple(called[label] for label in there)
    reserved = {TIME, REASON}.intersection(names)
    if reserved:
        raise InputError(f"{name}: {reserved.pop()!r} cannot name a series; map it to another name under values")
    position = {label: index for index, label in enumerate(there)}
    column = np.array([position[text] for text in label_of], dtype=np.int64)
    moments, moment = np.unique(rows.times, return_inverse=True)
    # How many rows of the same time and series stand before each.
    cell = moment * len(there) + column
    order = np.argsort(cell, kind="stable")
    _, starts, sizes = np.unique(cell[order], return_index=True, return_counts=True)
    before = np.empty(len(cell), dtype=np.int64)
    before[order] = np.arange(len(cell)) - np.repeat(starts, sizes)
    places, row = np.unique(moment * (before.max(initial=0) + 1) + before, return_inverse=True)
    values = np.full((len(places), len(there)), np.nan)
    values[row, column] = rows.values[:, 0]
    times = moments[places // (before.max(initial=0) + 1)]
    return Read(Series(times.astype("datetime64[us]"), names, values), there)
