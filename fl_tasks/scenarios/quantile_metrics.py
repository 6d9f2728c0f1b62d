"""How a forecast with quantiles is judged, and how the naive forecasts come by theirs.

The weighted interval score over the median and K central intervals is twice the mean of the quantiles' pinball losses:
WIS = 1 / (K + 1/2) x (|y - median| / 2 + sum over k of alpha_k / 2 x interval score).
Source: Bracher et al. 2021, https://doi.org/10.1371/journal.pcbi.1008618, equations 1 and 2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.report import ForecastMetric
from fl_tasks.scenarios.forecast_metrics import Array, NotMeasurable, metrics


def quantile_metrics(
    y_true: Array, y_pred: Array, quantiles: Sequence[float], horizons: dict[str, int], spread: float
) -> dict[str, ForecastMetric]:
    """Return each horizon's errors of the median, weighted interval score and coverage.

    Args:
        y_true: Shape (n, steps), in the agency's unit.
        y_pred: Shape (n, steps, levels), in the same unit, not falling along the levels.
        quantiles: The levels, ascending, in pairs around 0.5.
        horizons: Name -> length in steps, 1..steps.
        spread: Standard deviation of the agency's fit part, in its unit, over 0.

    Returns:
        Horizon -> metrics over steps 1..h together; `coverage` is by central interval, like 0.9 for levels 0.05 and
        0.95: the share of the values inside it, its ends included.

    Raises:
        NotMeasurable: As forecast_metrics.metrics does, or if there is not one forecast for each level.
    """
    if y_pred.shape != (*y_true.shape, len(quantiles)):
        raise NotMeasurable(
            f"forecasts of shape {y_pred.shape} do not fit targets of {y_true.shape}, one for each level"
        )
    middle = len(quantiles) // 2
    errors = metrics(y_true, y_pred[..., middle], horizons, 1.0, spread)
    truth, forecast = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if not np.isfinite(forecast).all():
        raise NotMeasurable("forecasts are not all finite; the model has diverged")
    score = interval_score(truth, forecast, quantiles)
    inside = {
        f"{quantiles[-1 - k] - quantiles[k]:g}": (truth >= forecast[..., k]) & (truth <= forecast[..., -1 - k])
        for k in range(middle)
    }
    return {
        name: errors[name].model_copy(
            update={
                "wis": float(score[:, :steps].mean()),
                "scaled_wis": float(score[:, :steps].mean()) / spread,
                "coverage": {level: round(float(hit[:, :steps].mean()), 4) for level, hit in inside.items()},
            }
        )
        for name, steps in horizons.items()
    }


def interval_score(truth: Array, forecast: Array, quantiles: Sequence[float]) -> NDArray[np.float64]:
    """Return the weighted interval score of each value, shape (n, steps), in the values' unit."""
    levels = np.array(quantiles)
    error = np.asarray(truth, dtype=np.float64)[..., None] - forecast
    score: NDArray[np.float64] = 2.0 * np.maximum(levels * error, (levels - 1.0) * error).mean(axis=-1)
    return score


def with_quantiles(naive: Array, past_errors: Array, quantiles: Sequence[float]) -> NDArray[np.float64]:
    """Return a naive forecast with the quantiles of its own past errors around it.

    Of each step ahead the errors are taken with both signs, so that the naive value stays the median: what was too low
    so often will be too high as often.

    Args:
        naive: Shape (n, steps), as the model sees values.
        past_errors: Shape (m, steps), truth minus naive forecast in the fit part; m is at least 1.
        quantiles: The levels, ascending.

    Returns:
        Shape (n, steps, levels).

    Source: the baseline of the FluSight challenge, Cramer et al. 2022, https://doi.org/10.1073/pnas.2113561119
    """
    both = np.concatenate([past_errors, -np.asarray(past_errors)]).astype(np.float64)
    offsets = np.quantile(both, np.array(quantiles), axis=0).T
    found: NDArray[np.float64] = np.asarray(naive, dtype=np.float64)[..., None] + offsets[None]
    return found
