"""train (step 1): local training, then clip, round, mask and upload. The delta never leaves and is deleted."""

from __future__ import annotations

import logging
import time

from fl_tasks.contracts.base import sha256_hex
from fl_tasks.contracts.data import fit_examples, prepared_path, read_prepared, validation_examples
from fl_tasks.contracts.errors import LearningFailed, MissingInput
from fl_tasks.contracts.jobs import TrainJob
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import flatten, load_tensors, save_tensors, tensors_from_bytes, tensors_sha256
from fl_tasks.secagg import names
from fl_tasks.secagg.errors import ModelMismatch, WeightTooLarge
from fl_tasks.secagg.masking import Ring
from fl_tasks.secagg.parameters import largest_weight
from fl_tasks.secagg.quantize import encode_update
from fl_tasks.stages.context import Desk, accept_close, exchange_refs, open_member, training_seed
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.lineage import examples_ref, model_ref
from fl_tasks.stages.model_state import model_spec

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Train on the round's model and send the masked update; a second call sends the same bytes.

    Raises:
        ModelMismatch: If the weights are not those of the signed hash.
        LearningFailed: If training gave nothing usable.
    """
    with open_member(spec) as (desk, member):
        # A try that was killed may have left its round's delta behind; with the journal locked none is at work.
        for left in spec.folder.glob("jobs/train-*/delta.npz"):
            left.unlink()
        closed = accept_close(desk, member)
        round_ = desk.round
        started = time.monotonic()
        outbox = member.upload(
            closed, round_, desk.exchange.get(names.model(round_)), lambda model: _make_update(desk, model)
        )
        desk.send(outbox)
        data = outbox[names.upload(round_, str(spec.agency))]
        model_sha256 = desk.model_sha256(names.model(round_), round_)
    digest = sha256_hex(data)
    log.info(
        "stage=train round=%d agency=%s bytes=%d sha256=%s seconds=%.1f",
        round_,
        spec.agency,
        len(data),
        digest,
        time.monotonic() - started,
    )
    return StageResult(
        stage="train",
        status="done",
        digests={"upload": digest},
        inputs=(model_ref(names.weights(round_), model_sha256), examples_ref(spec, fit_examples(spec.folder))),
        outputs=exchange_refs(*outbox),
    )


def _make_update(desk: Desk, model: bytes) -> Ring:
    """Train and encode; runs only if nothing of this round was sent before."""
    spec, round_ = desk.spec, desk.round
    name = names.weights(round_)
    weights = tensors_from_bytes(desk.exchange.get(name), source=name)
    if tensors_sha256(weights) != model:
        raise ModelMismatch(f"round {round_}: {name} is not the model of the signed hash; it was altered")
    _check_weight(desk)

    early_stop = desk.config.rounds.early_stop is not None
    work = spec.folder / "jobs" / f"train-{round_}"
    weights_path, delta_path = work / "weights.npz", work / "delta.npz"
    # What was checked, not a second read: the exchange is not trusted to answer twice alike.
    save_tensors(weights_path, weights)
    order = training_seed(spec, "order", round_.to_bytes(4, "big"), model)
    job = TrainJob(
        model=model_spec(desk.config, desk.cohort.preparation),
        weights=weights_path,
        examples=fit_examples(spec.folder),
        validation_examples=validation_examples(spec.folder) if early_stop else None,
        shuffle_seed=int.from_bytes(order[:8], "big") >> 1,
        delta_out=delta_path,
    )
    try:
        result = run_job(job, work / "job.json")
        delta = flatten(load_tensors(delta_path))
        if delta.size != desk.cohort.parameters:
            raise LearningFailed(
                f"round {round_}: a delta of {delta.size} values for {desk.cohort.parameters} parameters"
            )
        rounding = training_seed(spec, "rounding", round_.to_bytes(4, "big"), model)
        secagg = desk.roster.secagg
        weight = capped_weight(desk, result.examples)
        losses = (result.loss, result.validation_loss or 0.0)
        return encode_update(delta, weight, losses, desk.setting.n, secagg, rounding)
    finally:
        # The encoded update lives on in memory only, until it is masked.
        delta_path.unlink(missing_ok=True)


def capped_weight(desk: Desk, windows: int) -> int:
    """Return how many windows an agency counts as: one with many series must not drown the others."""
    cap = desk.config.learning.weight_cap
    return windows if cap is None else min(windows, cap)


def _check_weight(desk: Desk) -> None:
    """Refuse a weight over the roster's maximum before hours of training, not after."""
    path = prepared_path(desk.spec.folder)
    if not path.exists():
        raise MissingInput(f"{path}: no prepared data; run the validate stage of this run first")
    windows = capped_weight(desk, read_prepared(desk.spec.folder).fit_count)
    most = largest_weight(desk.setting.n, desk.roster.secagg)
    if windows > most:
        raise WeightTooLarge(
            f"{path}: {windows} examples to train on, the roster admits {most} (w_max * n_ref): "
            "set learning.weight_cap in the scenario, or agree on a roster with a larger secagg.n_ref"
        )
