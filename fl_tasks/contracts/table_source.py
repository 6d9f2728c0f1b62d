"""An agency's table for a scenario that classifies rows: where it lies, how its columns and values are called there."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator, model_validator

from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.source import Column, IdentifierKind, SqlConfig, inside


class TableSource(Contract):
    """One agency's table: one row a person, household or picture. Its columns become those of the scenario."""

    kind: Literal["table"]
    path: str | None = Field(
        default=None,
        min_length=1,
        description="CSV or Parquet (.csv, .csv.gz, .parquet), or a folder of such files, which together are the "
        "table. Relative to the agency's folder.",
    )
    sql: SqlConfig | None = Field(default=None, description="Instead of `path`.")
    encoding: Literal["utf-8", "gb18030"] = Field(default="utf-8", description="Of CSV files.")
    columns: dict[Column, Column] = Field(
        default_factory=dict,
        description="Column as delivered -> the scenario's column, where the names differ; columns that the scenario "
        "does not know are not read.",
    )
    values: dict[Column, dict[str, str]] = Field(
        default_factory=dict,
        description="The scenario's column -> text as delivered -> the scenario's value, where they differ.",
    )
    units: dict[Column, str] = Field(
        default_factory=dict, description="The scenario's column -> unit as delivered, where it is another one."
    )
    missing: tuple[str, ...] = Field(default=("",), description="Texts that mean: there is no value.")
    snapshot: dt.date | None = Field(
        default=None, description="Day that the whole table speaks of, where no column says so."
    )
    as_of: Column | None = Field(default=None, description="Column with the day a row speaks of (ISO date).")
    identifiers: dict[Column, Literal["drop", "hash"]] = Field(
        default_factory=dict,
        description="Further columns as delivered that point at a person: dropped, or kept as a keyed hash.",
    )
    identifier_kinds: dict[Column, IdentifierKind] = Field(
        default_factory=dict, description="What the texts of a hashed identifier are, as in SourceConfig."
    )
    merge_duplicates: bool | None = Field(
        default=None,
        description="Whether rows that are alike in all that is read are one row, delivered twice. By default they are "
        "where a key or an identifier is read; people may be alike in everything else.",
    )
    production: bool = Field(default=False, description="Real duty: a snapshot's day is taken as it is.")

    @field_validator("path")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        return None if value is None else inside(value)

    @model_validator(mode="after")
    def _whole(self) -> TableSource:
        if (self.path is None) == (self.sql is None):
            raise ValueError("exactly one of path and sql is needed")
        if (self.snapshot is None) == (self.as_of is None):
            raise ValueError("exactly one of snapshot and as_of is needed: how old the data are has to be known")
        targets = list(self.columns.values())
        if len(set(targets)) != len(targets):
            raise ValueError("columns: two delivered columns become the same one of the scenario")
        if set(self.identifiers) & set(self.columns):
            raise ValueError("identifiers and columns name the same delivered column; it can be one of them only")
        if set(self.identifier_kinds) - {column for column, how in self.identifiers.items() if how == "hash"}:
            raise ValueError("identifier_kinds names a column that is not hashed; set it to hash under identifiers")
        return self

    @property
    def where(self) -> str:
        """How messages and lineage call the source; a database's URL is never part of it."""
        return self.path if self.path is not None else f"table {self.sql.table if self.sql else ''}"
