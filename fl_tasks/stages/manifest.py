"""manifest (step 1s): the coordinator fixes a round's survivors, or burns the round."""

from __future__ import annotations

from fl_tasks.contracts.base import locked
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.secagg.coordinator import make_manifest
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.stages.arrived import Arrived
from fl_tasks.stages.context import Desk, exchange_refs, open_desk, refusal_text


def run(spec: StageSpec) -> StageResult:
    """Sign manifest or burnt; written once, never both. Burning is a decision, not a failure."""
    desk = open_desk(spec)
    # A retry beside a first try that still lives could count other uploads, and come to the other verdict.
    with locked(spec.folder / "manifest.lock"):
        return _decide(desk)


def _decide(desk: Desk) -> StageResult:
    closed = desk.closed()
    round_ = desk.round
    verdicts = {name: desk.exchange.find(name) for name in (names.manifest(round_), names.burnt(round_))}
    reason = ""
    if not any(verdicts.values()):
        header = closed.header(round_, bytes.fromhex(desk.model_sha256(names.model(round_), round_)))
        uploads = Arrived(desk.exchange, desk.roster, f"r/{round_}/up")
        verdict = make_manifest(closed, desk.signing_key(), header, uploads, desk.cohort.parameters + len(SLOTS))
        desk.exchange.put(names.burnt(round_) if verdict.burnt else names.manifest(round_), verdict.data)
        reason = refusal_text(dict(verdict.refused), desk.roster)
    data = desk.exchange.find(names.manifest(round_))
    if data is None:
        return StageResult(
            stage="manifest",
            status="done",
            burnt=True,
            reason=f"round {round_} is burnt: fewer than {desk.roster.t} updates; {_next(desk)}. {reason}",
            outputs=exchange_refs(names.burnt(round_)),
        )
    survivors = desk.agency_names(closed.read_manifest(data, round_).ids)
    return StageResult(
        stage="manifest",
        status="done",
        reason=reason,
        members=survivors,
        inputs=exchange_refs(*(names.upload(round_, agency) for agency in survivors)),
        outputs=exchange_refs(names.manifest(round_)),
    )


def _next(desk: Desk) -> str:
    if desk.spec.surveys:
        return "a survey has no other round"
    return f"round {desk.round + 1} starts by itself from the same model"
