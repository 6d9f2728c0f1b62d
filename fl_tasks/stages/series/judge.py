"""How an agency judges forecasts of its held-back windows, for the stage evaluate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import Prepared, held_back_examples, prepared_path
from fl_tasks.contracts.report import Evaluation, EvaluationBody
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.scenarios import load
from fl_tasks.stages.context import Desk
from fl_tasks.stages.policy import open_gate


def judge(desk: Desk, agency: str, model_sha256: str, predictions: Tensors) -> EvaluationBody:
    """Return the errors of the models' forecasts and of the naive ones; with a profile where the policy allows it.

    Args:
        desk: Of the agency.
        agency: Whose held-back windows they are.
        model_sha256: Of the final model.
        predictions: federated, local_only and, where there is one, champion -> shape (n, steps), scaled.
    """
    spec, config = desk.spec, desk.config.series
    scenario = load(spec.scenario)
    prepared = Prepared.model_validate_json(prepared_path(spec.folder).read_bytes())
    test = held_back_examples(spec.folder)
    x, y, season, hours = (
        np.load(test / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("x", "y", "season", "hour")
    )
    forecasts = {
        **predictions,
        "persistence": scenario.persistence(x, config.target_steps),
        "seasonal_naive": season,
    }
    profile = ()
    if open_gate(spec).policy.share_profile:
        truth, forecast = (_own_deviations(prepared, values) for values in (y, forecasts["federated"]))
        profile = scenario.profile(truth, forecast, hours, config.target_steps)
    return EvaluationBody(
        run_id=spec.run_id,
        agency=agency,
        model_sha256=model_sha256,
        champion_sha256=desk.cohort.champion_sha256,
        unit=prepared.unit,
        evaluation=Evaluation(
            **{
                name: scenario.metrics(y, forecast, config.horizons, prepared.std, prepared.spread)
                for name, forecast in forecasts.items()
            }
        ),
        profile=profile,
    )


def _own_deviations(prepared: Prepared, values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Turn the model's scale into deviations from the agency's own mean: its level is nobody else's business."""
    own = np.asarray(values, dtype=np.float64) * prepared.std + prepared.mean - prepared.level
    return own / prepared.spread
