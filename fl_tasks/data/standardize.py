"""Putting an agency's rows on the scenario's grid, by stated rules; every row is accounted for.

In this order:

1. Values are converted from the unit of the delivery to the agency's unit, within one dimension only.
2. A zero is missing where the agency's source says so.
3. A row off the source's own grid (not a whole number of its steps after midnight; of weeks, not on the declared
   weekday at midnight) is quarantined as `off_grid`: moving it would make up a time.
4. A row of which more than half of the values lie outside the source's [minimum, maximum] is quarantined as
   `out_of_range`: a wrong unit or a shifted row. Single values outside are set to missing and counted. Where the
   source declares corrections, a negative count is inside, down to -maximum; a running total has to be at least zero.
5. Rows of one timestamp are merged: per series the mean of the values present. Identical rows so become one of
   them; timestamps whose rows differ are counted. The hour that comes twice when daylight saving ends is merged so;
   the hour that is left out when it begins is a gap. That holds too for a source in UTC or another zone, which has
   a row for both of the two hours: ingest has given both the wall time of the scenario's zone.
6. Running totals become the counts of each step; where the step before has no total, the count is missing.
7. A negative count, the correction of earlier ones, becomes what the source declares, and is counted (see counts.py).
   A count of a running total that then lies above maximum is set to missing and counted.
8. Where data come more often than the scenario's step, a step's value is the mean of its readings, if at least
   min_coverage of those that it should have are there; else it is missing, and counted. All units are levels or
   rates, never bare counts: the mean of rates is the sum of the counts, scaled to the unit's span of time. A week of
   days is dated by its first one, the declared weekday.
9. Steps between the first and the last row that have no row become rows of missing values: gaps.

Rows in = rows out + quarantined + merged. Duplicates count as merged, and so do the readings of a step beyond one.
Rules 6 and 7 change values only, never rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import RowCounts, Standardized
from fl_tasks.contracts.errors import ConfigError, DataRejected, FLError
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.source import WEEK_MINUTES, WEEKDAYS, SourceConfig
from fl_tasks.contracts.units import conversion
from fl_tasks.data.counts import Corrected, correct, increments
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


def standardize(raw: Series, source: SourceConfig, config: SeriesConfig) -> StandardizedSeries:
    """Put raw rows on the grid.

    Args:
        raw: At least one row, in any order, in source_unit.
        source: Units, step, range, and whether a zero is missing, of this agency's data.
        config: Step of the grid, and how much of a step must be there.

    Returns:
        The grid in the source's `unit`; the rejected rows as they came.

    Raises:
        ConfigError: If the source's step does not divide the scenario's.
        DataRejected: If no row is left.
        RowsUnaccounted: If a row was lost on the way.
    """
    readings, rest = divmod(config.step_minutes, source.step_minutes)
    if rest:
        raise ConfigError(
            f"field step_minutes: data every {source.step_minutes} min cannot be put on steps of "
            f"{config.step_minutes} min; the source's step must divide the scenario's, or equal it"
        )
    values = raw.values * conversion(source.source_unit, source.unit)
    zeros = (values == 0.0) if source.zero_is_missing else np.zeros(values.shape, dtype=bool)
    values[zeros] = np.nan
    outside = out_of_range(values, source)
    mostly_outside = 2 * outside.sum(axis=1) > np.isfinite(values).sum(axis=1)
    reasons = np.select([off_grid(raw.times, source), mostly_outside], [OFF_GRID, OUT_OF_RANGE], default=_KEPT)
    kept = reasons == _KEPT
    if not kept.any():
        raise DataRejected(
            f"every row is rejected ({', '.join(sorted(set(reasons.tolist())))}); check the unit and the sampling step "
            f"({source.step_minutes} min, [{source.minimum:g}, {source.maximum:g}] {source.unit})"
        )
    values[outside] = np.nan
    merged, present, conflicting = _merge(Series(raw.times, raw.names, values).rows(kept))
    counts, above = _count(merged, source)
    merged = Series(merged.times, merged.names, counts.values)
    first = _first(config.step_minutes, source)
    coarse, thin = (merged, 0) if readings == 1 else _resample(merged, config, readings, first)
    grid, occupied = _fill_gaps(coarse, np.timedelta64(config.step_minutes, "m"))
    quarantine = raw.rows(~kept)
    rows_out = int(occupied.sum())
    record = Standardized(
        rows=RowCounts(
            rows_in=len(raw.times),
            rows_out=rows_out,
            quarantined=len(quarantine.times),
            merged=int((present - 1).sum()) + len(merged.times) - len(coarse.times),
        ),
        quarantined_by_reason=dict(sorted(Counter(reasons[~kept].tolist()).items())),
        conflicting=conflicting,
        missing_rows=len(grid.times) - rows_out,
        missing_cells=int(np.isnan(grid.values[occupied]).sum()),
        zero_cells=int(zeros[kept].sum()),
        out_of_range_cells=int(outside[kept].sum()) + above,
        thin_cells=thin,
        corrections=counts.corrections,
        unspread=counts.unspread,
    )
    check_rows(record.rows)
    return StandardizedSeries(grid, quarantine, reasons[~kept].tolist(), record)


def off_grid(times: NDArray[np.datetime64], source: SourceConfig) -> NDArray[np.bool_]:
    """Return which times of shape (T,) are not on the source's own steps."""
    since = _since_epoch(times) - _first(source.step_minutes, source)
    off: NDArray[np.bool_] = since % _minutes(source.step_minutes) != 0
    return off


def out_of_range(values: NDArray[np.float64], source: SourceConfig) -> NDArray[np.bool_]:
    """Return which values, in the source's `unit`, cannot be as they were delivered."""
    least, most = source.minimum, source.maximum
    if source.cumulative:
        least, most = 0.0, np.inf
    elif source.corrections is not None:
        least = -source.maximum
    return (values < least) | (values > most)


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


def _count(rows: Series, source: SourceConfig) -> tuple[Corrected, int]:
    """Apply rules 6 and 7 to rows in order of time, each time once.

    Returns:
        The values, and how many of them were above the maximum.
    """
    values = rows.values
    if source.cumulative:
        values = increments(rows.times, values, np.timedelta64(source.step_minutes, "m"))
    if source.corrections is None:
        return Corrected(values, 0, 0), 0
    corrected = correct(values, source.corrections)
    above = corrected.values > source.maximum
    corrected.values[above] = np.nan
    return corrected, int(above.sum())


def _resample(rows: Series, config: SeriesConfig, readings: int, first: int) -> tuple[Series, int]:
    """Fold rows, in order of time and each time once, into the scenario's coarser steps.

    Args:
        rows: On the source's grid.
        config: Step and min_coverage.
        readings: How many a step should have.
        first: Any of the steps, microseconds since the epoch.

    Returns:
        One row for each step that has a row, and how many values are missing there though a reading was present.
    """
    step = _minutes(config.step_minutes)
    slots, starts = np.unique((_since_epoch(rows.times) - first) // step, return_index=True)
    known = np.isfinite(rows.values)
    total = np.add.reduceat(np.where(known, rows.values, 0.0), starts, axis=0)
    number = np.add.reduceat(known, starts, axis=0, dtype=np.int64)
    # Rounded: 0.7 of 10 readings is a little less than 7 in binary.
    enough = number >= max(1.0, round(config.min_coverage * readings, 6))
    values = np.full(total.shape, np.nan)
    np.divide(total, number, out=values, where=enough)
    times = (slots * step + first).astype("datetime64[us]")
    return Series(times, rows.names, values), int(((number > 0) & ~enough).sum())


def _fill_gaps(rows: Series, step: np.timedelta64) -> tuple[Series, NDArray[np.bool_]]:
    """Return the rows on the full grid from the first to the last, and which grid rows were there."""
    slots = (rows.times - rows.times[0]) // step
    times = rows.times[0] + np.arange(slots[-1] + 1) * step
    values = np.full((len(times), len(rows.names)), np.nan)
    values[slots] = rows.values
    occupied = np.zeros(len(times), dtype=bool)
    occupied[slots] = True
    return Series(times, rows.names, values), occupied


def _first(step_minutes: int, source: SourceConfig) -> int:
    """Return one time that a step starts at, in microseconds since the epoch.

    That is the epoch, a midnight: a step that divides a day so starts anew every midnight. Weeks start on the source's
    weekday; the first Monday was four days after the epoch.
    """
    return _minutes(1440 * (4 + WEEKDAYS.index(source.time.weekday))) if step_minutes == WEEK_MINUTES else 0


def _minutes(number: int) -> int:
    return number * 60_000_000


def _since_epoch(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return microseconds since the epoch, the unit of _minutes."""
    return times.astype("datetime64[us]").astype(np.int64)
