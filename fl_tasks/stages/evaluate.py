"""evaluate: an agency judges the final model on its held-back data, beside its own and the naive forecast."""

from __future__ import annotations

import numpy as np

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.data import Prepared, fit_examples, held_back_examples, prepared_path
from fl_tasks.contracts.errors import MissingInput
from fl_tasks.contracts.jobs import PredictJob
from fl_tasks.contracts.report import Evaluation, EvaluationBody
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import load_tensors, tensors_from_bytes, tensors_sha256
from fl_tasks.scenarios import load
from fl_tasks.secagg import names
from fl_tasks.secagg.errors import ModelMismatch
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.context import Desk, StageSkipped, exchange_refs, open_desk, training_seed
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, model_spec


def run(spec: StageSpec) -> StageResult:
    """Sign and post the errors of the federated, the local-only and the persistence forecast.

    Predictions are deleted once they are judged.
    """
    desk = open_desk(spec)
    agency = str(spec.agency)
    if agency not in desk.cohort.agencies:
        raise StageSkipped(f"{agency} was left out of this run")
    if desk.exchange.find(FINAL_MODEL) is None:
        raise MissingInput("there is no final model: the rounds did not end")
    name = f"evaluation/{agency}"
    if desk.exchange.find(name) is None:
        model_sha256 = _final_model(desk)
        body = EvaluationBody(run_id=spec.run_id, agency=agency, model_sha256=model_sha256, evaluation=_evaluate(desk))
        desk.exchange.put(name, sign_record(desk.signing_key(), "evaluation", body))
    return StageResult(
        stage="evaluate", status="done", inputs=exchange_refs(FINAL_WEIGHTS), outputs=exchange_refs(name)
    )


def _final_model(desk: Desk) -> str:
    """Fetch the final model, and hold it against its signed hash."""
    weights = tensors_from_bytes(desk.exchange.get(FINAL_WEIGHTS), source=FINAL_WEIGHTS)
    sha256 = tensors_sha256(weights).hex()
    last = max(r for r in range(1, desk.roster.r_max + 1) if desk.exchange.find(names.manifest(r)) is not None)
    if desk.model_sha256(FINAL_MODEL, last + 1) != sha256:
        raise ModelMismatch(f"{FINAL_WEIGHTS} is not the model of the signed hash; it was altered")
    return sha256


def _evaluate(desk: Desk) -> Evaluation:
    spec, config = desk.spec, desk.config
    folder = spec.folder
    work = folder / "jobs" / "evaluate"
    write_atomic(work / "weights.npz", desk.exchange.get(FINAL_WEIGHTS))
    write_atomic(work / "initial.npz", desk.exchange.get(names.weights(1)))
    seed = training_seed(spec, "local-only")
    job = PredictJob(
        model=model_spec(config),
        weights=work / "weights.npz",
        initial_weights=work / "initial.npz",
        fit_examples=fit_examples(folder),
        test_examples=held_back_examples(folder),
        local_epochs=desk.cohort.rounds * config.learning.local_epochs,
        shuffle_seed=int.from_bytes(seed[:8], "big") >> 1,
        predictions_out=work / "predictions.npz",
    )
    try:
        run_job(job, work / "job.json")
        predictions = load_tensors(job.predictions_out)
    finally:
        job.predictions_out.unlink(missing_ok=True)
    scenario = load(spec.scenario)
    prepared = Prepared.model_validate_json(prepared_path(folder).read_bytes())
    x = np.load(job.test_examples / "x.npy", mmap_mode="r")
    y = np.load(job.test_examples / "y.npy", mmap_mode="r")
    forecasts = {**predictions, "persistence": scenario.persistence(x, config.data.target_steps)}
    return Evaluation(
        **{
            name: scenario.metrics(y, forecast, config.data.horizons, prepared.std)
            for name, forecast in forecasts.items()
        }
    )
