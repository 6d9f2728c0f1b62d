"""What the data stages leave for training and evaluation, at the agency."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from fl_tasks.contracts.base import Contract, Sha256

SMALL_CELL = 5
"""A count from 1 to SMALL_CELL - 1 may point at single persons or devices: it does not leave the agency."""


class RowCounts(Contract):
    """Where every raw row went; it never leaves the agency."""

    rows_in: int = Field(ge=0)
    rows_out: int = Field(ge=0)
    quarantined: int = Field(ge=0)
    merged: int = Field(ge=0, description="Duplicates folded into another row.")


class Standardized(Contract):
    """What standardize did to the raw rows; it never leaves the agency."""

    rows: RowCounts
    quarantined_by_reason: dict[str, int] = Field(description="Reason -> rows; the rows are in quarantine.parquet.")
    conflicting: int = Field(ge=0, description="Timestamps whose duplicates differed; they became means.")
    missing_rows: int = Field(ge=0, description="Steps of the grid without a row: they are gaps.")
    missing_cells: int = Field(ge=0, description="Values missing in the rows that are there, whatever the reason.")
    zero_cells: int = Field(ge=0, description="Zeros that the scenario reads as missing.")
    out_of_range_cells: int = Field(ge=0, description="Values beyond the scenario's range, set to missing.")


class QualityCheck(Contract):
    """One data check: its name and whether it passed, never an observed value."""

    name: str = Field(description="Check and expectation, e.g. completeness/expect_...")
    severity: Literal["critical", "warning", "info"]
    needs: str = Field(description="What passes, in words, with the scenario's limit.")
    passed: bool


class QualityReport(Contract):
    """All checks of one run at one agency."""

    checks: tuple[QualityCheck, ...] = Field(min_length=1)

    def failed(self, severity: Literal["critical", "warning", "info"]) -> tuple[QualityCheck, ...]:
        """Return the checks of a severity that did not pass."""
        return tuple(check for check in self.checks if check.severity == severity and not check.passed)


class Prepared(Contract):
    """The frozen examples of one run: what passed the checks, and the scale that makes it readable.

    `examples/fit` and `examples/test` below the run's folder each hold x.npy and y.npy, float32, z-scored.
    """

    rows: RowCounts
    series: int = Field(ge=1)
    fit_windows: int = Field(ge=1)
    test_windows: int = Field(ge=1)
    mean: float = Field(description="Of the fit part, in the scenario's unit.")
    std: float = Field(gt=0.0, description="Of the fit part, in the scenario's unit.")
    sha256: Sha256 = Field(description="Over the hashes of the four example files.")


def raw_path(folder: Path) -> Path:
    """Where ingest leaves the rows of the run's span, as they came."""
    return folder / "raw.parquet"


def standardized_path(folder: Path) -> Path:
    """Where standardize leaves the full grid: one row a step, gaps and missing values as nulls."""
    return folder / "standardized.parquet"


def quarantine_path(folder: Path) -> Path:
    """Where standardize leaves the rejected rows, as they came, each with its reason."""
    return folder / "quarantine.parquet"


def standardized_record_path(folder: Path) -> Path:
    """Where standardize leaves its Standardized record."""
    return folder / "standardized.json"


def quality_path(folder: Path) -> Path:
    """Where validate leaves its QualityReport, passed or not."""
    return folder / "quality.json"


def prepared_path(folder: Path) -> Path:
    """Where a run's Prepared record lies."""
    return folder / "prepared.json"


def fit_examples(folder: Path) -> Path:
    """Folder of the examples that the model is trained on."""
    return folder / "examples" / "fit"


def held_back_examples(folder: Path) -> Path:
    """Folder of the held-back examples."""
    return folder / "examples" / "test"
