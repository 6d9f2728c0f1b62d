"""What an agency sums of a numeric column, and mean, deviation and quantiles from the sums of all.

Values are taken as u = (value - minimum) / (maximum - minimum), from 0 to 1. Sums of u and of its square are whole
numbers of 1 / MOMENT_STEPS, so that adding them over agencies is exact: what is lost is half a step of each agency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import SMALL_CELL
from fl_tasks.contracts.errors import DataRejected, InputError
from fl_tasks.contracts.preparation import ColumnScale
from fl_tasks.contracts.survey import BINS, MOMENT_STEPS, SummedColumn

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class ColumnSums:
    """Sums of one numeric column over the rows that have a value; those of several agencies add up.

    Attributes:
        count: Rows that have a value.
        first: Sum of u, in steps of 1 / MOMENT_STEPS.
        second: Sum of u squared, likewise.
        bins: BINS counts over equal parts of [0, 1]; each part holds its lower edge, the last one both.
    """

    count: int
    first: int
    second: int
    bins: tuple[int, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them, in the order of SurveyRequest.limbs."""
        return (self.count, self.first, self.second, *self.bins)

    @classmethod
    def read(cls, numbers: Sequence[int]) -> ColumnSums:
        """Read what `numbers` gave."""
        count, first, second, *bins = numbers
        return cls(count, first, second, tuple(bins))


def sum_column(values: NDArray[np.float64], column: SummedColumn) -> ColumnSums:
    """Sum an agency's column.

    Args:
        values: Shape (n,), in the column's unit; NaN where there is none.
        column: With the range of the values.

    Raises:
        InputError: If a value lies outside of the range; the row, from 1, is named.
    """
    there = ~np.isnan(values)
    outside = there & ~((values >= column.minimum) & (values <= column.maximum))
    if outside.any():
        raise InputError(
            f"column {column.column!r}: row {int(np.argmax(outside)) + 1} lies outside of [{column.minimum:g}, "
            f"{column.maximum:g}]; correct the row, or the range in the scenario"
        )
    u = (values[there] - column.minimum) / (column.maximum - column.minimum)
    places = np.minimum((u * BINS).astype(np.int64), BINS - 1)
    return ColumnSums(
        count=len(u),
        first=_steps(math.fsum(u)),
        second=_steps(math.fsum(np.square(u))),
        bins=tuple(np.bincount(places, minlength=BINS).tolist()),
    )


def scale_of(sums: ColumnSums, column: SummedColumn) -> ColumnScale:
    """Return mean, standard deviation (of the rows themselves: divided by n) and quantiles of the summed rows.

    A column whose values are all the same gets the deviation 1, as scikit-learn's StandardScaler has it.

    Raises:
        DataRejected: If fewer rows than a small cell have a value: their mean would tell them.
    """
    if sums.count < SMALL_CELL:
        raise DataRejected(
            f"column {column.column!r}: fewer than {SMALL_CELL} rows of all agencies have a value, too few to scale "
            "it; leave the column out of what the model sees (used: false)"
        )
    # In fractions: the difference of two nearly equal numbers would cost digits.
    mean = Fraction(sums.first, MOMENT_STEPS * sums.count)
    variance = max(Fraction(sums.second, MOMENT_STEPS * sums.count) - mean**2, Fraction(0))
    span = column.maximum - column.minimum
    # Half a step of each of the sums is noise, not spread.
    noise = Fraction(4, MOMENT_STEPS)
    return ColumnScale(
        mean=column.minimum + float(mean) * span,
        std=math.sqrt(variance) * span if variance > noise else 1.0,
        quantiles=tuple(column.minimum + _quantile(sums.bins, q) * span for q in QUANTILES),
    )


def _steps(total: float) -> int:
    """Return a sum in steps of 1 / MOMENT_STEPS, rounded to the nearest; exact arithmetic."""
    return round(Fraction(total) * MOMENT_STEPS)


def _quantile(bins: Sequence[int], q: float) -> float:
    """Return a quantile of u, as NumPy's `linear` interpolates between the two rows next to it.

    Each of the two is known to lie in its bin, and so the result is off by less than a bin's width.
    """
    place = q * (sum(bins) - 1)
    below, above = _row(bins, math.floor(place)), _row(bins, math.ceil(place))
    return below + (place - math.floor(place)) * (above - below)


def _row(bins: Sequence[int], rank: int) -> float:
    """Return where the row of a rank, from 0, stands if the rows of its bin lie evenly in it."""
    before = 0
    for place, count in enumerate(bins):
        if rank < before + count:
            return (place + (rank - before + 0.5) / count) / len(bins)
        before += count
    raise AssertionError("a rank is below the number of rows")
