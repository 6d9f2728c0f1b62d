"""What a source's times mean: read as declared, converted to the wall time of the scenario's zone.

A time in another zone, or with a UTC offset, is an instant, and becomes what a clock in the scenario's zone shows then.
Of daylight saving the rules are:

- When the scenario's clock goes back, two instants show the same time: both rows get it, and standardize merges them,
  as it does where the source's own times are the scenario's wall time. When it goes forward, no instant shows the hour
  that is left out: it stays a gap.
- When the source's own clock goes back, its repeated hour cannot be told apart: it counts as the first, in summer time.
  When it goes forward, a time of the hour that is left out does not exist in its zone, and is refused: a clock that is
  never changed is declared by a zone that never is, like Etc/GMT+5.
"""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.source import OFFSET, SourceConfig

Span = tuple[dt.datetime, dt.datetime]


class WrongTime(ValueError):
    """A cell is not the time that the declaration says. Its text goes behind the name of file, row and column."""


class Clock:
    """Reads a source's times as declared, and says which of them a run reads.

    Attributes:
        first: Rows before this time are not read; None reads all.
        end: Rows at or after this time are not read.
        offsets: Whether every time carries its UTC offset, or is of a type that has a time zone.
    """

    def __init__(self, source: SourceConfig, span: Span | None, zone: str | None = None) -> None:
        """Take a source's declaration.

        Args:
            source: Its time column, step and replay.
            span: [start, end) of the run after the replay's shift, local wall time; None for all.
            zone: IANA name of the scenario's zone; needed where the source's times are of another.

        Raises:
            ConfigError: If the scenario's zone is needed, and is not given.
        """
        self.format = source.time.format
        self.origin = source.time.start
        self.step = dt.timedelta(minutes=source.step_minutes)
        shift = dt.timedelta(weeks=source.replay_shift_weeks)
        self.first: dt.datetime | None = None
        self.end: dt.datetime | None = None
        if span is not None:
            self.first, self.end = span[0] - shift, span[1] - shift
        declared = source.time.timezone
        self.offsets = declared == OFFSET
        self._own: dt.tzinfo | None = None if declared is None else dt.UTC if self.offsets else ZoneInfo(declared)
        self._wall: ZoneInfo | None = None
        if self._own is not None:
            if zone is None:
                raise ConfigError(
                    f"field time.timezone: times of {declared} cannot be read without the scenario's zone; "
                    "give the scenario's schedule.timezone"
                )
            self._wall = ZoneInfo(zone)

    @property
    def converts(self) -> bool:
        """Whether times are of another zone than the scenario's wall."""
        return self._own is not None

    def covers(self, time: dt.datetime) -> bool:
        """Say whether the run reads rows of this time."""
        return self.first is None or self.end is None or self.first <= time < self.end

    def limits(self) -> Span | None:
        """Return the span in the source's own zone (UTC for `offsets`), without an offset; None for all.

        Where times are converted it is a day wider on both sides, so that no change of a clock cuts a row off: what
        lies in it still has to be held against `covers`.
        """
        if self.first is None or self.end is None:
            return None
        if self._own is None:
            return self.first, self.end
        day = dt.timedelta(days=1)
        first, end = (
            limit.replace(tzinfo=self._wall).astimezone(self._own).replace(tzinfo=None)
            for limit in (self.first, self.end)
        )
        return first - day, end + day

    def text(self, cell: str) -> dt.datetime:
        """Return the wall time that a cell of text says; raises WrongTime."""
        cell = cell.strip()
        if self.origin is not None:
            if not (cell.isascii() and cell.isdigit()):
                raise WrongTime("is no index of steps; a whole number from 0 is needed")
            return self._step(int(cell))
        if self.format == "iso":
            return self._wall_time(_iso(cell))
        try:
            time = dt.datetime.strptime(cell, self.format)
        except ValueError:
            raise WrongTime(self._mismatch(cell)) from None
        return self._wall_time(time)

    def value(self, cell: object) -> dt.datetime:
        """Return the wall time that a typed cell says (time, date, integer or text); raises WrongTime."""
        if isinstance(cell, str):
            return self.text(cell)
        if self.origin is not None and isinstance(cell, int) and not isinstance(cell, bool):
            return self._step(cell)
        if self.origin is None and isinstance(cell, dt.datetime):
            return self._wall_time(cell)
        if self.origin is None and isinstance(cell, dt.date):
            return self._wall_time(dt.datetime(cell.year, cell.month, cell.day))
        raise WrongTime("is empty" if cell is None else "is neither text nor of the declared kind (see time.format)")

    def _step(self, index: int) -> dt.datetime:
        if index < 0:
            raise WrongTime("is a negative index of steps; a whole number from 0 is needed")
        try:
            time = (self.origin or dt.datetime.min) + index * self.step
        except OverflowError:
            raise WrongTime("is an index of steps beyond the calendar; a smaller number is needed") from None
        return self._wall_time(time)

    def _wall_time(self, time: dt.datetime) -> dt.datetime:
        if self._own is None:
            return _local(time)
        if self.offsets:
            if time.tzinfo is None:
                raise WrongTime("carries no UTC offset; each time needs one where time.timezone is `offset`")
        elif time.tzinfo is not None:
            raise WrongTime(
                "carries a UTC offset, but time.timezone names a zone; set it to `offset`, or deliver times without one"
            )
        else:
            time = time.replace(tzinfo=self._own)
        try:
            instant = time.astimezone(dt.UTC)
            if not self.offsets and instant.astimezone(self._own).replace(tzinfo=None) != time.replace(tzinfo=None):
                raise WrongTime(
                    f"does not exist in {self._own}: daylight saving leaves the hour out; if the source's clock is "
                    "never changed, name a zone that never is, like UTC or Etc/GMT+5"
                )
            return instant.astimezone(self._wall).replace(tzinfo=None, fold=0)
        except OverflowError:
            raise WrongTime("is a time beyond the calendar; correct it") from None

    def _mismatch(self, cell: str) -> str:
        """Say why a text is not of the pattern."""
        turned = re.sub("%[dm]", lambda found: "%m" if found[0] == "%d" else "%d", self.format)
        try:
            dt.datetime.strptime(cell, turned)
        except ValueError:
            return f"is no date and time of the pattern {self.format!r}; correct the cell, or time.format"
        return (
            f"is no date and time of the pattern {self.format!r}, but of {turned!r}: day and month in the other order; "
            "write all dates in one order, and declare it in time.format"
        )


def iso_time(cell: str) -> dt.datetime:
    """Return the local wall time that an ISO 8601 text without a UTC offset says; raises WrongTime."""
    return _local(_iso(cell))


def _iso(cell: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(cell)
    except ValueError:
        raise WrongTime(
            "is no date and time; local wall time like 2018-06-01 00:05:00 is needed, or another time.format"
        ) from None


def _local(time: dt.datetime) -> dt.datetime:
    if time.tzinfo is not None:
        raise WrongTime(
            "carries a UTC offset; local wall time of the scenario's zone is needed, without an offset, or `offset` "
            "under time.timezone"
        )
    return time
