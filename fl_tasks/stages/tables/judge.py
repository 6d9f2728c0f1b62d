"""How an agency judges a classifier on its held-back rows, for the stage evaluate."""

from __future__ import annotations

from fl_tasks.contracts.report import EvaluationBody
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.stages.context import Desk


def judge(desk: Desk, agency: str, model_sha256: str, predictions: Tensors) -> EvaluationBody:
    """Return the figures of the models' probabilities and of the majority's."""
    raise NotImplementedError
