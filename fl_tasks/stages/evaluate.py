"""evaluate: an agency judges the final model on its held-back data, beside its own, the champion's and naive ones.

A champion that was trained on a table in another scale is shown the rows in its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.data import FIGURE_LEAST, fit_examples, held_back_examples
from fl_tasks.contracts.errors import DataRejected, MissingInput
from fl_tasks.contracts.jobs import LocalOnly, ModelSpec, PredictJob
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.report import EvaluationBody
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.tensors import Tensors, load_tensors, save_tensors, tensors_from_bytes, tensors_sha256
from fl_tasks.data.arrays import write_array
from fl_tasks.data.tables.rescale import rescaled
from fl_tasks.secagg import names
from fl_tasks.secagg.errors import ModelMismatch
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.champions import champions_exchange, load_champion, model_name, own_chain, same_shapes
from fl_tasks.stages.context import Desk, StageSkipped, exchange_refs, open_desk, training_seed
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.lineage import examples_ref, model_ref
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, model_spec
from fl_tasks.stages.policy import open_gate


def run(spec: StageSpec) -> StageResult:
    """Sign and post the figures of the federated, the local-only, the champion's and the naive predictions.

    Predictions are deleted once they are judged.

    Raises:
        MissingInput: If there is no final model or no prepared data.
        DataRejected: If figures over so few examples would tell of single ones.
        ModelMismatch: If a model is not the one of its signed hash, or the champion reads other features.
        PolicyRefused: If a model has more parameters than the agency's policy admits.
    """
    desk = open_desk(spec)
    agency = str(spec.agency)
    if agency not in desk.cohort.agencies:
        raise StageSkipped(f"{agency} was left out of this run")
    if desk.exchange.find(FINAL_MODEL) is None:
        raise MissingInput("there is no final model: the rounds did not end")
    name = f"evaluation/{agency}"
    if desk.exchange.find(name) is None:
        desk.exchange.put(name, sign_record(desk.signing_key(), "evaluation", _judge(desk, agency)))
    inputs = [model_ref(FINAL_WEIGHTS, _signed_sha256(desk)), examples_ref(spec, held_back_examples(spec.folder))]
    champion = desk.cohort.champion_sha256
    if champion is not None:
        inputs.append(model_ref(f"registry/{spec.scenario}/{model_name(champion)}", champion))
    return StageResult(stage="evaluate", status="done", inputs=tuple(inputs), outputs=exchange_refs(name))


def _judge(desk: Desk, agency: str) -> EvaluationBody:
    check_enough(desk.spec)
    weights, sha256 = _final_model(desk)
    predictions = _predict(desk, held_back_examples(desk.spec.folder), weights)
    if isinstance(desk.config.data, TableConfig):
        from fl_tasks.stages.tables.judge import judge  # noqa: PLC0415
    else:
        from fl_tasks.stages.series.judge import judge  # noqa: PLC0415
    return judge(desk, agency, sha256, predictions)


def check_enough(spec: StageSpec) -> None:
    """Refuse figures that would tell of single examples, whatever validate admitted; raises DataRejected."""
    y = np.load(held_back_examples(spec.folder) / "y.npy", mmap_mode="r", allow_pickle=False)
    if len(y) < FIGURE_LEAST:
        raise DataRejected(
            f"fewer than {FIGURE_LEAST} examples are held back for the test, so that figures over them would tell of "
            "single ones and stay at home; deliver more data, or give the scenario's split a larger test part"
        )


def _final_model(desk: Desk) -> tuple[Tensors, str]:
    """Fetch the final model, and hold it against its signed hash."""
    weights = tensors_from_bytes(desk.exchange.get(FINAL_WEIGHTS), source=FINAL_WEIGHTS)
    sha256 = tensors_sha256(weights).hex()
    if _signed_sha256(desk) != sha256:
        raise ModelMismatch(f"{FINAL_WEIGHTS} is not the model of the signed hash; it was altered")
    return weights, sha256


def _signed_sha256(desk: Desk) -> str:
    return desk.model_sha256(FINAL_MODEL, _last_verdict(desk) + 1)


def _initial_model(desk: Desk) -> Tensors:
    """Fetch the model that round 1 started from, and hold it against the signed cohort."""
    name = names.weights(1)
    weights = tensors_from_bytes(desk.exchange.get(name), source=name)
    if tensors_sha256(weights).hex() != desk.cohort.model_sha256:
        raise ModelMismatch(f"{name} is not the model of the signed cohort; it was altered")
    return weights


def _last_verdict(desk: Desk) -> int:
    """The last round that has a manifest: rounds end with an aggregated one."""
    return max((r for r in range(1, desk.roster.r_max + 1) if desk.exchange.find(names.manifest(r))), default=0)


def _predict(desk: Desk, test: Path, weights: Tensors) -> Tensors:
    """Return predictions for the test examples: the final model's, the champion's, those of one trained alone."""
    spec, config = desk.spec, desk.config
    work = spec.folder / "jobs" / "evaluate"
    trained = model_spec(config, desk.cohort.preparation)
    models, inputs = {"federated": weights}, {}
    if desk.cohort.champion_sha256 is not None:
        champion, models["champion"] = _champion(desk, trained, desk.cohort.champion_sha256)
        ours, theirs = trained.preparation, champion.model.preparation
        if ours is not None and theirs is not None and ours != theirs:
            inputs["champion"] = _in_scale(test, ours, theirs, work / "champion")
    for name, model in models.items():
        open_gate(spec).check_model(trained, sum(array.size for array in model.values()))
        save_tensors(work / f"{name}.npz", model)
    job = PredictJob(
        model=trained,
        weights={name: work / f"{name}.npz" for name in models},
        local_only=_local_only(desk, work) if spec.local_only else None,
        examples=test,
        inputs=inputs,
        predictions_out=work / "predictions.npz",
    )
    try:
        run_job(job, work / "job.json")
        return load_tensors(job.predictions_out)
    finally:
        for path in (job.predictions_out, *(folder / "x.npy" for folder in inputs.values())):
            path.unlink(missing_ok=True)


def _local_only(desk: Desk, work: Path) -> LocalOnly:
    """Return the order to train alone as long as all rounds did, from the same initial model."""
    spec = desk.spec
    save_tensors(work / "initial.npz", _initial_model(desk))
    rounds = sum(desk.exchange.find(names.manifest(r)) is not None for r in range(1, desk.roster.r_max + 1))
    return LocalOnly(
        initial_weights=work / "initial.npz",
        examples=fit_examples(spec.folder),
        epochs=rounds * desk.config.learning.local_epochs,
        shuffle_seed=int.from_bytes(training_seed(spec, "local-only")[:8], "big") >> 1,
    )


def _in_scale(test: Path, ours: Preparation, theirs: Preparation, folder: Path) -> Path:
    """Leave the test rows as another preparation scales them in a folder, and return it."""
    x = np.load(test / "x.npy", mmap_mode="r", allow_pickle=False)
    write_array(folder / "x.npy", rescaled(x, ours, theirs))
    return folder


def _champion(desk: Desk, trained: ModelSpec, sha256: str) -> tuple[ChampionBody, Tensors]:
    """Fetch the champion that the signed cohort names, out of the signed chain."""
    for body in own_chain(desk.spec):
        if body.model_sha256 == sha256:
            if not same_shapes(body.model, trained):
                raise ModelMismatch(
                    f"the cohort names version {body.version} as champion, which reads other examples than this run's: "
                    "it cannot be scored on them; the coordinator has to start a new run"
                )
            return body, load_champion(champions_exchange(desk.spec), body)
    raise ModelMismatch(f"the cohort names champion {sha256}, which no signed record of the registry holds")
