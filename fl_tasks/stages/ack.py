"""ack (step 2a): an agency accepts a round's manifest, one ever."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.stages.context import accept_close, exchange_refs, open_member


def run(spec: StageSpec) -> StageResult:
    """Check the manifest and send the ack; a second call sends the same bytes."""
    with open_member(spec) as (desk, member):
        closed = accept_close(desk, member)
        outbox = member.ack(closed, desk.round, desk.exchange.get(names.manifest(desk.round)))
        desk.send(outbox)
        left_out = member.left_out(desk.round)
    return StageResult(
        stage="ack",
        status="done",
        reason=f"round {desk.round}: the coordinator left out the update that {spec.agency} sent" if left_out else "",
        inputs=exchange_refs(names.manifest(desk.round)),
        outputs=exchange_refs(*outbox),
    )
