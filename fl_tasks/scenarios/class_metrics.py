"""How a classifier is judged: probabilities against true classes, pooled over agencies, and the baseline to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import FIGURE_LEAST
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.report import ClassMetric

Array = NDArray[np.floating]

BINS = 10
"""Of the expected calibration error, of equal width."""

# A probability of 0 for what happened would cost infinitely much; scikit-learn's log_loss has the same floor.
_LEAST = float(np.finfo(np.float64).eps)


class NotClassifiable(FLError):
    """Probabilities and classes give no figure: they do not fit, are empty or not finite."""


def probabilities(logits: Array) -> NDArray[np.float64]:
    """Return the softmax of logits, shape (n, classes): each row sums to 1.

    Raises:
        NotClassifiable: If a logit is not finite.
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise NotClassifiable(
            f"logits of shape {values.shape} must be (n, classes), all finite; the model has diverged or is another"
        )
    odds = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def majority(fit: Array, rows: int) -> NDArray[np.float64]:
    """Return the probabilities of whoever knows only how often each class is: the shares of the fit rows, for each row.

    Args:
        fit: Shape (m, classes), one-hot.
        rows: How many rows are classified.

    Returns:
        Shape (rows, classes).

    Raises:
        NotClassifiable: If there is no fit row.
    """
    if fit.ndim != 2 or len(fit) == 0:
        raise NotClassifiable(f"classes of shape {fit.shape}; the shares need at least one row of (m, classes)")
    return np.tile(fit.mean(axis=0, dtype=np.float64), (rows, 1))


def metrics(
    y_true: Array, y_pred: Array, target: str, groups: NDArray[np.integer] | None = None
) -> dict[str, ClassMetric]:
    """Return how well rows are classified.

    Accuracy and the true positive rates are of the likeliest class. Calibration: over ten bins of equal width, the mean
    of |share that is right - mean probability|, weighted by rows; of two classes for the probability of the second,
    of more for that of the likeliest. AUC and gap only of two classes, the second of which is the positive one.

    Args:
        y_true: Shape (n, classes), one-hot; at least two classes.
        y_pred: Shape (n, classes), probabilities; each row sums to 1.
        target: Name of the figures.
        groups: Shape (n,), the protected group of each row, below 0 where unknown; None without.

    Returns:
        Target -> figures. AUC is null where fewer than FIGURE_LEAST rows are of one class, and the gap where fewer than
        two groups have FIGURE_LEAST positive rows: it would tell of single persons.

    Raises:
        NotClassifiable: If the shapes differ, nothing is there, a row is no class, or its probabilities are none.
    """
    truth, chance = _checked(y_true, y_pred)
    if groups is not None and groups.shape != truth.shape:
        raise NotClassifiable(f"groups of shape {groups.shape} for {len(truth)} rows; one a row is needed")
    told = chance.argmax(axis=1)
    right = told == truth
    auc = gap = None
    confidence, happened = chance.max(axis=1), right
    if chance.shape[1] == 2:
        positive = truth == 1
        confidence, happened = chance[:, 1], positive
        auc = _auc(positive, chance[:, 1])
        gap = None if groups is None else _gap(right[positive], groups[positive])
    squares = np.square(chance).sum(axis=1) - 2.0 * _of(chance, truth) + 1.0
    return {
        target: ClassMetric(
            n=len(truth),
            accuracy=float(right.mean()),
            log_loss=float(-np.log(np.clip(_of(chance, truth), _LEAST, 1.0)).mean()),
            brier=float(np.clip(squares, 0.0, 2.0).mean()) / 2.0,
            calibration=_calibration(happened, confidence),
            auc=auc,
            opportunity_gap=gap,
        )
    }


def pool(parts: Sequence[ClassMetric]) -> ClassMetric:
    """Return the figures of one target over the agencies together.

    Accuracy, log loss and Brier are means over rows, and so exactly those of all rows together. Calibration is weighted
    likewise: never below that of all rows together, where errors of agencies would cancel. AUC and gap are no means
    over rows: each is the plain mean over the agencies that have one.

    Raises:
        NotClassifiable: If there is no part.
    """
    if not parts:
        raise NotClassifiable("no agency's figures to pool; at least one is needed")
    total = sum(part.n for part in parts)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(part.n * value for part, value in zip(parts, values, strict=True)) / total

    def plain(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known else None

    return ClassMetric(
        n=total,
        accuracy=mean([part.accuracy for part in parts]),
        log_loss=mean([part.log_loss for part in parts]),
        brier=mean([part.brier for part in parts]),
        calibration=mean([part.calibration for part in parts]),
        auc=plain([part.auc for part in parts]),
        opportunity_gap=plain([part.opportunity_gap for part in parts]),
    )


pool_scaled = pool
"""Shares have no unit."""


def _checked(y_true: Array, y_pred: Array) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return each row's class and the probabilities."""
    if y_true.ndim != 2 or y_true.shape != y_pred.shape or len(y_true) == 0 or y_true.shape[1] < 2:
        raise NotClassifiable(
            f"classes of shape {y_true.shape} and probabilities of {y_pred.shape}; both must be (n, classes)"
        )
    if not (np.isin(y_true, (0.0, 1.0)).all() and (y_true.sum(axis=1) == 1.0).all()):
        raise NotClassifiable("each row must be of exactly one class, as 0 and 1; standardize the data again")
    chance = np.asarray(y_pred, dtype=np.float64)
    if not (np.isfinite(chance).all() and (chance >= 0.0).all() and np.allclose(chance.sum(axis=1), 1.0)):
        raise NotClassifiable("probabilities must be finite, at least 0, and sum to 1 in each row")
    return y_true.argmax(axis=1), chance


def _of(chance: NDArray[np.float64], truth: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the probability that each row's true class was given."""
    return np.asarray(chance[np.arange(len(truth)), truth])


def _calibration(happened: NDArray[np.bool_], chance: NDArray[np.float64]) -> float:
    bins = np.minimum((chance * BINS).astype(np.intp), BINS - 1)
    surplus = np.bincount(bins, weights=happened - chance, minlength=BINS)
    return min(1.0, float(np.abs(surplus).sum()) / len(chance))


def _auc(positive: NDArray[np.bool_], chance: NDArray[np.float64]) -> float | None:
    """Return the share of pairs (positive, other) in the right order, ties counted half."""
    if min(positive.sum(), (~positive).sum()) < FIGURE_LEAST:
        return None
    from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]  # noqa: PLC0415

    return float(roc_auc_score(positive, chance))


def _gap(found: NDArray[np.bool_], groups: NDArray[np.integer]) -> float | None:
    """Return the largest difference of true positive rates.

    Args:
        found: Shape (p,), whether each positive row was classified as such.
        groups: Shape (p,).
    """
    rates = [
        float(found[groups == group].mean())
        for group in np.unique(groups[groups >= 0])
        if (groups == group).sum() >= FIGURE_LEAST
    ]
    return max(rates) - min(rates) if len(rates) > 1 else None
