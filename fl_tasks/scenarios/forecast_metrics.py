"""How a forecast of series is judged: errors in the agency's unit, pooled exactly, and the baseline to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.report import Metric

Array = NDArray[np.floating]


class NotMeasurable(FLError):
    """Forecasts and targets give no error figure: they do not fit, are empty or not finite."""


def persistence(x: NDArray[np.float32], target_steps: int) -> NDArray[np.float32]:
    """Return the last value seen, for every step ahead.

    Args:
        x: Shape (n, steps, features), feature 0 the z-scored value.
        target_steps: Steps ahead.

    Returns:
        Shape (n, target_steps), z-scored.
    """
    return np.repeat(x[:, -1, :1], target_steps, axis=1)


def metrics(y_true: Array, y_pred: Array, horizons: dict[str, int], std: float) -> dict[str, Metric]:
    """Return each horizon's errors.

    Args:
        y_true: Shape (n, steps), z-scored.
        y_pred: Shape (n, steps), z-scored.
        horizons: Name -> length in steps, 1..steps.
        std: What one z-score is in the agency's unit, over 0.

    Returns:
        Horizon -> mean absolute error and root of the mean square over steps 1..h together, and of step h alone, in
        the agency's unit.

    Raises:
        NotMeasurable: If the shapes differ, nothing is there, a horizon is too long, or a number is not finite.
    """
    if y_true.ndim != 2 or y_true.shape != y_pred.shape or y_true.size == 0:
        raise NotMeasurable(f"targets of shape {y_true.shape} and forecasts of {y_pred.shape}; both must be (n, steps)")
    error = (np.asarray(y_pred, dtype=np.float64) - np.asarray(y_true, dtype=np.float64)) * std
    if not np.isfinite(error).all():
        raise NotMeasurable("targets or forecasts are not all finite; the model has diverged or the data is damaged")
    result: dict[str, Metric] = {}
    for name, steps in horizons.items():
        if not 1 <= steps <= error.shape[1]:
            raise NotMeasurable(f"horizon {name} has {steps} steps, the forecasts have {error.shape[1]}")
        span, last = error[:, :steps], error[:, steps - 1]
        result[name] = Metric(
            mae=float(np.abs(span).mean()),
            rmse=math.sqrt(float(np.square(span).mean())),
            n=span.size,
            last_step_mae=float(np.abs(last).mean()),
            last_step_rmse=math.sqrt(float(np.square(last).mean())),
        )
    return result


def pool(parts: Sequence[Metric]) -> Metric:
    """Return the errors of one horizon over all agencies' values together, exactly.

    Means are weighted by n, mean squares likewise. The last step's n is n / h everywhere, so the same weights hold.

    Raises:
        NotMeasurable: If there is no part.
    """
    if not parts:
        raise NotMeasurable("no agency's errors to pool; at least one is needed")
    total = sum(part.n for part in parts)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(part.n * value for part, value in zip(parts, values, strict=True)) / total

    return Metric(
        mae=mean([part.mae for part in parts]),
        rmse=math.sqrt(mean([part.rmse**2 for part in parts])),
        n=total,
        last_step_mae=mean([part.last_step_mae for part in parts]),
        last_step_rmse=math.sqrt(mean([part.last_step_rmse**2 for part in parts])),
    )
