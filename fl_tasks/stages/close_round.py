"""close_round: the coordinator passes the newest model on to the next round, or ends the rounds."""

from __future__ import annotations

from fl_tasks.contracts.errors import QuorumMissing
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import tensors_sha256
from fl_tasks.secagg import names
from fl_tasks.stages.aggregate import newest_round
from fl_tasks.stages.context import exchange_refs, open_desk
from fl_tasks.stages.early_stop import stopped_at
from fl_tasks.stages.lineage import model_ref
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, load_records, load_state, publish


def run(spec: StageSpec) -> StageResult:
    """Publish the newest model; `finished` once the wanted rounds are aggregated, or early stop says so.

    Raises:
        QuorumMissing: If more rounds were burnt than the scenario spares.
    """
    desk = open_desk(spec)
    round_ = desk.round
    records = load_records(spec, round_)
    aggregated = len(records)
    burnt = round_ - aggregated
    if burnt > desk.config.rounds.spare:
        raise QuorumMissing(
            f"{burnt} rounds are burnt, the scenario spares {desk.config.rounds.spare}: see in the report which "
            "agencies were lost and why, then start a new run"
        )
    stopped = stopped_at(records, desk.config.rounds.early_stop)
    complete = aggregated >= desk.cohort.rounds
    finished = complete or stopped is not None
    chosen = newest_round(desk, round_ + 1) if stopped is None else stopped
    names_out = (FINAL_MODEL, FINAL_WEIGHTS) if finished else (names.model(round_ + 1), names.weights(round_ + 1))
    model, _ = load_state(spec, chosen)
    publish(spec, desk.exchange, desk.setting.session, round_ + 1, model, names_out)
    early = "" if stopped is None else f"; early stop with the model of round {stopped}"
    return StageResult(
        stage="close_round",
        status="done",
        finished=finished,
        reason=f"{aggregated} of {desk.cohort.rounds} rounds aggregated, {burnt} burnt{early}",
        outputs=(*exchange_refs(names_out[0]), model_ref(names_out[1], tensors_sha256(model).hex())),
    )
