"""Taking an agency's rows of one run out of its source, as declared, and saying what has changed since the last one."""

from __future__ import annotations

import calendar
import hashlib
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from fl_tasks.contracts.base import canonical_json
from fl_tasks.contracts.config import ScheduleConfig
from fl_tasks.contracts.data import Accepted, Ingested
from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.accepted import changed_months
from fl_tasks.data.clock import Clock, Span
from fl_tasks.data.series import Series
from fl_tasks.data.source_files import combine, deliveries, read_file
from fl_tasks.data.sql_table import read_sql
from fl_tasks.data.table import Problems


@dataclass(frozen=True)
class SourceRows:
    """What a source holds of a span.

    Attributes:
        series: The rows, at times after the replay's shift, in the source's unit.
        files: What was read: names of files, or of the table.
        replaced: Rows of an earlier file that later ones replaced.
        corrected: Whether a later file replaced any value of an earlier one.
    """

    series: Series
    files: tuple[str, ...]
    replaced: int
    corrected: bool


def local_interval(schedule: ScheduleConfig, interval: Span) -> Span:
    """Return a data interval [start, end) as local wall time of the scenario's zone, without an offset."""
    zone = ZoneInfo(schedule.timezone)
    start, end = (moment.astimezone(zone).replace(tzinfo=None) for moment in interval)
    return start, end


def reading_span(schedule: ScheduleConfig, interval: Span) -> Span:
    """Return [end - lookback, end) of a data interval, local wall time: the rows that a run may read.

    A month back is the same day of the month before, or that month's last day.
    """
    _, end = local_interval(schedule, interval)
    years, month = divmod(end.year * 12 + end.month - 1 - schedule.lookback_months, 12)
    day = min(end.day, calendar.monthrange(years, month + 1)[1])
    return end.replace(year=years, month=month + 1, day=day), end


def read_source(
    source: SourceConfig,
    folder: Path,
    span: Span | None,
    *,
    name: str,
    problems: Problems | None = None,
    zone: str | None = None,
) -> SourceRows:
    """Read the rows of a source that lie inside a span after the replay's shift; nothing is repaired here.

    Args:
        source: The declaration.
        folder: The agency's folder.
        span: [start, end), local wall time; None for all rows.
        name: How messages call the source.
        problems: Where problems of single rows and files go; by default the first is raised.
        zone: IANA name of the scenario's zone; needed where the source's times are of another one.

    Raises:
        ConfigError: If the zone is needed, and is not given.
        InputError: If the source is missing, empty or malformed, or holds no row inside the span; the message names
            the file, the line or row, and the column, never a value.
    """
    clock = Clock(source, span, zone)
    problems = problems or Problems()
    files: tuple[str, ...] = (source.where,)
    reads = []
    if source.path is None:
        reads.append(read_sql(folder, name, source, clock, problems))
    else:
        found = deliveries(folder / source.path, name)
        files = tuple(path.name for path, _ in found)
        for path, called in found:
            try:
                reads.append(read_file(path, called, source, clock, problems))
            except InputError as error:
                problems.add(error)  # whoever collects problems hears of the other files too
    for column in source.values or ():
        if reads and not any(column in read.columns for read in reads):
            kind = "column" if source.long is None else f"row of {source.long.series!r} that says"
            problems.add(InputError(f"{name}: there is no {kind} {column!r}; correct the data, or values"))
    combined = combine([read.series for read in reads])
    series = combined.series
    if not len(series.times) and span is not None:
        own = "" if not source.only else "own "
        raise InputError(
            f"{name}: column {source.time.column!r}: no {own}row lies inside [{span[0]:%Y-%m-%d %H:%M}, "
            f"{span[1]:%Y-%m-%d %H:%M}) local time, which this run reads{_after_shift(source)}; "
            "deliver newer data or run the interval that the data belongs to"
        )
    shifted = series.times + np.timedelta64(source.replay_shift_weeks, "W")
    moved = Series(shifted.astype("datetime64[us]"), series.names, series.values, series.identifiers)
    return SourceRows(moved, files, combined.replaced, combined.corrected)


def record(rows: SourceRows, source: SourceConfig, span: Span, known: Accepted | None) -> Ingested:
    """Return what ingest leaves beside the rows; `known` is the last accepted run, if there is one."""
    months = month_hashes(rows.series, span)
    notes = []
    if source.replay_shift_weeks:
        notes.append(f"replayed: moved by {source.replay_shift_weeks} weeks")
    if rows.corrected:
        notes.append("a later file replaced values of an earlier one")
    changed = changed_months(months, known)
    if changed:
        they = ("has", "it was") if len(changed) == 1 else ("have", "they were")
        notes.append(
            f"{', '.join(changed)} {they[0]} changed since the last accepted run (late or corrected data); "
            f"{they[1]} read anew"
        )
    return Ingested(
        files=rows.files,
        rows_read=len(rows.series.times) + rows.replaced,
        corrected=rows.replaced,
        months=months,
        notes=tuple(notes),
    )


def month_hashes(series: Series, span: Span) -> dict[str, str]:
    """Return the hash of every calendar month that lies whole in a span, like 2018-06.

    It covers times and values, not identifiers; the order of rows and columns, and a series without a value in the
    month, do not matter. A month without a row has a hash too, so that it shows when its data come late.
    """
    found = series.times.astype("datetime64[M]")
    first, end = (np.datetime64(moment, "us") for moment in span)
    month = first.astype("datetime64[M]")
    if month < first:
        month += 1
    hashes = {}
    while (month + 1).astype("datetime64[us]") <= end:
        hashes[str(month)] = _month_hash(series.rows(found == month))
        month += 1
    return hashes


def _month_hash(rows: Series) -> str:
    held = ~np.isnan(rows.values).all(axis=0)
    columns = sorted(np.flatnonzero(held).tolist(), key=lambda column: rows.names[column])
    # Adding 0.0 makes -0.0 the same as 0.0; one bit pattern stands for every NaN.
    values = rows.values[:, columns] + 0.0
    values[np.isnan(values)] = np.nan
    if len(np.unique(rows.times)) == len(rows.times):
        order = np.argsort(rows.times)
    else:
        order = np.lexsort((*values.T, rows.times))
    digest = hashlib.sha256(canonical_json([rows.names[column] for column in columns]))
    digest.update(np.ascontiguousarray(rows.times[order].astype("<M8[us]")).tobytes())
    digest.update(np.ascontiguousarray(values[order].astype("<f8")).tobytes())
    return digest.hexdigest()


def _after_shift(source: SourceConfig) -> str:
    return f" (after the replay's shift of {source.replay_shift_weeks} weeks)" if source.replay_shift_weeks else ""
