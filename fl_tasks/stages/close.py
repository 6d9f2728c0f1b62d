"""close (S4): the coordinator closes the session over the agencies that hold each other's shares."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.secagg.coordinator import make_close
from fl_tasks.stages.context import by_id, exchange_refs, listed_keys, open_desk, refusal_text


def run(spec: StageSpec) -> StageResult:
    """Sign the close; written once. Raises TooFewAgencies below t."""
    desk = open_desk(spec)
    reason = ""
    if desk.exchange.find(names.CLOSE) is None:
        list_data = desk.exchange.get(names.LIST)
        files = listed_keys(desk.exchange, desk.setting, list_data)
        readies = by_id(desk.exchange, desk.roster, "setup/ready")
        data, refused = make_close(desk.setting, desk.signing_key(), list_data, files, readies)
        desk.exchange.put(names.CLOSE, data)
        reason = refusal_text(dict(refused), desk.roster)
    members = desk.agency_names(desk.closed().ids)
    return StageResult(
        stage="close",
        status="done",
        reason=reason,
        members=members,
        inputs=exchange_refs(*(names.ready(agency) for agency in members)),
        outputs=exchange_refs(names.CLOSE),
    )
