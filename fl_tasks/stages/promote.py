"""promote: make the run's model champion, if the gate said so and nobody who was asked said no.

The signed record is what counts; MLflow follows.
"""

from __future__ import annotations

import datetime as dt
import logging

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.errors import MissingInput
from fl_tasks.contracts.report import GateReport
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.registry.mlflow_store import RegistryConflict, open_store
from fl_tasks.stages import champions
from fl_tasks.stages.approval import agreement, refusal, require_answer
from fl_tasks.stages.context import Desk, exchange_refs, open_desk
from fl_tasks.stages.gate import champion_bytes, final_model, read_gate
from fl_tasks.stages.lineage import champion_ref, model_ref
from fl_tasks.stages.model_state import FINAL_WEIGHTS

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Write the model and the next champion record, once for a run; then move MLflow's alias.

    Raises:
        ApprovalMissing: If the scenario asks for a person's word, and there is none.
        ChampionMoved: If another promotion or rollback came after the gate's decision.
        RegistryUnavailable: If MLflow does not answer; the promotion stands and a retry moves the alias.
    """
    gate = read_gate(spec)
    if gate is None:
        raise MissingInput("the gate has not decided this run: its stage has to end first")
    if gate.decision == "held":
        return StageResult(stage="promote", status="skipped", reason=gate.reason[:500])
    record = champions.promotion_of(spec)
    if record is None:
        refused = refusal(spec)
        if refused is not None:
            return StageResult(stage="promote", status="skipped", reason=refused)
        desk = open_desk(spec)
        require_answer(spec, desk.config)
        record = _commit(desk, gate)
    chain = champions.own_chain(spec)
    with open_store(spec.places.mlflow, spec.scenario) as store:
        store.repair(chain, lambda body: champion_bytes(spec, body))
    log.info("stage=promote version=%d number=%d sha256=%s", record.version, record.number, record.model_sha256)
    return StageResult(
        stage="promote",
        status="done",
        reason=f"version {record.version} is champion{agreement(spec)}; {gate.reason}"[:500],
        version=record.version,
        digests={"model": record.model_sha256},
        inputs=(model_ref(FINAL_WEIGHTS, record.model_sha256),),
        outputs=registry_refs(record),
    )


def registry_refs(record: ChampionBody) -> tuple[DatasetRef, ...]:
    """A champion's record and weights as data sets for lineage."""
    name = f"registry/{record.scenario}/{champions.record_name(record.number)}"
    return (*exchange_refs(name), champion_ref(record))


def _commit(desk: Desk, gate: GateReport) -> ChampionBody:
    spec = desk.spec
    model = final_model(desk)
    assert gate.version is not None  # the gate registers a version before it writes its decision
    if any(body.version == gate.version for body in champions.own_chain(spec)):
        raise RegistryConflict(
            f"version {gate.version} was promoted before, of another run: MLflow gave a number twice, since it was "
            "restored or exchanged after the gate. Nothing was changed; start a new run"
        )
    record = ChampionBody(
        # The place after the records that the gate saw: if it is taken, the decision is outdated.
        number=gate.chain + 1,
        action="promote",
        scenario=spec.scenario,
        version=gate.version,
        model_sha256=model.sha256,
        model=model.model,
        run_id=spec.run_id,
        data_interval=spec.data_interval,
        decided_at=dt.datetime.now(dt.UTC),
    )
    champions.champions_exchange(spec).put(champions.model_name(model.sha256), model.weights)
    champions.append(spec, record)
    return record
