"""What the data stages leave for training and evaluation, at the agency."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from fl_tasks.contracts.base import Contract, Sha256


class RowCounts(Contract):
    """Where every raw row went; it never leaves the agency."""

    rows_in: int = Field(ge=0)
    rows_out: int = Field(ge=0)
    quarantined: int = Field(ge=0)
    merged: int = Field(ge=0, description="Duplicates folded into another row.")


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


def prepared_path(folder: Path) -> Path:
    """Where a run's Prepared record lies."""
    return folder / "prepared.json"


def fit_examples(folder: Path) -> Path:
    """Folder of the examples that the model is trained on."""
    return folder / "examples" / "fit"


def held_back_examples(folder: Path) -> Path:
    """Folder of the held-back examples."""
    return folder / "examples" / "test"
