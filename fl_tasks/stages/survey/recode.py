"""recode (step 2s of a survey): open the sums exactly, choose levels and scales for all agencies, sign them once."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.nodes import NUMBERS, choose_node
from fl_tasks.contracts.base import sha256_hex
from fl_tasks.contracts.errors import QuorumMissing
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.survey import SURVEY_ROUND, PreparationBody, SurveyRequest
from fl_tasks.data.tables.features import feature_names
from fl_tasks.data.tables.sums import ColumnSums, scale_of
from fl_tasks.secagg import names
from fl_tasks.secagg.coordinator import unmask
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.records import sign_record
from fl_tasks.secagg.session import manifest_hash
from fl_tasks.secagg.sums import decode_integers
from fl_tasks.stages.arrived import Arrived
from fl_tasks.stages.champions import as_of, own_chain
from fl_tasks.stages.context import Desk, by_id, exchange_refs, open_desk, refusal_text
from fl_tasks.stages.survey.published import PREPARATION, PREPARATION_LABEL, read_preparation
from fl_tasks.stages.survey.request import own_hierarchies, own_request

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Publish the preparation; a second call finds it published.

    Raises:
        QuorumMissing: If the survey's one round is burnt.
        TooFewAgencies: If fewer than t agencies revealed; the round stays open for the others.
        NoRecoding: If no levels hold at every agency.
        DataRejected: If too few rows have a value of a column that is to be scaled.
    """
    desk = open_desk(spec)
    reason = _publish(desk) if desk.exchange.find(PREPARATION) is None else ""
    body = read_preparation(spec, desk.config, desk.roster)
    levels = ", ".join(f"{column} {level}" for column, level in body.preparation.levels.items())
    kept = "the champion's levels are kept" if body.kept else "levels"
    log.info("stage=recode agencies=%d features=%d", len(body.agencies), len(body.preparation.features))
    return StageResult(
        stage="recode",
        status="done",
        reason="; ".join(filter(None, (f"{kept}: {levels}" if levels else "", reason)))[:500],
        members=body.agencies,
        digests={"preparation": sha256_hex(desk.exchange.get(PREPARATION))},
        inputs=exchange_refs(
            names.manifest(SURVEY_ROUND), *(names.upload(SURVEY_ROUND, agency) for agency in body.agencies)
        ),
        outputs=exchange_refs(PREPARATION),
    )


def _publish(desk: Desk) -> str:
    """Open, choose, sign; returns whose reveals were refused. The sums are not kept."""
    if desk.exchange.find(names.burnt(SURVEY_ROUND)) is not None:
        raise QuorumMissing(
            f"the survey's one round is burnt: fewer than {desk.roster.t} agencies sent their masked sums, and no "
            "recoding can be agreed on; see in the report which were lost and why, then start a new run"
        )
    hierarchies = own_hierarchies(desk.spec.federation, desk.config)
    request = own_request(desk.config, hierarchies)
    sums, survivors, refused = _open(desk, request)
    preparation, kept = _prepare(desk, request, hierarchies, sums, len(survivors))
    body = PreparationBody(
        run_id=desk.spec.run_id,
        session=desk.cohort.session,
        scenario=desk.spec.scenario,
        data_interval=desk.cohort.data_interval,
        request_sha256=request.sha256.hex(),
        agencies=survivors,
        kept=kept,
        preparation=preparation,
    )
    desk.exchange.put(PREPARATION, sign_record(desk.signing_key(), PREPARATION_LABEL, body))
    return refused


def _open(desk: Desk, request: SurveyRequest) -> tuple[list[int], tuple[str, ...], str]:
    """Return the summed numbers, over whom, and whose reveals were refused."""
    closed = desk.closed()
    data = desk.exchange.get(names.manifest(SURVEY_ROUND))
    manifest = closed.read_manifest(data, SURVEY_ROUND)
    total, refused = unmask(
        closed,
        manifest,
        manifest_hash(data),
        Arrived(desk.exchange, desk.roster, f"r/{SURVEY_ROUND}/up"),
        by_id(desk.exchange, desk.roster, f"r/{SURVEY_ROUND}/reveal"),
        request.words + len(SLOTS),
    )
    numbers = decode_integers(total, request.limbs, len(manifest.ids))
    return numbers, desk.agency_names(manifest.ids), refusal_text(dict(refused), desk.roster)


def _prepare(
    desk: Desk, request: SurveyRequest, hierarchies: Mapping[str, Hierarchy], sums: list[int], agencies: int
) -> tuple[Preparation, bool]:
    """Choose levels and scales; the second is whether the champion's levels were kept."""
    of_nodes, of_columns = sums[1 : 1 + NUMBERS * request.nodes], sums[1 + NUMBERS * request.nodes :]
    levels: dict[str, int] = {}
    kept = False
    if request.policy is not None:
        in_force = _levels_in_force(desk, request, hierarchies)
        chosen = choose_node(of_nodes, request.shape, agencies, request.policy, in_force)
        levels, kept = dict(zip(hierarchies, chosen.levels, strict=True)), chosen.kept
    width = len(of_columns) // max(len(request.numeric), 1)
    scales = {
        column.column: scale_of(ColumnSums.read(of_columns[place * width : (place + 1) * width]), column)
        for place, column in enumerate(request.numeric)
    }
    features = feature_names(desk.config.table, levels, hierarchies)
    hashes = {hierarchy.column: hierarchy.sha256 for hierarchy in request.hierarchies}
    return Preparation(levels=levels, hierarchies=hashes, features=features, scales=scales), kept


def _levels_in_force(
    desk: Desk, request: SurveyRequest, hierarchies: Mapping[str, Hierarchy]
) -> tuple[int, ...] | None:
    """The levels of the champion as of the interval's end, if they still mean the same features."""
    champion = as_of(own_chain(desk.spec), desk.spec.data_interval[1])
    known = None if champion is None else champion.model.preparation
    if known is None or known.hierarchies != {one.column: one.sha256 for one in request.hierarchies}:
        return None
    shape = {name: len(hierarchy.levels) for name, hierarchy in hierarchies.items()}
    if any(level >= shape[name] for name, level in known.levels.items()):
        return None
    if feature_names(desk.config.table, known.levels, hierarchies) != known.features:
        return None
    return tuple(known.levels[name] for name in hierarchies)
