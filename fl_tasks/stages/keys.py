"""keys (S1): an agency makes and sends the session's public keys."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.stages.context import exchange_refs, open_member


def run(spec: StageSpec) -> StageResult:
    """Send S1; a second call sends the same bytes."""
    with open_member(spec) as (desk, member):
        outbox = member.keys()
        desk.send(outbox)
    return StageResult(stage="keys", status="done", inputs=exchange_refs(names.COHORT), outputs=exchange_refs(*outbox))
