"""A champion's scores as an agency uses them: a Parquet table in its own folder, one row for each row that was scored.

pyarrow is imported where a file is made, so that importing a stage costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic


@dataclass(frozen=True)
class Scores:
    """What the champion says of n rows.

    Attributes:
        pseudonyms: Column -> shape (n,), texts: keyed hashes of the run that stand for the row's key and identifiers.
        classes: The target's classes.
        probabilities: Shape (n, classes), float64, each row sums to 1.
        version: Registry version of the model.
        model_sha256: Hash of the model.
    """

    pseudonyms: Mapping[str, NDArray[Any]]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    version: int
    model_sha256: str


def scores_path(folder: Path, scenario: str, run_id: str) -> Path:
    """Where the scores of a run lie below an agency's folder."""
    return folder / "scores" / scenario / run_id / "scores.parquet"


def write_scores(path: Path, scores: Scores) -> None:
    """Write one row a scored row, atomically, readable by the owner only; the same scores, the same bytes.

    Columns: row (from 1, as in the run's raw.parquet), the pseudonyms under their columns' names, probability_<class>
    for each class, model_version, model_sha256.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = len(scores.probabilities)
    columns = {"row": pa.array(np.arange(1, rows + 1, dtype=np.int64))}
    columns |= {name: pa.array(values, pa.string()) for name, values in scores.pseudonyms.items()}
    columns |= {
        f"probability_{label}": pa.array(scores.probabilities[:, place], pa.float64())
        for place, label in enumerate(scores.classes)
    }
    columns |= {
        "model_version": pa.array(np.full(rows, scores.version, dtype=np.int32)),
        "model_sha256": pa.array([scores.model_sha256] * rows, pa.string()),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)  # type: ignore[no-untyped-call]
    write_atomic(path, sink.getvalue().to_pybytes())
