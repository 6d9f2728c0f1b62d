"""reveal (step 2b): an agency hands out its shares of a round, after t equal acks."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.stages.context import accept_close, by_id, exchange_refs, open_member


def run(spec: StageSpec) -> StageResult:
    """Send the reveal; a second call sends the same bytes."""
    with open_member(spec) as (desk, member):
        closed = accept_close(desk, member)
        acks = by_id(desk.exchange, desk.roster, f"r/{desk.round}/ack")
        outbox = member.reveal(closed, desk.round, desk.exchange.get(names.manifest(desk.round)), acks)
        desk.send(outbox)
    inputs = (names.ack(desk.round, agency) for agency in desk.agency_names(tuple(acks)))
    return StageResult(stage="reveal", status="done", inputs=exchange_refs(*inputs), outputs=exchange_refs(*outbox))
