"""What a stage says of its data sets for lineage: columns, what each was made of, checks, a model's version and hash.

It travels through XCom with the stage's result: names that somebody declared, never a value, and never very many.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from fl_tasks.contracts.base import Contract, Sha256
from fl_tasks.contracts.source import Column

MOST_COLUMNS = 64
"""Columns of a data set that are told one by one, and columns that one of them is said to be made of."""

MOST_CHECKS = 200
"""Checks of a data set that are told; a table of many columns has several for each."""

ColumnType = Literal["timestamp", "number", "text"]
Making = Literal["identity", "encoded", "masked", "generalized", "aggregated"]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Origin(Contract):
    """A column of one of the stage's inputs."""

    input: int = Field(ge=0, le=10_000, description="The data set's place among the stage's inputs, from 0.")
    column: Column


class ColumnFact(Contract):
    """A declared column, and in an output where it comes from."""

    name: Column
    type: ColumnType
    making: Making | None = Field(
        default=None,
        description="identity: as it was; encoded: converted, scaled or encoded; masked: hashed, or small cells taken "
        "out; generalized: coarser labels; aggregated: several values in one. Null where no declared column is its "
        "origin.",
    )
    origins: tuple[Origin, ...] = Field(default=(), max_length=MOST_COLUMNS)

    @model_validator(mode="after")
    def _both(self) -> ColumnFact:
        if (self.making is None) != (not self.origins):
            raise ValueError("making and origins belong together")
        return self


class CheckFact(Contract):
    """One data check: whether it passed, never what was observed."""

    name: Word = Field(description="Check and expectation, e.g. completeness/expect_...")
    column: Column | None = Field(default=None, description="Of the data set; none where the check is of all of it.")
    severity: Literal["critical", "warning", "info"]
    passed: bool


class ModelFact(Contract):
    """Which model a data set is."""

    sha256: Sha256 = Field(description="Over its tensors.")
    version: int | None = Field(default=None, ge=1, description="In the registry; none before the gate.")


class DatasetFacts(Contract):
    """What is told of one data set; columns that nobody declared are not."""

    source: Literal["files", "database"] | None = Field(default=None, description="Of what an agency delivers.")
    columns: tuple[ColumnFact, ...] = Field(default=(), max_length=MOST_COLUMNS)
    further_columns: int = Field(default=0, ge=0, description="Declared columns beyond those that are told.")
    checks: tuple[CheckFact, ...] = Field(default=(), max_length=MOST_CHECKS)
    model: ModelFact | None = None
