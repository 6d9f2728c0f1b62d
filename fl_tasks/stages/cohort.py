"""cohort: decide who is invited, make the initial model, and open the session; signed and written once."""

from __future__ import annotations

import datetime as dt
import logging
import secrets

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.errors import ConfigError, QuorumMissing
from fl_tasks.contracts.jobs import InitJob
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import Tensors, flatten, load_tensors, tensors_sha256
from fl_tasks.secagg import names
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.champions import as_of, own_chain, same_shapes
from fl_tasks.stages.checks import read_checks
from fl_tasks.stages.context import (
    config_sha256,
    exchange_of,
    exchange_refs,
    load_key,
    load_roster,
    open_desk,
    protocol_key_path,
)
from fl_tasks.stages.enrol import approvals
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.model_state import load_state, model_spec, publish, save_state, state_path

log = logging.getLogger(__name__)

# Long enough for a run whose tasks are cleared after a week-end; then its secrets are deleted.
SESSION_DAYS = 7


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
        reason="; ".join(f"{agency}: {reason}" for agency, reason in cohort.excluded.items())[:500],
        members=cohort.agencies,
        digests={"model": cohort.model_sha256, "config": cohort.config_sha256, "roster": cohort.roster_sha256},
        outputs=exchange_refs(names.COHORT, names.model(1), names.weights(1)),
    )


def _dry_run(spec: StageSpec) -> StageResult:
    """Say who would take part, on what; nothing is signed, sent or kept of it."""
    config = load_scenario(spec.federation, spec.scenario)
    roster = load_roster(spec.places.coordinator, spec.scenario)
    _check_fit(config, roster)
    passed, excluded = _invited(spec, roster)
    champion = _champion(spec, config)
    left_out = "".join(f"; left out: {agency}: {reason}" for agency, reason in excluded.items())
    enough = "enough" if len(passed) >= roster.t else "too few"
    return StageResult(
        stage="cohort",
        status="done",
        finished=True,
        members=passed,
        reason=(
            f"dry run: {len(passed)} agencies would take part, {roster.t} are needed ({enough}); up to "
            f"{_rounds(spec, config)} rounds; compared with {'the champion' if champion else 'persistence'}{left_out}"
        )[:500],
        digests={"config": config_sha256(config), "roster": roster.sha256.hex()},
    )


def _invited(spec: StageSpec, roster: Roster) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the agencies that passed their checks and approved the roster, and why the others are left out."""
    verdicts = read_checks(exchange_of(spec), roster, spec.run_id, spec.agencies or roster.names)
    approved = approvals(spec.places, roster)
    waiting = {agency: "has not approved the roster" for agency in verdicts.passed if agency not in approved}
    return tuple(agency for agency in verdicts.passed if agency in approved), verdicts.excluded | waiting


def _rounds(spec: StageSpec, config: ScenarioConfig) -> int:
    return min(spec.rounds or config.rounds.wanted, config.rounds.wanted)


def _open_session(spec: StageSpec) -> None:
    config = load_scenario(spec.federation, spec.scenario)
    roster = load_roster(spec.places.coordinator, spec.scenario)
    _check_fit(config, roster)
    exchange = exchange_of(spec)
    passed, excluded = _invited(spec, roster)
    if len(passed) < roster.t:
        reasons = "; ".join(f"{agency}: {reason}" for agency, reason in excluded.items())
        raise QuorumMissing(
            f"{len(passed)} agencies may take part, {roster.t} are needed. Left out: {reasons}. "
            "Mend what stands there and start a new run"
        )
    model = _initial_model(spec, config)
    session = _session(spec)
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
        parameters=flatten(model).size,
        model_sha256=tensors_sha256(model).hex(),
        champion_sha256=_champion(spec, config),
        not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=SESSION_DAYS),
    )
    exchange.put(names.COHORT, sign_record(load_key(protocol_key_path(spec.places.coordinator)), "cohort", body))


def _champion(spec: StageSpec, config: ScenarioConfig) -> str | None:
    """The champion as of this interval, if its weights fit the network that is trained now."""
    champion = as_of(own_chain(spec), spec.data_interval[1])
    if champion is None or not same_shapes(champion.model, model_spec(config)):
        return None
    return champion.model_sha256


def _check_fit(config: ScenarioConfig, roster: Roster) -> None:
    """The roster froze the protocol's parameters; a YAML that was changed since has to be agreed on anew."""
    wanted = config.secagg.model_copy(update={"t": roster.t if config.secagg.t is None else config.secagg.t})
    if wanted != roster.secagg or config.rounds.groups != roster.r_max:
        raise ConfigError(
            f"scenario {config.scenario}: secagg or rounds differ from the approved roster {roster.sha256.hex()[:16]}; "
            "run `fl coordinator init` and let every agency approve the new roster"
        )


def _session(spec: StageSpec) -> bytes:
    """Draw the session's 16 bytes once for a run."""
    path = spec.folder / "session"
    if not path.exists():
        write_atomic(path, secrets.token_bytes(16))
    return path.read_bytes()


def _initial_model(spec: StageSpec, config: ScenarioConfig) -> Tensors:
    if not state_path(spec, 0).exists():
        work = spec.folder / "jobs"
        job = InitJob(
            model=model_spec(config), weights_out=work / "init-weights.npz", state_out=work / "init-state.npz"
        )
        run_job(job, work / "init.json")
        save_state(spec, 0, load_tensors(job.weights_out), load_tensors(job.state_out))
    model, _ = load_state(spec, 0)
    return model
