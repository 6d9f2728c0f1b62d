"""shares (S2): an agency deals encrypted shares of its secrets to its peers."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.stages.context import exchange_refs, listed_keys, open_member


def run(spec: StageSpec) -> StageResult:
    """Send S2; a second call sends the same bytes."""
    with open_member(spec) as (desk, member):
        list_data = desk.exchange.get(names.LIST)
        outbox = member.shares(list_data, listed_keys(desk.exchange, desk.setting, list_data))
        desk.send(outbox)
    return StageResult(stage="shares", status="done", inputs=exchange_refs(names.LIST), outputs=exchange_refs(*outbox))
