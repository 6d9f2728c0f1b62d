"""Counts of each step from running totals, and what becomes of negative ones: corrections of counts told before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.source import Corrections


def increments(times: NDArray[np.datetime64], totals: NDArray[np.float64], step: np.timedelta64) -> NDArray[np.float64]:
    """Return what running totals grew by in each step.

    Args:
        times: Shape (T,), ascending, each once.
        totals: Shape (T, S); NaN where there is none.
        step: Between two times that follow each other without a gap.

    Returns:
        Shape (T, S); NaN where the total of the step directly before is not there: in the first row, and after a gap,
        of which nobody knows how its growth was spread.
    """
    grown = np.full(totals.shape, np.nan)
    grown[1:] = totals[1:] - totals[:-1]
    grown[1:][np.diff(times) != step] = np.nan
    return grown


@dataclass(frozen=True)
class Corrected:
    """Counts without a negative one.

    Attributes:
        values: Shape (T, S), none below zero.
        corrections: Negative counts there were.
        unspread: Of these, how many the steps before could not take up whole; their rest is left out.
    """

    values: NDArray[np.float64]
    corrections: int
    unspread: int


def correct(counts: NDArray[np.float64], rule: Corrections) -> Corrected:
    """Replace negative counts, as the source declares.

    Args:
        counts: Shape (T, S), in order of time; NaN where there is none.
        rule: `missing`: NaN. `zero`: zero. `spread`: zero, and the steps before it give up as much, newest first, none
            more than it has, so that a series' sum stays as it was. Corrections are taken in order of time.
    """
    negative = counts < 0.0
    values = counts.copy()
    if rule != "spread":
        values[negative] = np.nan if rule == "missing" else 0.0
        return Corrected(values, int(negative.sum()), 0)
    unspread = sum(_spread(values[:, column]) for column in np.flatnonzero(negative.any(axis=0)))
    return Corrected(values, int(negative.sum()), int(unspread))


def _spread(counts: NDArray[np.float64]) -> int:
    """Take each negative count off those before it, in place; return how many could not be taken off whole."""
    unspread = 0
    holding: list[int] = []  # steps with something left to give, newest last
    for step in np.flatnonzero(np.nan_to_num(counts)).tolist():
        if counts[step] > 0.0:
            holding.append(step)
            continue
        owed = -counts[step]
        counts[step] = 0.0
        while owed > 0.0 and holding:
            taken = min(owed, counts[holding[-1]])
            counts[holding[-1]] -= taken
            owed -= taken
            if counts[holding[-1]] == 0.0:
                holding.pop()
        unspread += owed > 0.0
    return unspread
