"""cohort: decide who is invited, make the initial model, and open the session; signed and written once."""

from __future__ import annotations

import datetime as dt
import logging

from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.jobs import InitJob, ModelSpec
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import Tensors, flatten, load_tensors, tensors_sha256
from fl_tasks.secagg import names
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.champions import as_of, own_chain, same_shapes
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
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.lineage import model_ref
from fl_tasks.stages.model_state import load_state, model_spec, publish, save_state, state_path
from fl_tasks.stages.survey.published import accepted
from fl_tasks.stages.survey.request import is_surveyed

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Open the session; a second call gives the same one. A dry run only says what would be used.

    Raises:
        QuorumMissing: If fewer than t agencies passed their checks.
        ConfigError: If the scenario's configuration does not fit the approved roster.
    """
    exchange = exchange_of(spec)
    if spec.dry_run:
        return _dry_run(spec)
    if exchange.find(names.COHORT) is None:
        _open_session(spec)
    cohort = open_desk(spec).cohort
    log.info("stage=cohort agencies=%d excluded=%d", len(cohort.agencies), len(cohort.excluded))
    return StageResult(
        stage="cohort",
        status="done",
        reason=reasons_text(cohort.excluded),
        members=cohort.agencies,
        digests={"model": cohort.model_sha256, "config": cohort.config_sha256, "roster": cohort.roster_sha256},
        outputs=(*exchange_refs(names.COHORT, names.model(1)), model_ref(names.weights(1), cohort.model_sha256)),
    )


def _dry_run(spec: StageSpec) -> StageResult:
    """Say who would take part, on what; nothing is signed, sent or kept of it."""
    config = load_scenario(spec.federation, spec.scenario)
    roster = load_roster(spec.places.coordinator, spec.scenario)
    check_fit(config, roster)
    passed, excluded = invited(spec, roster)
    champion = _champion(spec, model_spec(config, _preparation(spec, config, roster)))
    is_enough = "enough" if len(passed) >= roster.t else "too few"
    return StageResult(
        stage="cohort",
        status="done",
        finished=True,
        members=passed,
        reason=(
            f"dry run: {len(passed)} agencies would take part, {roster.t} are needed ({is_enough}); up to "
            f"{_rounds(spec, config)} rounds; compared with {_reference(config, champion)}"
            f"{left_out_text(excluded)}"
        )[:500],
        digests={"config": config_sha256(config), "roster": roster.sha256.hex()},
    )


def _reference(config: ScenarioConfig, champion: str | None) -> str:
    if champion is not None:
        return "the champion"
    return "majority" if config.data.kind == "table" else "persistence"


def _rounds(spec: StageSpec, config: ScenarioConfig) -> int:
    return min(spec.rounds or config.rounds.wanted, config.rounds.wanted)


def _open_session(spec: StageSpec) -> None:
    config = load_scenario(spec.federation, spec.scenario)
    roster = load_roster(spec.places.coordinator, spec.scenario)
    check_fit(config, roster)
    exchange = exchange_of(spec)
    passed, excluded = invited(spec, roster)
    enough(roster, passed, excluded)
    preparation = _preparation(spec, config, roster)
    wanted = model_spec(config, preparation)
    model = _initial_model(spec, wanted)
    session = draw_session(spec)
    publish(spec, exchange, session, 1, model, (names.model(1), names.weights(1)))
    body = CohortBody(
        session=session.hex(),
        run_id=spec.run_id,
        scenario=spec.scenario,
        data_interval=spec.data_interval,
        agencies=passed,
        excluded=excluded,
        roster_sha256=roster.sha256.hex(),
        config_sha256=config_sha256(config),
        rounds=_rounds(spec, config),
        preparation=preparation,
        parameters=flatten(model).size,
        model_sha256=tensors_sha256(model).hex(),
        champion_sha256=_champion(spec, wanted),
        not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=SESSION_DAYS),
    )
    exchange.put(names.COHORT, sign_record(load_key(protocol_key_path(spec.places.coordinator)), "cohort", body))


def _preparation(spec: StageSpec, config: ScenarioConfig, roster: Roster) -> Preparation | None:
    """What the run's survey ended with, where the scenario has one."""
    return accepted(spec, config, roster) if is_surveyed(config) else None


def _champion(spec: StageSpec, wanted: ModelSpec) -> str | None:
    """The champion as of this interval, if its weights fit the network that is trained now."""
    champion = as_of(own_chain(spec), spec.data_interval[1])
    if champion is None or not same_shapes(champion.model, wanted):
        return None
    return champion.model_sha256


def _initial_model(spec: StageSpec, model: ModelSpec) -> Tensors:
    if not state_path(spec, 0).exists():
        work = spec.folder / "jobs"
        job = InitJob(model=model, weights_out=work / "init-weights.npz", state_out=work / "init-state.npz")
        run_job(job, work / "init.json")
        save_state(spec, 0, load_tensors(job.weights_out), load_tensors(job.state_out))
    weights, _ = load_state(spec, 0)
    return weights
