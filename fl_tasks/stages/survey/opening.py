"""survey: invite the agencies whose raw data passed, and sign what is to be summed; like cohort, for one round."""

from __future__ import annotations

import datetime as dt
import logging

from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.survey import SURVEY_ROUND, SurveyRequest
from fl_tasks.secagg import names
from fl_tasks.secagg.messages import RoundModel
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.context import (
    config_sha256,
    exchange_of,
    exchange_refs,
    load_key,
    load_roster,
    open_desk,
    protocol_key_path,
)
from fl_tasks.stages.invitation import (
    SESSION_DAYS,
    check_fit,
    draw_session,
    enough,
    invited,
    left_out_text,
    reasons_text,
)
from fl_tasks.stages.survey.published import REQUEST, REQUEST_LABEL
from fl_tasks.stages.survey.request import is_surveyed, own_hierarchies, own_request

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Open the survey's session; a second call gives the same one. A dry run only says what would be summed.

    Raises:
        QuorumMissing: If fewer than t agencies passed their raw checks.
        LatticeTooLarge: If the hierarchies have too many combinations of levels.
        ConfigError: If the scenario needs no survey, or its configuration does not fit the approved roster.
    """
    config = load_scenario(spec.federation, spec.scenario)
    if not is_surveyed(config):
        raise ConfigError(f"scenario {spec.scenario}: field data: nothing has to be agreed on; it needs no survey")
    request = own_request(config, own_hierarchies(spec.federation, config))
    roster = load_roster(spec.places.coordinator, spec.scenario)
    if spec.dry_run:
        return _dry_run(spec, config, roster, request)
    if exchange_of(spec).find(names.COHORT) is None:
        _open_session(spec, config, roster, request)
    cohort = open_desk(spec).cohort
    log.info("stage=survey agencies=%d excluded=%d words=%d", len(cohort.agencies), len(cohort.excluded), request.words)
    return StageResult(
        stage="survey",
        status="done",
        reason=reasons_text(cohort.excluded),
        members=cohort.agencies,
        digests={"request": cohort.model_sha256, "config": cohort.config_sha256, "roster": cohort.roster_sha256},
        outputs=exchange_refs(names.COHORT, REQUEST, names.model(SURVEY_ROUND)),
    )


def _dry_run(spec: StageSpec, config: ScenarioConfig, roster: Roster, request: SurveyRequest) -> StageResult:
    """Say who would take part, in which sums; nothing is signed, sent or kept of it."""
    check_fit(config, roster)
    passed, excluded = invited(spec, roster)
    return StageResult(
        stage="survey",
        status="done",
        finished=True,
        members=passed,
        reason=(
            f"dry run: {len(passed)} agencies would take part, {roster.t} are needed "
            f"({'enough' if len(passed) >= roster.t else 'too few'}); {request.words} words would be summed, of "
            f"{request.nodes} combinations of levels and {len(request.numeric)} numbers{left_out_text(excluded)}"
        )[:500],
        digests={"config": config_sha256(config), "roster": roster.sha256.hex(), "request": request.sha256.hex()},
    )


def _open_session(spec: StageSpec, config: ScenarioConfig, roster: Roster, request: SurveyRequest) -> None:
    check_fit(config, roster)
    exchange, key = exchange_of(spec), load_key(protocol_key_path(spec.places.coordinator))
    passed, excluded = invited(spec, roster)
    enough(roster, passed, excluded)
    session = draw_session(spec)
    exchange.put(REQUEST, sign_record(key, REQUEST_LABEL, request))
    exchange.put(names.model(SURVEY_ROUND), RoundModel(session, SURVEY_ROUND, request.sha256).encode(key))
    body = CohortBody(
        session=session.hex(),
        run_id=spec.run_id,
        scenario=spec.scenario,
        data_interval=spec.data_interval,
        agencies=passed,
        excluded=excluded,
        roster_sha256=roster.sha256.hex(),
        config_sha256=config_sha256(config),
        rounds=1,
        purpose="survey",
        parameters=request.words,
        model_sha256=request.sha256.hex(),
        not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=SESSION_DAYS),
    )
    exchange.put(names.COHORT, sign_record(key, "cohort", body))
