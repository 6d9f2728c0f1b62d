"""Taking an agency's rows of one run out of its file."""

from __future__ import annotations

import calendar
import datetime as dt
from array import array
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from fl_tasks.contracts.config import ScheduleConfig
from fl_tasks.contracts.errors import InputError
from fl_tasks.data.csv_table import CsvTable
from fl_tasks.data.series import TIME, Series

Span = tuple[dt.datetime, dt.datetime]


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


def read_span(path: Path, span: Span, *, name: str) -> Series:
    """Read the rows of a wide CSV (`timestamp`, then one column a series) that lie inside a span.

    Every row's time and width are checked, the numbers only of the rows inside: an old row that no run reads
    any more does not stop this one. Rows keep the file's order; nothing is repaired here.

    Args:
        path: A .csv or .csv.gz file.
        span: [start, end), local wall time.
        name: How messages call the file.

    Raises:
        InputError: If the file is missing, empty or malformed, or holds no row inside the span; the message names
            the file, the line and the column, never a value.
    """
    table = CsvTable(path, name=name, needs=(TIME,))
    if table.columns[0] != TIME:
        raise InputError(f"{name}: line 1: column {TIME!r} must be the first; put the series after it")
    names = table.columns[1:]
    if not names:
        raise InputError(f"{name}: line 1: there is no column beside {TIME!r}; one column a series is needed")
    start, end = span
    times: list[dt.datetime] = []
    values = array("d")
    rows = 0
    for line, cells in table.rows():
        rows += 1
        time = table.moment(line, TIME, cells[0])
        if start <= time < end:
            times.append(time)
            values.extend(table.numbers(line, names, cells[1:]))
    if rows == 0:
        raise InputError(f"{name}: only a header, no row; at least one row is needed")
    if not times:
        raise InputError(
            f"{name}: column {TIME!r}: no row lies inside [{start:%Y-%m-%d %H:%M}, {end:%Y-%m-%d %H:%M}) local time, "
            "which this run reads; deliver newer data or run the interval that the data belongs to"
        )
    shaped = np.frombuffer(values, dtype=np.float64).reshape(len(times), len(names))
    return Series(np.array(times, dtype="datetime64[us]"), names, shaped)
