"""How an agency judges forecasts of its held-back windows, for the stage evaluate."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import Prepared, fit_examples, held_back_examples, prepared_path
from fl_tasks.contracts.report import Evaluation, EvaluationBody, Horizons
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.data.value_scale import Scale, model_scale
from fl_tasks.scenarios import load
from fl_tasks.stages.context import Desk
from fl_tasks.stages.policy import open_gate

_DAY_MINUTES = 24 * 60


def judge(desk: Desk, agency: str, model_sha256: str, predictions: Tensors) -> EvaluationBody:
    """Return the errors of the models' forecasts and of the naive ones; with a profile where the policy allows it.

    Args:
        desk: Of the agency.
        agency: Whose held-back windows they are.
        model_sha256: Of the final model.
        predictions: federated and, where they are, local_only and champion -> shape (n, steps), with quantiles
            (n, steps, levels), scaled.
    """
    spec, config = desk.spec, desk.config.series
    scenario = load(spec.scenario)
    prepared = Prepared.model_validate_json(prepared_path(spec.folder).read_bytes())
    test = held_back_examples(spec.folder)
    x, y, season, hours = (
        np.load(test / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("x", "y", "season", "hour")
    )
    naive = {"persistence": scenario.persistence(x, config.target_steps), "seasonal_naive": season}
    profile = ()
    # A step of a day or more has no hour of the day.
    if open_gate(spec).policy.share_profile and config.step_minutes < _DAY_MINUTES:
        truth, forecast = (_own_deviations(prepared, values) for values in (y, predictions["federated"]))
        profile = scenario.profile(truth, forecast, hours, config.target_steps)
    return EvaluationBody(
        run_id=spec.run_id,
        agency=agency,
        model_sha256=model_sha256,
        champion_sha256=desk.cohort.champion_sha256,
        unit=prepared.unit,
        evaluation=Evaluation(**errors(scenario, config, prepared, fit_examples(spec.folder), y, predictions, naive)),
        profile=profile,
    )


def errors(
    scenario: ModuleType,
    config: SeriesConfig,
    prepared: Prepared,
    fit: Path,
    y: NDArray[np.float32],
    predictions: Tensors,
    naive: Tensors,
) -> dict[str, Horizons]:
    """Return the errors of every way of forecasting, by its name and horizon.

    Args:
        scenario: Its module: metrics, and with quantiles those of quantile_metrics.
        config: Of the scenario.
        prepared: The agency's scale.
        fit: Folder of the fit part's examples, whose errors say how sure the naive forecasts are.
        y: Truth, shape (n, steps), as the model sees it.
        predictions: Name -> shape (n, steps), with quantiles (n, steps, levels), as the model gives them.
        naive: Name -> shape (n, steps).
    """
    if config.quantiles:
        naive = {
            name: scenario.with_quantiles(forecast, past, config.quantiles)
            for (name, forecast), past in zip(naive.items(), _past_errors(scenario, fit), strict=True)
        }
    forecasts = {**predictions, **naive}
    if config.rate is None and not config.quantiles:
        return {
            name: scenario.metrics(y, forecast, config.horizons, prepared.std, prepared.spread)
            for name, forecast in forecasts.items()
        }
    scale = model_scale(config, prepared.unit, Scale(prepared.mean, prepared.std), prepared.population)
    truth = scale.inverse(y)
    own = {name: scale.inverse(forecast) for name, forecast in forecasts.items()}
    if not config.quantiles:
        return {
            name: scenario.metrics(truth, forecast, config.horizons, 1.0, prepared.spread)
            for name, forecast in own.items()
        }
    return {
        name: scenario.quantile_metrics(truth, forecast, config.quantiles, config.horizons, prepared.spread)
        for name, forecast in own.items()
    }


def _past_errors(scenario: ModuleType, fit: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the errors of persistence and of the seasonal-naive forecast in the fit part, each (m, steps)."""
    x, y, season = (np.load(fit / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("x", "y", "season"))
    return y - scenario.persistence(x, y.shape[1]), y - season


def _own_deviations(prepared: Prepared, values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Turn the model's scale into deviations from the agency's own mean: its level is nobody else's business."""
    own = np.asarray(values, dtype=np.float64) * prepared.std + prepared.mean - prepared.level
    return own / prepared.spread
