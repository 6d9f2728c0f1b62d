"""An agency's raw data, by declaration: where they lie, how they read, what they mean, what must not be kept."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, StringConstraints, field_validator, model_validator

from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.units import conversion, period_minutes

Column = Annotated[str, StringConstraints(min_length=1, max_length=200)]
IdentifierKind = Literal["resident_id", "mobile", "plate", "credit_code"]
Corrections = Literal["missing", "zero", "spread"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
WEEK_MINUTES = 10_080
OFFSET = "offset"


def inside(value: str) -> str:
    """Return a path below an agency's folder; raises ValueError if it leaves it."""
    if value.startswith("/") or ".." in Path(value).parts:
        raise ValueError(f"path {value!r} must be relative and stay inside the agency's folder")
    return value


class TimeConfig(Contract):
    """The column that says when; by default as local wall time of the scenario's zone, without a UTC offset."""

    column: Column = "timestamp"
    format: str = Field(
        default="iso",
        min_length=1,
        description="`iso`, a strptime pattern like %d/%m/%Y %H:%M, or `index`: steps since `start`.",
    )
    start: dt.datetime | None = Field(
        default=None, description="Time of index 0, wall time of the source's zone; only for `index`."
    )
    timezone: str | None = Field(
        default=None,
        description="IANA name of the zone that the source's times are in, where it is not the scenario's, like UTC; "
        "or `offset`: every time carries its own UTC offset, or is of a type that has a time zone.",
    )
    weekday: Weekday = Field(
        default="monday", description="The day that rows of a week are dated by; only for weekly steps."
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value != OFFSET:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"time zone {value!r} is unknown; use an IANA name like UTC, or {OFFSET}") from error
        return value

    @model_validator(mode="after")
    def _pattern(self) -> TimeConfig:
        if self.format in {"iso", "index"}:
            return self
        example = dt.datetime(2018, 6, 21, 13, 45, 30)
        zone = dt.timezone(dt.timedelta(hours=-7)) if self.timezone == OFFSET else None
        try:
            found = dt.datetime.strptime(example.replace(tzinfo=zone).strftime(self.format), self.format)
        except ValueError as error:
            raise ValueError("format must be iso, index or a strptime pattern like %d/%m/%Y %H:%M") from error
        finer = (example, example.replace(second=0), example.replace(minute=0, second=0))
        if found.replace(tzinfo=None) not in (*finer, dt.datetime(2018, 6, 21)):
            raise ValueError("format must hold year, month and day, the hour of 24 or with %p, and no UTC offset")
        if found.tzinfo is None and zone is not None:
            raise ValueError("timezone `offset` needs a format that reads the offset: iso, or a pattern with %z")
        return self

    @model_validator(mode="after")
    def _start(self) -> TimeConfig:
        if (self.format == "index") != (self.start is not None):
            raise ValueError("start belongs to format `index`, and that format needs it")
        if self.start is not None and self.start.tzinfo is not None:
            raise ValueError("start must be local wall time, without a UTC offset")
        if self.format == "index" and self.timezone == OFFSET:
            raise ValueError("an index carries no UTC offset; name the zone that start is in")
        return self


class LongConfig(Contract):
    """A table with one row for each time and series, in place of one column a series."""

    series: Column = Field(description="Column that says which series a row is of: its text or whole number.")
    value: Column = Field(description="Column of the values.")


class SqlConfig(Contract):
    """A table of a database; its URL is a secret and lies in a file of the agency."""

    url_file: str = Field(description="File with one SQLAlchemy URL, relative to the agency's folder, mode 0600.")
    table: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")] = Field(
        description="Table or view, with its schema if it is not the default one."
    )

    _url_file = field_validator("url_file")(inside)


class FlowTableConfig(Contract):
    """An origin-destination table beside the series: counts of trips between places, by step of time."""

    path: str = Field(description="A CSV or Parquet file, relative to the agency's folder.")
    time: Column
    origin: Column
    destination: Column
    count: Column
    limit: int = Field(default=5, ge=2, le=1000, description="Smaller counts than this are suppressed.")

    _path = field_validator("path")(inside)


class SourceConfig(Contract):
    """One agency's data for one scenario: a wide table, one row a time, one column a series; or a long one."""

    kind: Literal["series"] = "series"
    path: str | None = Field(
        default=None,
        min_length=1,
        description="CSV or Parquet (.csv, .csv.gz, .parquet), or a folder of such files, of which a later one, by "
        "name, corrects an earlier one. Relative to the agency's folder.",
    )
    sql: SqlConfig | None = Field(default=None, description="Instead of `path`.")
    time: TimeConfig = Field(default_factory=TimeConfig)
    encoding: Literal["utf-8", "gb18030"] = Field(default="utf-8", description="Of CSV files.")
    long: LongConfig | None = Field(default=None, description="Where the table has one row for each time and series.")
    only: dict[Column, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Column -> texts or whole numbers, as text: only rows that hold one of them are the agency's own.",
    )
    values: dict[Column, Column] | None = Field(
        default=None,
        min_length=1,
        description="Column -> name of its series; by default every other column. In a long table the texts of "
        "long.series take the columns' place; by default each is a series.",
    )
    identifiers: dict[Column, Literal["drop", "hash"]] = Field(
        default_factory=dict,
        description="Columns that point at a person or vehicle, where they are there: dropped, or replaced by a keyed "
        "hash (HMAC-SHA-256 under the agency's own key).",
    )
    identifier_kinds: dict[Column, IdentifierKind] = Field(
        default_factory=dict,
        description="What a hashed column's texts are, so that every way to write one has one hash: an old resident id "
        "of 15 digits and that of 18, a mobile number with and without +86.",
    )
    flow_table: FlowTableConfig | None = None
    source_unit: str = Field(description="Unit of the values as delivered.")
    unit: str = Field(description="Unit that this agency's errors and forecasts are given in.")
    step_minutes: int = Field(
        ge=1, le=WEEK_MINUTES, description="Sampling step of the data as delivered, minutes: a day at most, or a week."
    )
    minimum: float = Field(description="Smallest possible value, in unit.")
    maximum: float = Field(description="Largest possible value, in unit.")
    zero_is_missing: bool = Field(description="Whether a zero stands for a missing value.")
    cumulative: bool = Field(
        default=False, description="Whether the values are running totals; they become counts of each step."
    )
    corrections: Corrections | None = Field(
        default=None,
        description="What a negative count, the correction of earlier ones, becomes: `missing`; `zero`; or `spread`: "
        "zero, and taken off the steps before it, newest first, none below zero. Without it, it is out of range.",
    )
    population: int | None = Field(
        default=None, ge=1, description="Inhabitants that the counts are of; needed where a scenario learns rates."
    )
    replay_shift_weeks: int = Field(
        default=0, ge=-5200, le=5200, description="Historical data are moved by so many weeks of local wall time."
    )
    production: bool = Field(default=False, description="Real duty: no replay of historical data.")

    @field_validator("path")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        return None if value is None else inside(value)

    @model_validator(mode="after")
    def _whole(self) -> SourceConfig:
        if (self.path is None) == (self.sql is None):
            raise ValueError("exactly one of path and sql is needed")
        if self.production and self.replay_shift_weeks:
            raise ValueError("replay_shift_weeks is for historical data; it is refused where production is true")
        if not self.minimum < self.maximum:
            raise ValueError("minimum must be below maximum")
        named = list((self.values or {}).values())
        if len(set(named)) != len(named):
            raise ValueError("two columns of values are given the same name")
        named_columns = [] if self.long is None else [self.long.series, self.long.value]
        columns = {self.time.column, *(named_columns or self.values or {})}
        if set(self.identifiers) & {*columns, *self.only}:
            raise ValueError("a column cannot be an identifier and a time or value, or one that chooses rows, at once")
        if len({self.time.column, *named_columns}) != 1 + len(named_columns):
            raise ValueError("time, long.series and long.value must be three columns")
        if self.long is not None and "hash" in self.identifiers.values():
            raise ValueError("a long table's rows become one a time: no identifier of theirs can be kept; drop it")
        if set(self.only) & (columns - {named_columns[0] if named_columns else ""}):
            raise ValueError("only names the column of the time or of a value; it chooses rows by other columns")
        if set(self.identifier_kinds) - {column for column, how in self.identifiers.items() if how == "hash"}:
            raise ValueError("identifier_kinds names a column that is not hashed; set it to hash under identifiers")
        try:
            conversion(self.source_unit, self.unit)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        self._check_counts()
        return self

    def _check_counts(self) -> None:
        if 1440 < self.step_minutes < WEEK_MINUTES:
            raise ValueError(f"step_minutes must be a day (1440) at most, or a week ({WEEK_MINUTES})")
        if self.encoding != "utf-8" and self.path is None:
            raise ValueError("encoding is for CSV files; a database says its own")
        if self.cumulative and self.corrections is None:
            raise ValueError("running totals are corrected downwards at times: corrections must say what that becomes")
        if self.corrections is not None and (self.minimum != 0.0 or period_minutes(self.source_unit) is None):
            raise ValueError("corrections are for counts: minimum must be 0 and source_unit a count by time")
        if self.cumulative and self.zero_is_missing:
            raise ValueError("a running total of zero is no missing value; zero_is_missing must be false")
        if self.cumulative and period_minutes(self.source_unit) != self.step_minutes:
            raise ValueError(
                "running totals become counts of one step: source_unit must be a count by step_minutes, like cases/day "
                "for 1440"
            )

    @property
    def where(self) -> str:
        """How messages and lineage call the source; a database's URL is never part of it."""
        return self.path if self.path is not None else f"table {self.sql.table if self.sql else ''}"
