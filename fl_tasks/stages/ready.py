"""ready (S3): an agency opens the shares that were dealt to it and says whose it holds."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.stages.context import exchange_refs, listed_keys, open_member


def run(spec: StageSpec) -> StageResult:
    """Send S3; a second call sends the same bytes."""
    with open_member(spec) as (desk, member):
        list_data = desk.exchange.get(names.LIST)
        files = listed_keys(desk.exchange, desk.setting, list_data)
        dealt = {
            dealer: data
            for dealer in files
            if (data := desk.exchange.find(names.shares(desk.roster.names[dealer], str(spec.agency)))) is not None
        }
        outbox = member.ready(list_data, files, dealt)
        desk.send(outbox)
    inputs = (names.shares(desk.roster.names[dealer], str(spec.agency)) for dealer in dealt)
    return StageResult(stage="ready", status="done", inputs=exchange_refs(*inputs), outputs=exchange_refs(*outbox))
