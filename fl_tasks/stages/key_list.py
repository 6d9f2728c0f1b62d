"""list (S1c): the coordinator lists whose keys it has."""

from __future__ import annotations

from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.secagg import names
from fl_tasks.secagg.coordinator import make_list
from fl_tasks.stages.context import by_id, exchange_refs, open_desk, refusal_text


def run(spec: StageSpec) -> StageResult:
    """Sign the list; written once. Raises TooFewAgencies below t."""
    desk = open_desk(spec)
    reason = ""
    if desk.exchange.find(names.LIST) is None:
        cohort = frozenset(desk.id_of(agency) for agency in desk.cohort.agencies)
        files = by_id(desk.exchange, desk.roster, "setup/keys")
        data, refused = make_list(desk.setting, desk.signing_key(), cohort, files)
        desk.exchange.put(names.LIST, data)
        reason = refusal_text(dict(refused), desk.roster)
    listed = desk.setting.read_list(desk.exchange.get(names.LIST)).entries
    members = desk.agency_names(tuple(member for member, _ in listed))
    return StageResult(
        stage="list",
        status="done",
        reason=reason,
        members=members,
        inputs=exchange_refs(*(names.keys(agency) for agency in members)),
        outputs=exchange_refs(names.LIST),
    )
