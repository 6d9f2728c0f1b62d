"""gate: hold the run's model against the champion, decide, and let MLflow know. Nothing is promoted here."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

from fl_tasks.contracts.base import Contract, write_atomic
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.errors import QuorumMissing
from fl_tasks.contracts.report import Evaluation, EvaluationBody, GateReport
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.tensors import tensors_from_bytes, tensors_sha256, tensors_to_bytes
from fl_tasks.registry.gate import Reference, decide
from fl_tasks.registry.mlflow_store import CHALLENGER, ModelFacts, RunFacts, open_store
from fl_tasks.secagg.errors import ModelMismatch
from fl_tasks.secagg.messages import RoundModel
from fl_tasks.stages import champions
from fl_tasks.stages.context import Desk, exchange_refs, open_desk
from fl_tasks.stages.evaluations import read_evaluations
from fl_tasks.stages.lineage import model_ref
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, load_records, model_spec

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Decide once; a second call gives the same decision.

    Raises:
        QuorumMissing: If the rounds did not complete, or fewer than t agencies evaluated the model.
        RegistryUnavailable: If MLflow does not answer; nothing is decided then.
    """
    desk = open_desk(spec)
    model = final_model(desk)
    report = read_gate(spec)
    if report is None:
        report = _decide(desk, model)
        write_atomic(gate_path(spec), report.model_dump_json().encode())
    _remember(spec)
    log.info("stage=gate decision=%s version=%s sha256=%s", report.decision, report.version, model.sha256)
    return StageResult(
        stage="gate",
        status="done",
        reason=f"{report.decision}: {report.reason}"[:500],
        finished=report.decision == "held",
        digests={"model": model.sha256},
        inputs=(
            model_ref(FINAL_WEIGHTS, model.sha256, version=report.version),
            *exchange_refs(*(f"evaluation/{agency}" for agency in _evaluations(desk, model))),
        ),
        outputs=(DatasetRef(namespace="coordinator", name=f"runs/{spec.run_id}/gate.json"),),
    )


def gate_path(spec: StageSpec) -> Path:
    """Where the coordinator keeps a run's decision."""
    return spec.places.coordinator_run(spec.run_id) / "gate.json"


def read_gate(spec: StageSpec) -> GateReport | None:
    """Read a run's decision, or None if there is none (yet)."""
    path = gate_path(spec)
    return GateReport.model_validate_json(path.read_bytes()) if path.exists() else None


class _Newest(Contract):
    """The end of the newest data interval that a gate has decided on, promoted or held."""

    interval_end: dt.datetime


def newest_path(spec: StageSpec) -> Path:
    """Where the coordinator keeps it, by scenario."""
    return spec.places.coordinator / "decided" / f"{spec.scenario}.json"


def _newest(spec: StageSpec) -> dt.datetime | None:
    path = newest_path(spec)
    return _Newest.model_validate_json(path.read_bytes()).interval_end if path.exists() else None


def _remember(spec: StageSpec) -> None:
    newest, end = _newest(spec), spec.data_interval[1]
    if newest is None or newest < end:
        write_atomic(newest_path(spec), _Newest(interval_end=end).model_dump_json().encode())


def _is_backfill(spec: StageSpec, chain: list[ChampionBody]) -> bool:
    """A newer interval was decided on, be it that its model was held: today's champion is what stood that test."""
    newest, end = _newest(spec), spec.data_interval[1]
    return champions.is_backfill(chain, end) or (newest is not None and newest > end)


def final_model(desk: Desk) -> ModelFacts:
    """Read the model that the run ended with, held against its signed hash.

    Raises:
        QuorumMissing: If the rounds did not complete.
        ModelMismatch: If the weights are not those of the hash.
    """
    data = desk.exchange.find(FINAL_MODEL)
    if data is None:
        raise QuorumMissing(
            f"run {desk.spec.run_id} has no final model: its rounds did not complete, so there is nothing to judge. "
            "See in the report which agencies were lost and why, then start a new run"
        )
    message = RoundModel.decode(data, lambda _: desk.setting.coordinator_key, 0)
    desk.setting.same_session(message.session, RoundModel.LABEL)
    weights = tensors_from_bytes(desk.exchange.get(FINAL_WEIGHTS), source=FINAL_WEIGHTS)
    if tensors_sha256(weights) != message.model:
        raise ModelMismatch(f"{FINAL_WEIGHTS} is not the model of the signed hash; it was altered")
    return ModelFacts(
        run_id=desk.spec.run_id,
        data_interval=desk.spec.data_interval,
        sha256=message.model.hex(),
        model=model_spec(desk.config, desk.cohort.preparation),
        weights=tensors_to_bytes(weights),
    )


def champion_bytes(spec: StageSpec, body: ChampionBody) -> bytes:
    """Read a champion's weights, verified, as npz."""
    return tensors_to_bytes(champions.load_champion(champions.champions_exchange(spec), body))


def _evaluations(desk: Desk, model: ModelFacts) -> dict[str, EvaluationBody]:
    """Evaluations of the final model; one of another model does not count."""
    return {agency: body for agency, body in read_evaluations(desk).items() if body.model_sha256 == model.sha256}


def _decide(desk: Desk, model: ModelFacts) -> GateReport:
    """Compare, register the new version in MLflow, and return the decision with its version."""
    spec = desk.spec
    bodies = _evaluations(desk, model)
    if len(bodies) < desk.roster.t:
        raise QuorumMissing(
            f"{len(bodies)} agencies evaluated the model, {desk.roster.t} are needed: see in the report which did not "
            "and why, clear their evaluate tasks, then this one"
        )
    chain = champions.own_chain(spec)
    report = _compare(desk, model, bodies, chain)
    with open_store(spec.places.mlflow, spec.scenario) as store:
        store.repair(chain, lambda body: champion_bytes(spec, body))
        version = store.register(model)
        report = report.model_copy(update={"version": version})
        if not report.backfill:
            store.point(CHALLENGER, version)
        store.log_run(model, _run_facts(desk, bodies, report))
    return report


def _compare(desk: Desk, model: ModelFacts, bodies: dict[str, EvaluationBody], chain: list[ChampionBody]) -> GateReport:
    end = desk.spec.data_interval[1]
    champion = champions.as_of(chain, end)
    scored = desk.cohort.champion_sha256
    baseline: Reference = "majority" if isinstance(desk.config.data, TableConfig) else "persistence"
    reference: Reference = "champion" if scored else baseline
    name, background, outdated = str(baseline), "", ""
    if champion is None:
        background = f"there is no champion as of {end.date()}"
    elif scored is None and not champions.same_shapes(champion.model, model.model):
        background = f"version {champion.version}, the champion, {_unlike(champion, model)} and cannot be scored"
    else:
        name = f"version {champion.version}"
    if scored != (None if background or champion is None else champion.model_sha256):
        outdated = "the champion changed during the run, so that the agencies scored another; start a new run"
    report = decide(
        {agency: _of_champion(body, scored) for agency, body in bodies.items()},
        reference,
        desk.config.gate,
        name=name,
        background=background,
        is_champion=any(body.model_sha256 == model.sha256 for body in (champion, *chain[-1:]) if body is not None),
        outdated=outdated,
        backfill=_is_backfill(desk.spec, chain),
    )
    return report.model_copy(update={"chain": len(chain)})


def _unlike(champion: ChampionBody, model: ModelFacts) -> str:
    """Say why a champion cannot be scored on the same rows."""
    ours, theirs = model.model.preparation, champion.model.preparation
    if ours is not None and theirs is not None and not ours.same_features(theirs):
        return "was trained on other levels or features"
    return "has other shapes"


def _of_champion(body: EvaluationBody, champion: str | None) -> Evaluation:
    """An evaluation; without `champion` where that agency scored another one."""
    same = champion is not None and body.champion_sha256 == champion
    return body.evaluation if same else body.evaluation.model_copy(update={"champion": {}})


def _run_facts(desk: Desk, bodies: dict[str, EvaluationBody], report: GateReport) -> RunFacts:
    return RunFacts(
        config_sha256=desk.cohort.config_sha256,
        cohort=desk.cohort.agencies,
        t=desk.roster.t,
        rounds=tuple(load_records(desk.spec, desk.roster.r_max)),
        evaluations=bodies,
        gate=report,
    )
