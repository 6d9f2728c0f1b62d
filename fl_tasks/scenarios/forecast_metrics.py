"""How a forecast of series is judged: errors in the agency's unit and scaled, pooled, and the baseline to beat.

The seasonal-naive forecast needs the grid, and is frozen with the examples (fl_tasks.data.windows).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import FIGURE_LEAST
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.report import ForecastMetric, ProfilePoint

Array = NDArray[np.floating]


class NotMeasurable(FLError):
    """Forecasts and targets give no error figure: they do not fit, are empty or not finite."""


def persistence(x: NDArray[np.float32], target_steps: int) -> NDArray[np.float32]:
    """Return the last value seen, for every step ahead.

    Args:
        x: Shape (n, steps, features), feature 0 the scaled value.
        target_steps: Steps ahead.

    Returns:
        Shape (n, target_steps), scaled.
    """
    return np.repeat(x[:, -1, :1], target_steps, axis=1)


def metrics(
    y_true: Array, y_pred: Array, horizons: dict[str, int], std: float, spread: float
) -> dict[str, ForecastMetric]:
    """Return each horizon's errors.

    Args:
        y_true: Shape (n, steps), scaled.
        y_pred: Shape (n, steps), scaled.
        horizons: Name -> length in steps, 1..steps.
        std: What one step of the model's scale is in the agency's unit, over 0.
        spread: Standard deviation of the agency's fit part, in its unit, over 0.

    Returns:
        Horizon -> mean absolute error and root of the mean square over steps 1..h together, and of step h alone, in
        the agency's unit; the first two also scaled, in standard deviations of the agency's fit part.

    Raises:
        NotMeasurable: If the shapes differ, nothing is there, a horizon is too long, or a number is not finite.
    """
    error = _error(y_true, y_pred)
    result: dict[str, ForecastMetric] = {}
    for name, steps in horizons.items():
        if not 1 <= steps <= error.shape[1]:
            raise NotMeasurable(f"horizon {name} has {steps} steps, the forecasts have {error.shape[1]}")
        mae, rmse = _means(error[:, :steps])
        last_mae, last_rmse = _means(error[:, steps - 1])
        result[name] = ForecastMetric(
            mae=mae * std,
            rmse=rmse * std,
            n=len(error) * steps,
            last_step_mae=last_mae * std,
            last_step_rmse=last_rmse * std,
            scaled_mae=mae * std / spread,
            scaled_rmse=rmse * std / spread,
        )
    return result


def pool(parts: Sequence[ForecastMetric]) -> ForecastMetric:
    """Return the errors of one horizon over the values of agencies of one unit together, exactly.

    Means are weighted by n, mean squares likewise. The last step's n is n / h everywhere, so the same weights hold.

    Raises:
        NotMeasurable: If there is no part.
    """
    total = _total(parts)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(part.n * value for part, value in zip(parts, values, strict=True)) / total

    return ForecastMetric(
        mae=mean([part.mae for part in parts]),
        rmse=math.sqrt(mean([part.rmse**2 for part in parts])),
        n=total,
        last_step_mae=mean([part.last_step_mae for part in parts]),
        last_step_rmse=math.sqrt(mean([part.last_step_rmse**2 for part in parts])),
        scaled_mae=mean([part.scaled_mae for part in parts]),
        scaled_rmse=math.sqrt(mean([part.scaled_rmse**2 for part in parts])),
        wis=_of_all([part.wis for part in parts], mean),
        scaled_wis=_of_all([part.scaled_wis for part in parts], mean),
        coverage=_coverage(parts, mean),
    )


def pool_scaled(parts: Sequence[ForecastMetric]) -> ForecastMetric:
    """Return the errors of one horizon over agencies of different units: every figure is scaled.

    Each is the plain mean of the agencies' scaled figures, so that a large agency counts as a small one; n is the sum.

    Raises:
        NotMeasurable: If there is no part.
    """
    total = _total(parts)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    mae, rmse = mean([part.scaled_mae for part in parts]), mean([part.scaled_rmse for part in parts])
    # What one of the agency's units is in standard deviations; without any error it does not matter.
    scales = [part.scaled_rmse / part.rmse if part.rmse else 0.0 for part in parts]
    return ForecastMetric(
        mae=mae,
        rmse=rmse,
        n=total,
        last_step_mae=mean([part.last_step_mae * scale for part, scale in zip(parts, scales, strict=True)]),
        last_step_rmse=mean([part.last_step_rmse * scale for part, scale in zip(parts, scales, strict=True)]),
        scaled_mae=mae,
        scaled_rmse=rmse,
        wis=_of_all([part.scaled_wis for part in parts], mean),
        scaled_wis=_of_all([part.scaled_wis for part in parts], mean),
        coverage=_coverage(parts, mean),
    )


def profile(y_true: Array, y_pred: Array, hours: NDArray[np.integer], step: int) -> tuple[ProfilePoint, ...]:
    """Return mean truth and forecast of one step ahead, by hour of the day: a picture that tells of no single window.

    Args:
        y_true: Shape (n, steps), scaled.
        y_pred: Shape (n, steps), scaled.
        hours: Shape (n,), 0..23: the hour of the day in which that step begins, for each window.
        step: Which step ahead, 1..steps: a horizon's last.

    Returns:
        In order of the hour, those with at least FIGURE_LEAST windows, each of which gives one value.

    Raises:
        NotMeasurable: As metrics does, or if there is not one hour for each window.
    """
    _error(y_true, y_pred)
    if hours.shape != (len(y_true),) or not 1 <= step <= y_true.shape[1]:
        raise NotMeasurable(f"hours of shape {hours.shape} and step {step} do not fit targets of {y_true.shape}")
    points = []
    for hour in np.unique(hours):
        chosen = hours == hour
        if chosen.sum() >= FIGURE_LEAST:
            truth, forecast = (float(y[chosen, step - 1].mean(dtype=np.float64)) for y in (y_true, y_pred))
            points.append(ProfilePoint(hour=int(hour), truth=truth, forecast=forecast, n=int(chosen.sum())))
    return tuple(points)


def _error(y_true: Array, y_pred: Array) -> NDArray[np.float64]:
    if y_true.ndim != 2 or y_true.shape != y_pred.shape or y_true.size == 0:
        raise NotMeasurable(f"targets of shape {y_true.shape} and forecasts of {y_pred.shape}; both must be (n, steps)")
    error = np.asarray(y_pred, dtype=np.float64) - np.asarray(y_true, dtype=np.float64)
    if not np.isfinite(error).all():
        raise NotMeasurable("targets or forecasts are not all finite; the model has diverged or the data is damaged")
    return error


def _means(error: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean absolute error and the root of the mean square."""
    return float(np.abs(error).mean()), math.sqrt(float(np.square(error).mean()))


def _of_all(values: Sequence[float | None], mean: Callable[[Sequence[float]], float]) -> float | None:
    """Return the mean of a figure that all parts have; None where one has none."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _coverage(parts: Sequence[ForecastMetric], mean: Callable[[Sequence[float]], float]) -> dict[str, float]:
    """Return the mean coverage of the intervals that all parts have."""
    shared = [level for level in parts[0].coverage if all(level in part.coverage for part in parts)]
    return {level: mean([part.coverage[level] for part in parts]) for level in shared}


def _total(parts: Sequence[ForecastMetric]) -> int:
    if not parts:
        raise NotMeasurable("no agency's errors to pool; at least one is needed")
    return sum(part.n for part in parts)
