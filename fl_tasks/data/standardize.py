"""Putting an agency's rows on the scenario's grid, by stated rules; every row is accounted for.

In this order:

1. A zero is missing where the scenario says so.
2. A row off the grid (not a whole number of steps after midnight) is quarantined as `off_grid`: moving it would
   make up a time.
3. A row of which more than half of the values lie outside [minimum, maximum] is quarantined as `out_of_range`:
   a wrong unit or a shifted row. Single values outside are set to missing and counted.
4. Rows of one timestamp are merged: per series the mean of the values present. Identical rows so become one of
   them; timestamps whose rows differ are counted.
5. Steps between the first and the last row that have no row become rows of missing values: gaps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.config import SeriesConfig
from fl_tasks.contracts.data import RowCounts, Standardized
from fl_tasks.contracts.errors import DataRejected, FLError
from fl_tasks.data.series import Series

OFF_GRID = "off_grid"
OUT_OF_RANGE = "out_of_range"
_KEPT = ""


class RowsUnaccounted(FLError):
    """Rows in are not rows out + quarantined + merged: a mistake in this program, not in the data."""


@dataclass(frozen=True)
class StandardizedSeries:
    """The full grid, the rejected rows with a reason each, and the counts."""

    grid: Series
    quarantine: Series
    reasons: list[str]
    record: Standardized


def standardize(raw: Series, config: SeriesConfig) -> StandardizedSeries:
    """Put raw rows on the grid.

    Args:
        raw: At least one row, in any order.
        config: Step, range, and whether a zero is missing.

    Raises:
        DataRejected: If no row is left.
        RowsUnaccounted: If a row was lost on the way.
    """
    values = raw.values.copy()
    zeros = (values == 0.0) if config.zero_is_missing else np.zeros(values.shape, dtype=bool)
    values[zeros] = np.nan
    outside = (values < config.minimum) | (values > config.maximum)
    step = np.timedelta64(config.step_minutes, "m").astype("timedelta64[us]")
    # Steps are counted from the epoch, a midnight; a step that divides a day so starts anew every midnight.
    off_grid = raw.times.astype("datetime64[us]").astype(np.int64) % step.astype(np.int64) != 0
    mostly_outside = 2 * outside.sum(axis=1) > np.isfinite(values).sum(axis=1)
    reasons = np.select([off_grid, mostly_outside], [OFF_GRID, OUT_OF_RANGE], default=_KEPT)
    kept = reasons == _KEPT
    if not kept.any():
        raise DataRejected(
            f"every row is rejected ({', '.join(sorted(set(reasons.tolist())))}); check the unit and the sampling step "
            f"({config.step_minutes} min, [{config.minimum:g}, {config.maximum:g}] {config.unit})"
        )
    values[outside] = np.nan
    merged, present, conflicting = _merge(Series(raw.times, raw.names, values).rows(kept))
    grid, occupied = _fill_gaps(merged, step)
    quarantine = raw.rows(~kept)
    rows_out = int(occupied.sum())
    record = Standardized(
        rows=RowCounts(
            rows_in=len(raw.times),
            rows_out=rows_out,
            quarantined=len(quarantine.times),
            merged=int((present - 1).sum()),
        ),
        quarantined_by_reason=dict(sorted(Counter(reasons[~kept].tolist()).items())),
        conflicting=conflicting,
        missing_rows=len(grid.times) - rows_out,
        missing_cells=int(np.isnan(grid.values[occupied]).sum()),
        zero_cells=int(zeros[kept].sum()),
        out_of_range_cells=int(outside[kept].sum()),
    )
    check_rows(record.rows)
    return StandardizedSeries(grid, quarantine, reasons[~kept].tolist(), record)


def check_rows(rows: RowCounts) -> None:
    """Raise RowsUnaccounted unless rows in = rows out + quarantined + merged."""
    if rows.rows_in != rows.rows_out + rows.quarantined + rows.merged:
        raise RowsUnaccounted(
            "rows in are not rows out + quarantined + merged; nothing was written. Report this as a bug"
        )


def _merge(rows: Series) -> tuple[Series, NDArray[np.int64], int]:
    """Fold the rows of each timestamp.

    Returns:
        The rows in order of time, how many were folded into each, and how many timestamps had rows that differ.
    """
    order = np.argsort(rows.times, kind="stable")
    times, starts, present = np.unique(rows.times[order], return_index=True, return_counts=True)
    values = rows.values[order]
    low = np.fmin.reduceat(values, starts, axis=0)
    high = np.fmax.reduceat(values, starts, axis=0)
    differ = low < high
    merged = low
    if differ.any():
        known = np.isfinite(values)
        total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
        number = np.add.reduceat(known, starts, axis=0, dtype=np.int64)
        merged[differ] = total[differ] / number[differ]
    return Series(times, rows.names, merged), present, int(differ.any(axis=1).sum())


def _fill_gaps(rows: Series, step: np.timedelta64) -> tuple[Series, NDArray[np.bool_]]:
    """Return the rows on the full grid from the first to the last, and which grid rows were there."""
    slots = (rows.times - rows.times[0]) // step
    times = rows.times[0] + np.arange(slots[-1] + 1) * step
    values = np.full((len(times), len(rows.names)), np.nan)
    values[slots] = rows.values
    occupied = np.zeros(len(times), dtype=bool)
    occupied[slots] = True
    return Series(times, rows.names, values), occupied
