"""aggregate (step 2s): the coordinator opens the round's sum and takes one step of the server optimizer."""

from __future__ import annotations

import logging

from fl_tasks.contracts.jobs import ServerJob
from fl_tasks.contracts.report import RoundRecord
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import load_tensors, save_tensors, tensors_sha256, unflatten
from fl_tasks.secagg import names
from fl_tasks.secagg.coordinator import open_sum
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.stages.arrived import Arrived
from fl_tasks.stages.context import Desk, by_id, exchange_refs, open_desk, refusal_text
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.lineage import model_ref
from fl_tasks.stages.model_state import (
    load_record,
    load_state,
    model_spec,
    save_record,
    save_state,
    seconds_since_start,
)

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Commit the model of this round; a second call finds it committed.

    Raises:
        TooFewAgencies: If fewer than t agencies revealed; the round stays open for the others.
        InconsistentShares: If a reconstructed secret is wrong.
    """
    desk = open_desk(spec)
    round_ = desk.round
    record = load_record(spec, round_)
    reason = ""
    if record is None:
        record, reason = _aggregate(desk)
    log.info("stage=aggregate round=%d survivors=%d sha256=%s", round_, len(record.survivors), record.model_sha256)
    return StageResult(
        stage="aggregate",
        status="done",
        reason=reason,
        members=record.survivors,
        digests={"model": record.model_sha256},
        inputs=exchange_refs(names.manifest(round_), *(names.upload(round_, agency) for agency in record.survivors)),
        outputs=(model_ref(f"runs/{spec.run_id}/rounds/{round_}.npz", record.model_sha256, namespace="coordinator"),),
    )


def _aggregate(desk: Desk) -> tuple[RoundRecord, str]:
    spec, round_, roster = desk.spec, desk.round, desk.roster
    closed = desk.closed()
    data = desk.exchange.get(names.manifest(round_))
    survivors = closed.read_manifest(data, round_).ids
    opened, refused = open_sum(
        closed,
        round_,
        data,
        Arrived(desk.exchange, roster, f"r/{round_}/up"),
        by_id(desk.exchange, roster, f"r/{round_}/reveal"),
        desk.cohort.parameters + len(SLOTS),
    )
    model, state = load_state(spec, newest_round(desk, round_))
    work = spec.folder / "jobs" / f"server-{round_}"
    job = ServerJob(
        model=model_spec(desk.config, desk.cohort.preparation),
        weights=work / "weights.npz",
        state=work / "state.npz",
        delta=work / "delta.npz",
        weights_out=work / "new-weights.npz",
        state_out=work / "new-state.npz",
    )
    save_tensors(job.weights, model)
    save_tensors(job.state, state)
    save_tensors(job.delta, unflatten(opened.mean_delta, model))
    run_job(job, work / "job.json")
    new_model = load_tensors(job.weights_out)
    save_state(spec, round_, new_model, load_tensors(job.state_out))
    record = RoundRecord(
        round=round_,
        survivors=desk.agency_names(survivors),
        loss=opened.mean_loss,
        validation_loss=None if desk.config.rounds.early_stop is None else opened.mean_validation_loss,
        clipped=opened.clipped,
        examples=opened.examples,
        seconds=round(seconds_since_start(spec, round_), 3),
        model_sha256=tensors_sha256(new_model).hex(),
    )
    save_record(spec, record)
    return record, refusal_text(dict(refused), roster)


def newest_round(desk: Desk, before: int) -> int:
    """The last aggregated round before one; 0 stands for the initial model."""
    return max((r for r in range(1, before) if load_record(desk.spec, r) is not None), default=0)
