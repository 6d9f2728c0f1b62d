"""How an agency judges a classifier on its held-back rows, for the stage evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import fit_examples, held_back_examples, held_back_groups
from fl_tasks.contracts.report import Evaluation, EvaluationBody
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.data.small_cells import publishable
from fl_tasks.scenarios import load
from fl_tasks.stages.context import Desk

UNIT = "share"
"""Every figure is one, but log loss."""


def judge(desk: Desk, agency: str, model_sha256: str, predictions: Tensors) -> EvaluationBody:
    """Return the figures of the models' probabilities and of the majority's.

    The majority is left out where its accuracy would count a small cell of a class that can be told (see _may_leave).

    Args:
        desk: Of the agency.
        agency: Whose held-back rows they are.
        model_sha256: Of the final model.
        predictions: federated and, where they are, local_only and champion -> logits, shape (n, classes).
    """
    spec, config = desk.spec, desk.config.table
    scenario = load(spec.scenario)
    fit, y = (_array(folder(spec.folder) / "y.npy") for folder in (fit_examples, held_back_examples))
    groups = None if config.protected is None else _array(held_back_groups(spec.folder))
    chances = {name: scenario.probabilities(logits) for name, logits in predictions.items()}
    majority = scenario.majority(fit, len(y))
    if _may_leave(y, majority):
        chances["majority"] = majority
    return EvaluationBody(
        run_id=spec.run_id,
        agency=agency,
        model_sha256=model_sha256,
        champion_sha256=desk.cohort.champion_sha256,
        unit=UNIT,
        evaluation=Evaluation(
            **{name: scenario.metrics(y, chance, config.target.column, groups) for name, chance in chances.items()}
        ),
    )


def _may_leave(y: NDArray[np.float32], majority: NDArray[np.float64]) -> bool:
    """Say whether the majority's accuracy counts no small cell.

    Its right rows are those of one class, its wrong ones those of all others. Of two classes it is plain which one that
    is. Of more, nobody outside knows which class was the commonest, but few rows of all others would still stand out.
    """
    wrong = int((y.argmax(axis=1) != majority.argmax(axis=1)).sum())
    counts = {"wrong": wrong, "right": len(y) - wrong} if y.shape[1] == 2 else {"wrong": wrong}
    return publishable(counts) == counts


def _array(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
