"""What a survey's coordinator signed, as whoever reads it may trust it: the request, and the preparation at the end.

request       what is summed
preparation   levels, scales and features, made from the sums
"""

from __future__ import annotations

import math

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.data import preparation_path
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.survey import PreparationBody, SurveyRequest
from fl_tasks.data.tables.features import feature_names
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.open import open_exchange
from fl_tasks.exchange.store import Exchange
from fl_tasks.secagg import names
from fl_tasks.secagg.errors import PreparationRefused, SurveyMismatch
from fl_tasks.secagg.records import read_record
from fl_tasks.stages.survey.request import check_request, is_surveyed, own_hierarchies, own_request

REQUEST = "request"
PREPARATION = "preparation"
REQUEST_LABEL = "survey-request"
PREPARATION_LABEL = "preparation"


def survey_exchange(spec: StageSpec) -> Exchange:
    """The exchange of a run's survey."""
    return open_exchange(spec.places, spec.agency, Space("runs", spec.survey_run_id))


def check_survey(
    spec: StageSpec, config: ScenarioConfig, cohort: CohortBody, exchange: Exchange, public: bytes
) -> SurveyRequest:
    """Hold a survey's cohort and signed request against what this installation asks for, and return that.

    Args:
        spec: Of a stage of the survey.
        config: This installation's.
        cohort: Signed by the coordinator.
        exchange: Of the survey.
        public: The coordinator's Ed25519 key.

    Raises:
        SurveyMismatch: If the request, its hash in the cohort or the number of words is another one.
    """
    own = own_request(config, own_hierarchies(spec.federation, config))
    check_request(own, read_record(exchange.get(REQUEST), public, REQUEST_LABEL, SurveyRequest))
    if (cohort.model_sha256, cohort.parameters, cohort.rounds) != (own.sha256.hex(), own.words, 1):
        raise SurveyMismatch(
            "the survey's cohort names another request, number of words or number of rounds than the signed request "
            "has: nothing is summed; ask the coordinator"
        )
    return own


def check_training(spec: StageSpec, config: ScenarioConfig, cohort: CohortBody, roster: Roster) -> None:
    """Hold the preparation that a training's cohort names against the one that its survey ended with.

    Raises:
        PreparationRefused: If it is another one, or one is named where there is no survey, or none where there is.
    """
    wanted = accepted(spec, config, roster) if is_surveyed(config) else None
    if cohort.preparation != wanted:
        raise PreparationRefused(
            "the cohort names another recoding, scale or order of features than the run's survey ended with: what was "
            "prepared here does not fit it; start a new run"
        )


def accepted(spec: StageSpec, config: ScenarioConfig, roster: Roster) -> Preparation:
    """Return the preparation of a run's survey as this party accepted it; the first one that is right is kept.

    Raises:
        PreparationRefused: As read_preparation.
        MissingInput: If the survey has not ended (yet).
    """
    path = preparation_path(spec.folder)
    if not path.exists():
        found = read_preparation(spec, config, roster).preparation
        write_atomic(path, found.model_dump_json(indent=1).encode())
    return Preparation.model_validate_json(path.read_bytes())


def read_preparation(spec: StageSpec, config: ScenarioConfig, roster: Roster) -> PreparationBody:
    """Read what a run's survey ended with, and check all that can be checked of it without the sums.

    Raises:
        PreparationRefused: If it is of another survey, request, interval or roster, made of too few agencies' sums, or
            not one that this installation's schema and hierarchies admit.
        BadSignature: If the coordinator did not sign it.
        MissingInput: If the survey has not ended (yet).
    """
    exchange, public = survey_exchange(spec), bytes.fromhex(roster.coordinator_key)
    cohort = read_record(exchange.get(names.COHORT), public, "cohort", CohortBody)
    body = read_record(exchange.get(PREPARATION), public, PREPARATION_LABEL, PreparationBody)
    hierarchies = own_hierarchies(spec.federation, config)
    request = own_request(config, hierarchies)
    facts = {
        "the cohort is no survey's": cohort.purpose == "survey",
        "run": cohort.run_id == body.run_id == spec.survey_run_id,
        "session": cohort.session == body.session,
        "scenario": cohort.scenario == body.scenario == spec.scenario,
        "data interval": all(
            tuple(time.timestamp() for time in one.data_interval) == tuple(t.timestamp() for t in spec.data_interval)
            for one in (cohort, body)
        ),
        "roster": cohort.roster_sha256 == roster.sha256.hex(),
        "request": cohort.model_sha256 == body.request_sha256 == request.sha256.hex(),
        "agencies": set(body.agencies) <= set(cohort.agencies) and len(set(body.agencies)) >= roster.t,
        "levels": {h.column: h.levels for h in request.hierarchies}.keys() == body.preparation.levels.keys()
        and all(0 <= body.preparation.levels[h.column] < h.levels for h in request.hierarchies),
        "hierarchies": body.preparation.hierarchies == {h.column: h.sha256 for h in request.hierarchies},
        "scales": _scales_fit(request, body.preparation),
    }
    wrong = [what for what, right in facts.items() if not right]
    if not wrong and feature_names(config.table, body.preparation.levels, hierarchies) != body.preparation.features:
        wrong.append("features")
    if wrong:
        raise PreparationRefused(
            f"{PREPARATION} of {spec.survey_run_id} is not what this run's survey can have ended with: "
            f"{', '.join(wrong)}; bring the scenario's YAML and hierarchies to the same version everywhere, or ask the "
            "coordinator"
        )
    return body


def _scales_fit(request: SurveyRequest, preparation: Preparation) -> bool:
    """Whether each scaled column, and no other, has a scale that values of its range can have."""
    if preparation.scales.keys() != {column.column for column in request.numeric}:
        return False
    scales = ((preparation.scales[column.column], column) for column in request.numeric)
    return all(column.minimum <= scale.mean <= column.maximum and math.isfinite(scale.std) for scale, column in scales)
