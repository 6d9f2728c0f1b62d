"""How far a month's values have moved from the last accepted month's: the population stability index (PSI).

PSI = sum over bins of (now - before) x ln(now / before), where the bins are the deciles of the values before. It is
0 for equal distributions; by custom under 0.1 is no change, over 0.25 a marked one.
Source: Yurdakul 2018, https://scholarworks.wmich.edu/dissertations/3208
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import Accepted, Distribution
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.series import Series

VALUE = "value"
"""What is watched: the values of all series of the agency together."""

_BINS = 10
# An empty bin would make the index infinite; this much stands for it.
_LEAST_SHARE = 1e-4


def month_values(grid: Series, interval: tuple[dt.datetime, dt.datetime]) -> NDArray[np.float64]:
    """Return the values present inside a data interval [start, end), local wall time, shape (n,)."""
    start, end = (np.datetime64(moment, "us") for moment in interval)
    values = grid.values[(grid.times >= start) & (grid.times < end)]
    return values[np.isfinite(values)]


def distribution(values: NDArray[np.float64]) -> Distribution:
    """Return the deciles of at least one value and the shares between them; equal deciles fall together.

    Raises:
        DataRejected: If there is no value.
    """
    if not values.size:
        raise DataRejected("no value lies inside the run's data interval; deliver newer data")
    edges = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
    return Distribution(edges=tuple(edges.tolist()), shares=tuple(_shares(values, edges).tolist()))


def psi(before: Distribution, values: NDArray[np.float64]) -> float:
    """Return the index of values against a distribution, 0 or more; without a value it is that of all bins empty."""
    then = np.maximum(np.array(before.shares), _LEAST_SHARE)
    now = np.maximum(_shares(values, np.array(before.edges)), _LEAST_SHARE)
    return float(((now - then) * np.log(now / then)).sum())


def values_a_day(values: NDArray[np.float64], interval: tuple[dt.datetime, dt.datetime]) -> float:
    """Return how many values an interval holds for each of its days."""
    start, end = interval
    return values.size / ((end - start) / dt.timedelta(days=1))


def comparable(known: Accepted | None, start: dt.datetime, *, watched: str = VALUE) -> Accepted | None:
    """Return the newest record that a run whose interval begins at `start` may be compared with.

    An accepted run of the same interval, or of a later one, says nothing of this one: what it was compared with may.
    The record comes without its own previous one.
    """
    for record in (known, known.previous) if known is not None else ():
        if record is not None and record.interval_end <= start and watched in record.reference and record.values_a_day:
            return record.model_copy(update={"previous": None})
    return None


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the values in each bin; a value on an edge belongs to the bin below."""
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return counts / max(values.size, 1)
