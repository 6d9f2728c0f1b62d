"""An agency's raw data, by declaration: where they lie, how they read, what they mean, what must not be kept."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.units import conversion

Column = Annotated[str, StringConstraints(min_length=1, max_length=200)]
IdentifierKind = Literal["resident_id", "mobile", "plate", "credit_code"]


def _inside(value: str) -> str:
    if value.startswith("/") or ".." in Path(value).parts:
        raise ValueError(f"path {value!r} must be relative and stay inside the agency's folder")
    return value


class TimeConfig(Contract):
    """The column that says when, as local wall time of the agency."""

    column: Column = "timestamp"
    format: str = Field(
        default="iso",
        min_length=1,
        description="`iso`, a strptime pattern like %d/%m/%Y %H:%M, or `index`: steps since `start`.",
    )
    start: dt.datetime | None = Field(default=None, description="Time of index 0, local wall time; only for `index`.")

    @field_validator("format")
    @classmethod
    def _pattern(cls, value: str) -> str:
        if value in {"iso", "index"}:
            return value
        example = dt.datetime(2018, 6, 21, 13, 45, 30)
        try:
            found = dt.datetime.strptime(example.strftime(value), value)
        except ValueError as error:
            raise ValueError("format must be iso, index or a strptime pattern like %d/%m/%Y %H:%M") from error
        finer = (example, example.replace(second=0), example.replace(minute=0, second=0))
        if found not in (*finer, dt.datetime(2018, 6, 21)):
            raise ValueError("format must hold year, month and day, the hour of 24 or with %p, and no UTC offset")
        return value

    @model_validator(mode="after")
    def _start(self) -> TimeConfig:
        if (self.format == "index") != (self.start is not None):
            raise ValueError("start belongs to format `index`, and that format needs it")
        if self.start is not None and self.start.tzinfo is not None:
            raise ValueError("start must be local wall time, without a UTC offset")
        return self


class SqlConfig(Contract):
    """A table of a database; its URL is a secret and lies in a file of the agency."""

    url_file: str = Field(description="File with one SQLAlchemy URL, relative to the agency's folder, mode 0600.")
    table: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")] = Field(
        description="Table or view, with its schema if it is not the default one."
    )

    _url_file = field_validator("url_file")(_inside)


class FlowTableConfig(Contract):
    """An origin-destination table beside the series: counts of trips between places, by step of time."""

    path: str = Field(description="A CSV or Parquet file, relative to the agency's folder.")
    time: Column
    origin: Column
    destination: Column
    count: Column
    limit: int = Field(default=5, ge=2, le=1000, description="Smaller counts than this are suppressed.")

    _path = field_validator("path")(_inside)


class SourceConfig(Contract):
    """One agency's data for one scenario: a wide table, one row a time, one column a series."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="CSV or Parquet (.csv, .csv.gz, .parquet), or a folder of such files, of which a later one, by "
        "name, corrects an earlier one. Relative to the agency's folder.",
    )
    sql: SqlConfig | None = Field(default=None, description="Instead of `path`.")
    time: TimeConfig = Field(default_factory=TimeConfig)
    values: dict[Column, Column] | None = Field(
        default=None, min_length=1, description="Column -> name of its series; by default every other column."
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
    step_minutes: int = Field(ge=1, le=1440, description="Sampling step of the data as delivered, minutes.")
    minimum: float = Field(description="Smallest possible value, in unit.")
    maximum: float = Field(description="Largest possible value, in unit.")
    zero_is_missing: bool = Field(description="Whether a zero stands for a missing value.")
    replay_shift_weeks: int = Field(
        default=0, ge=-5200, le=5200, description="Historical data are moved by so many weeks of local wall time."
    )
    production: bool = Field(default=False, description="Real duty: no replay of historical data.")

    @field_validator("path")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        return None if value is None else _inside(value)

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
        if set(self.identifiers) & {self.time.column, *(self.values or {})}:
            raise ValueError("a column cannot be an identifier and a time or value at once")
        if set(self.identifier_kinds) - {column for column, how in self.identifiers.items() if how == "hash"}:
            raise ValueError("identifier_kinds names a column that is not hashed; set it to hash under identifiers")
        try:
            conversion(self.source_unit, self.unit)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def where(self) -> str:
        """How messages and lineage call the source; a database's URL is never part of it."""
        return self.path if self.path is not None else f"table {self.sql.table if self.sql else ''}"
