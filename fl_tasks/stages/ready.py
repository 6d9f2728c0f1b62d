"""ready (S3): an agency opens the shares that were dealt to it and says whose it holds."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.stages.context import MOST_MESSAGE_BYTES, exchange_refs, listed_keys, open_member


def run(spec: StageSpec) -> StageResult:
    """Send S3; a second call sends the same bytes."""
    with open_member(spec) as (desk, member):
        list_data = desk.exchange.get(names.LIST)
        files = listed_keys(desk.exchange, desk.setting, list_data)
        own = {dealer: names.shares(desk.roster.names[dealer], str(spec.agency)) for dealer in files}
        found = {dealer: desk.exchange.find(name, MOST_MESSAGE_BYTES) for dealer, name in own.items()}
        dealt = {dealer: data for dealer, data in found.items() if data is not None}
        outbox = member.ready(list_data, files, dealt)
        desk.send(outbox)
    inputs = exchange_refs(*(own[dealer] for dealer in dealt))
    return StageResult(stage="ready", status="done", inputs=inputs, outputs=exchange_refs(*outbox))
