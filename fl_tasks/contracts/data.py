"""What the data stages leave for training and evaluation, at the agency."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from fl_tasks.contracts.base import Contract, Sha256

SMALL_CELL = 5
"""A count from 1 to SMALL_CELL - 1 may point at single persons or devices: it does not leave the agency."""

FIGURE_LEAST = 10
"""Held-back windows under which no mean over them leaves the agency: twice the small-cell limit."""


class RowCounts(Contract):
    """Where every raw row went; it never leaves the agency."""

    rows_in: int = Field(ge=0)
    rows_out: int = Field(ge=0)
    quarantined: int = Field(ge=0)
    merged: int = Field(ge=0, description="Duplicates folded into another row.")


class Harmonized(Contract):
    """Where the rows of a table went when they were read; it never leaves the agency."""

    rows: RowCounts
    quarantined_by_reason: dict[str, int] = Field(description="Reason -> rows; the rows are in rejected.parquet.")
    identifiers: dict[str, Literal["drop", "hash"]] = Field(description="Identifying columns that were there.")
    present: float = Field(ge=0.0, le=1.0, description="Share of the values of columns that the model sees.")
    newest: dt.date = Field(description="Newest day that a row speaks of.")


class Ingested(Contract):
    """What ingest read; it never leaves the agency, but for its notes."""

    files: tuple[str, ...] = Field(description="What was read, in this order: file names, or the table.")
    rows_read: int = Field(ge=0, description="Rows inside the run's span: those in raw.parquet, and `corrected`.")
    corrected: int = Field(ge=0, description="Rows of an earlier file that a later one replaced.")
    months: dict[str, Sha256] = Field(description="Month that lies whole in the span, like 2018-06 -> its hash.")
    notes: tuple[str, ...] = Field(default=(), description="Replay; months that changed since the last accepted run.")
    table: Harmonized | None = Field(default=None, description="Of a table, where `months` are none.")


class Distribution(Contract):
    """How often values fell between edges: what the drift check compares the next month with."""

    edges: tuple[float, ...] = Field(description="Ascending inner edges of the bins.")
    shares: tuple[float, ...] = Field(description="Share of the values in each bin, one more than edges.")


class Accepted(Contract):
    """The last run of a scenario whose data passed the checks; it never leaves the agency."""

    interval_end: dt.datetime = Field(description="End of that run's data interval, with its UTC offset.")
    months: dict[str, Sha256] = Field(description="As Ingested.months of that run.")
    reference: dict[str, Distribution] = Field(
        default_factory=dict, description="What is watched for drift -> its distribution in the last month."
    )
    values_a_day: float = Field(default=0.0, ge=0.0, description="Values present for each day of the last month.")
    previous: Accepted | None = Field(
        default=None, description="What that run was compared with; so is another run of the same interval."
    )


class Standardized(Contract):
    """What standardize did to the raw rows; it never leaves the agency."""

    rows: RowCounts
    quarantined_by_reason: dict[str, int] = Field(description="Reason -> rows; the rows are in quarantine.parquet.")
    conflicting: int = Field(ge=0, description="Timestamps whose duplicates differed; they became means.")
    missing_rows: int = Field(ge=0, description="Steps of the grid without a row: they are gaps.")
    missing_cells: int = Field(ge=0, description="Values missing in the rows that are there, whatever the reason.")
    zero_cells: int = Field(ge=0, description="Zeros that the scenario reads as missing.")
    out_of_range_cells: int = Field(ge=0, description="Values beyond the scenario's range, set to missing.")
    thin_cells: int = Field(default=0, ge=0, description="Values of a step that has too few of its readings.")
    corrections: int = Field(default=0, ge=0, description="Negative counts, handled as the source declares.")
    unspread: int = Field(
        default=0, ge=0, description="Of them, those that the steps before could not take up whole; the rest is lost."
    )


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


class Deidentified(Contract):
    """What anonymize did to an agency's raw data; small counts among it never leave the agency."""

    identifiers: dict[str, Literal["drop", "hash"]] = Field(description="Identifying columns that were there.")
    suppressed: int | None = Field(default=None, description="Cells of the flow table below the limit, suppressed.")
    complementary: int | None = Field(default=None, description="Further cells, without which margins would tell.")
    exposed: int | None = Field(default=None, description="Suppressed cells that a step's totals tell all the same.")
    cells: int | None = Field(default=None, description="Cells of the flow table that are not zero.")
    rows: RowCounts | None = Field(default=None, description="Of a table: from what was read to what is released.")
    quarantined_by_reason: dict[str, int] = Field(
        default_factory=dict, description="Of a table: reason -> rows; the rows are in quarantine.parquet."
    )
    sha256: Sha256 = Field(description="Of deidentified.parquet.")


class Prepared(Contract):
    """The frozen examples of one run: what passed the checks, and the scale that makes it readable.

    `examples/fit`, `examples/validation` (with early stop) and `examples/test` below the run's folder each hold x.npy
    and y.npy, float32, scaled; `examples/test` holds season.npy and hour.npy too.
    """

    rows: RowCounts
    series: int = Field(ge=1)
    fit_windows: int = Field(ge=1)
    validation_windows: int = Field(ge=0, description="0 without early stop: the fit takes them.")
    test_windows: int = Field(ge=1)
    mean: float = Field(description="What the model sees as 0, in the agency's unit.")
    std: float = Field(gt=0.0, description="What the model sees as 1, in the agency's unit.")
    level: float = Field(description="Mean of the fit part, in the agency's unit.")
    spread: float = Field(gt=0.0, description="Standard deviation of the fit part, in the agency's unit.")
    unit: str
    population: int | None = Field(default=None, ge=1, description="Inhabitants, where the model sees rates.")
    sha256: Sha256 = Field(description="Over the hashes of the example files.")

    @property
    def fit_count(self) -> int:
        """Examples to train on."""
        return self.fit_windows


class PreparedTable(Contract):
    """The frozen examples of one run of a table.

    `examples/fit`, `examples/validation` (with early stop) and `examples/test` below the run's folder each hold x.npy
    and y.npy, float32: features or picture, and the class, one-hot. `examples/test` holds group.npy where there is a
    protected column.
    """

    kind: Literal["table"] = "table"
    rows: RowCounts
    fit_rows: int = Field(ge=1)
    validation_rows: int = Field(ge=0, description="0 without early stop: the fit takes them.")
    test_rows: int = Field(ge=1)
    groups: tuple[str, ...] = Field(default=(), description="Texts of the protected column, in the order of its codes.")
    sha256: Sha256 = Field(description="Over the hashes of the example files.")

    @property
    def fit_count(self) -> int:
        """Examples to train on."""
        return self.fit_rows


def read_prepared(folder: Path) -> Prepared | PreparedTable:
    """Read the record of a run's frozen examples, of either kind; FileNotFoundError before they are frozen."""
    data = prepared_path(folder).read_bytes()
    if json.loads(data).get("kind") == "table":
        return PreparedTable.model_validate_json(data)
    return Prepared.model_validate_json(data)


def accepted_path(agency_folder: Path, scenario: str) -> Path:
    """Where an agency keeps the Accepted record of a scenario, across runs."""
    return agency_folder / "accepted" / f"{scenario}.json"


def raw_path(folder: Path) -> Path:
    """Where ingest leaves the rows of the run's span, identifiers included."""
    return folder / "raw.parquet"


def ingested_path(folder: Path) -> Path:
    """Where ingest leaves its Ingested record."""
    return folder / "ingested.json"


def rejected_path(folder: Path) -> Path:
    """Where ingest leaves the rejected rows of a table as they came, identifiers included, each with its reason."""
    return folder / "rejected.parquet"


def deidentified_path(folder: Path) -> Path:
    """Where anonymize leaves the rows without direct identifiers; the last stage that sees raw.parquet."""
    return folder / "deidentified.parquet"


def deidentified_record_path(folder: Path) -> Path:
    """Where anonymize leaves its Deidentified record."""
    return folder / "deidentified.json"


def preparation_path(folder: Path) -> Path:
    """Where a run keeps the Preparation that is applied to its table."""
    return folder / "preparation.json"


def privacy_path(folder: Path) -> Path:
    """Where anonymize leaves the PrivacyReport of a table with quasi-identifiers; it never leaves the agency whole."""
    return folder / "privacy.json"


def features_path(folder: Path) -> Path:
    """Where standardize leaves what the model sees of each row of deidentified.parquet, in its order, as npy.

    float32, shape (n, features), or (n, side, side, 1) of pictures.
    """
    return folder / "features.npy"


def flow_table_path(folder: Path) -> Path:
    """Where anonymize leaves the protected origin-destination table; suppressed cells are null."""
    return folder / "flow_table.parquet"


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


def data_docs_path(folder: Path) -> Path:
    """Where validate leaves Great Expectations' Data Docs (index.html inside); they never leave the agency."""
    return folder / "data_docs"


def compared_path(folder: Path) -> Path:
    """Where validate keeps the Accepted record that a run is compared with, so that a repeat gives the same word."""
    return folder / "compared.json"


def prepared_path(folder: Path) -> Path:
    """Where a run's Prepared record lies."""
    return folder / "prepared.json"


def fit_examples(folder: Path) -> Path:
    """Folder of the examples that the model is trained on."""
    return folder / "examples" / "fit"


def validation_examples(folder: Path) -> Path:
    """Folder of the examples that early stop looks at; empty without it."""
    return folder / "examples" / "validation"


def held_back_examples(folder: Path) -> Path:
    """Folder of the held-back examples."""
    return folder / "examples" / "test"


def held_back_groups(folder: Path) -> Path:
    """Where validate leaves the protected group of each held-back row of a table that has such a column.

    npy, shape (n,), int16: the group's place among the column's values, -1 where it is missing.
    """
    return held_back_examples(folder) / "group.npy"
