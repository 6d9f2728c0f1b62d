"""What de-identification is told (roles, hierarchies, limits) and what it answers for (the privacy report)."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from fl_tasks.contracts.base import Contract, Sha256
from fl_tasks.contracts.source import Column

Role = Literal["direct_identifier", "quasi_identifier", "sensitive", "feature", "target", "key"]
Kind = Literal["categorical", "numeric"]
DatePart = Literal["month", "quarter", "half_year", "year", "five_years", "decade"]
DATE_PARTS: tuple[DatePart, ...] = ("month", "quarter", "half_year", "year", "five_years", "decade")

STATEMENT = (
    "De-identified (去标识化) as in PIPL art. 51 and 73(3), by the generalization and suppression of GB/T 37964-2019; "
    "measured by the k-anonymity model as in GB/T 42460-2023. The result is still personal information: de-identified, "
    "not anonymous (匿名化, PIPL art. 73(4)), because whoever has further information may identify a person again."
)
"""What a privacy report says of its data, word for word."""


class IntervalHierarchy(Contract):
    """Numbers, generalized to intervals that begin at `low` and grow wider level by level."""

    type: Literal["intervals"]
    low: int = Field(description="Smallest value, in the column's unit; every interval's edges lie on it.")
    high: int = Field(description="The values end below it, in the column's unit.")
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, max_length=30, description="Width of each level's intervals, each a multiple of the one before."
    )

    @model_validator(mode="after")
    def _nested(self) -> IntervalHierarchy:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        for finer, coarser in pairwise(self.widths):
            if coarser <= finer or coarser % finer:
                raise ValueError("each width must be a larger multiple of the one before, else intervals overlap")
        return self


class DateHierarchy(Contract):
    """Days, generalized to calendar periods."""

    type: Literal["dates"]
    format: str = Field(default="%Y-%m-%d", description="strptime pattern of the values; day and month in one order.")
    first: dt.date = Field(description="No date lies before.")
    last: dt.date = Field(description="No date lies after.")
    levels: tuple[DatePart, ...] = Field(min_length=1, description="Periods, from short to long.")

    @field_validator("format")
    @classmethod
    def _day(cls, value: str) -> str:
        example = dt.datetime(2018, 6, 21)
        try:
            found = dt.datetime.strptime(example.strftime(value), value)
        except ValueError as error:
            raise ValueError("format must be a strptime pattern like %Y-%m-%d") from error
        if found != example or "%y" in value:
            raise ValueError("format must hold the year with its century, the month and the day")
        return value

    @model_validator(mode="after")
    def _ascending(self) -> DateHierarchy:
        if not self.first < self.last:
            raise ValueError("first must lie before last")
        places = [DATE_PARTS.index(part) for part in self.levels]
        if any(one >= other for one, other in pairwise(places)):
            raise ValueError(f"levels must go from short to long: {', '.join(DATE_PARTS)}")
        return self


class RegionHierarchy(Contract):
    """Codes whose leading digits name the larger region: administrative divisions (GB/T 2260), postcodes."""

    type: Literal["regions"]
    digits: int = Field(ge=2, le=20, description="Length of a code, 6 for counties.")
    prefixes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="Leading digits that stay at each level, fewer and fewer: 4 for cities, 2 provinces."
    )

    @model_validator(mode="after")
    def _shorter(self) -> RegionHierarchy:
        if any(longer <= shorter for longer, shorter in pairwise((self.digits, *self.prefixes))):
            raise ValueError("prefixes must be shorter than digits, and each shorter than the one before")
        return self


class TreeHierarchy(Contract):
    """Categories below categories: a mapping of names to mappings, whose innermost are lists of values."""

    type: Literal["tree"]
    tree: dict[str, JsonValue] = Field(min_length=1, description="All values at one depth; `*` above is added.")


class HierarchyFile(Contract):
    """A hierarchy's YAML file, when it is given by a rule; as a table it is a CSV file."""

    hierarchy: Annotated[
        IntervalHierarchy | DateHierarchy | RegionHierarchy | TreeHierarchy, Field(discriminator="type")
    ]


class ColumnConfig(Contract):
    """One column of a scenario's schema and what may become of it."""

    column: Column
    role: Role = Field(
        description="direct_identifier: dropped or hashed; quasi_identifier: generalized; sensitive: l and t are "
        "measured on it; feature and target: left as it is; key: joins rows of one table, never leaves the agency."
    )
    kind: Kind = Field(default="categorical", description="numeric: ordered by value, in cuts and in t's distance.")
    hierarchy: str | None = Field(
        default=None, min_length=1, description="CSV or YAML file of a quasi-identifier, in the hierarchies' folder."
    )
    encoding: Literal["utf-8", "gb18030"] = Field(default="utf-8", description="Of a hierarchy's CSV file.")
    treatment: Literal["drop", "hash"] | None = Field(
        default=None, description="Of a direct identifier: dropped, or replaced by a keyed hash."
    )

    @model_validator(mode="after")
    def _belongs(self) -> ColumnConfig:
        if self.hierarchy is not None and self.role != "quasi_identifier":
            raise ValueError(f"column {self.column!r}: a hierarchy belongs to role quasi_identifier")
        if (self.treatment is not None) != (self.role == "direct_identifier"):
            raise ValueError(f"column {self.column!r}: treatment belongs to role direct_identifier, which needs it")
        return self


class PrivacyPolicy(Contract):
    """What every equivalence class of a release has to reach."""

    k: int = Field(ge=2, le=1_000_000, description="Least rows of a class.")
    l: int = Field(default=1, ge=1, le=1000, description="Least l-diversity of a class; 1 asks for nothing.")  # noqa: E741
    diversity: Literal["distinct", "entropy"] = Field(
        default="distinct", description="distinct: number of sensitive values; entropy: exp of their entropy."
    )
    t: float = Field(
        default=1.0, ge=0.0, le=1.0, description="Largest distance of a class from the whole release; 1 asks nothing."
    )
    suppression: float = Field(default=0.0, ge=0.0, le=0.5, description="Share of the rows that may be suppressed.")


class AnonymizeConfig(Contract):
    """Roles of all columns of a table, and the limits to reach."""

    columns: tuple[ColumnConfig, ...] = Field(min_length=1, description="Every column of the schema, once.")
    policy: PrivacyPolicy = Field(description="Limits that a release has to reach.")

    @model_validator(mode="after")
    def _whole(self) -> AnonymizeConfig:
        names = [column.column for column in self.columns]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise ValueError(f"columns.{place}: column {name!r} is there twice")
        if not self.of("quasi_identifier"):
            raise ValueError("columns: at least one quasi_identifier is needed")
        if (self.policy.l > 1 or self.policy.t < 1.0) and not self.of("sensitive"):
            raise ValueError("policy: l and t are measured on a sensitive column, and no column has that role")
        return self

    def of(self, role: Role) -> tuple[ColumnConfig, ...]:
        """Return the columns of a role, in the schema's order."""
        return tuple(column for column in self.columns if column.role == role)


class PrivacyReport(Contract):
    """What a release was measured to reach. Counts among it may be small: it leaves the agency only in shares."""

    statement: str = Field(default=STATEMENT, description="The standards' wording; no other is accepted.")
    method: Literal["lattice", "mondrian"] = Field(description="How the classes were made.")
    quasi_identifiers: tuple[Column, ...] = Field(min_length=1, description="Columns that were generalized.")
    sensitive: tuple[Column, ...] = Field(description="Columns that l and t are measured on.")
    levels: tuple[int, ...] | None = Field(
        default=None, description="Level of each quasi-identifier, 0 as it came; null where each class has its own."
    )
    policy: PrivacyPolicy = Field(description="What was asked for.")
    rows_in: int = Field(ge=1, description="Rows before suppression.")
    suppressed: int = Field(ge=0, description="Rows that were left out.")
    classes: int = Field(ge=1, description="Equivalence classes of the release.")
    k: int = Field(ge=1, description="Rows of the smallest class.")
    l: int | None = Field(ge=1, description="Least number of sensitive values in a class; null without sensitive.")  # noqa: E741
    l_entropy: float | None = Field(ge=1.0, description="Least exp(entropy) of a class; null without sensitive.")
    t: float | None = Field(
        ge=0.0,
        le=1.0,
        description="Largest earth mover's distance of a class from the release; null without sensitive.",
    )
    ncp: float = Field(ge=0.0, le=1.0, description="Normalized certainty penalty; a suppressed row counts as 1.")
    discernibility: int = Field(ge=1, description="Sum of squared class sizes, and rows_in for a suppressed row.")
    risk_max: float = Field(gt=0.0, le=1.0, description="Prosecutor's risk of the worst row: 1 / k.")
    risk_average: float = Field(gt=0.0, le=1.0, description="Prosecutor's risk averaged over rows: classes / rows.")
    sha256: Sha256 = Field(description="Of the released data, which this report is about.")

    @field_validator("statement")
    @classmethod
    def _wording(cls, value: str) -> str:
        if value != STATEMENT:
            raise ValueError("statement must be the standards' wording, unchanged")
        return value

    @model_validator(mode="after")
    def _adds_up(self) -> PrivacyReport:
        if self.suppressed >= self.rows_in:
            raise ValueError("suppressed must be below rows_in: a release has rows")
        return self

    @property
    def rows_out(self) -> int:
        """Rows of the release."""
        return self.rows_in - self.suppressed

    def short_of(self) -> tuple[str, ...]:
        """Return the limits of the policy that the release misses, by name: k, l, t, suppression."""
        policy, missed = self.policy, []
        if self.k < policy.k:
            missed.append("k")
        reached = self.l if policy.diversity == "distinct" else self.l_entropy
        if reached is not None and reached < policy.l - 1e-9:
            missed.append("l")
        if self.t is not None and self.t > policy.t + 1e-9:
            missed.append("t")
        if self.suppressed > policy.suppression * self.rows_in + 1e-9:
            missed.append("suppression")
        return tuple(missed)
