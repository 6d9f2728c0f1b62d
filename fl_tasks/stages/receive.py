"""receive: an agency fetches its plan and the code, verifies both, and lays them out for its officer to decide on.

Where the agency's policy decides, it does so at once. An officer's decision is told as soon as it is there: by this
stage, or else by the agency's daemon.
"""

from __future__ import annotations

import logging

from fl_tasks.approvals.check import check_plan
from fl_tasks.approvals.delivery import MOST_CODE_BYTES, MOST_PLAN_BYTES, lay_out, open_delivery
from fl_tasks.approvals.places import delivery_folder
from fl_tasks.contracts.plan import Answer
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.stages.answer import ask, tell, tell_decision
from fl_tasks.stages.context import exchange_of, exchange_refs, folder_of, load_roster
from fl_tasks.stages.plan import CODE, plan_name, wanted_of
from fl_tasks.stages.policy import open_gate

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Take a plan over, once; a second call finds the same.

    Raises:
        MissingInput: If the coordinator has sent none (yet).
        DeliveryAltered: If it is not what the coordinator of the approved roster signed.
        CodeMismatch: If the code is another one than is installed here.
        PlanMismatch: If this installation would do something else.
        DeliveryConflict: If another plan was taken over for this run.
        OfficerUnknown, OfficerNotApart: If an officer decides here, and there is none that can.
    """
    agency = str(spec.agency)
    roster = load_roster(folder_of(spec), spec.scenario)
    exchange = exchange_of(spec)
    plan = exchange.get(plan_name(agency), MOST_PLAN_BYTES)
    code = exchange.get(CODE, MOST_CODE_BYTES)
    delivery = open_delivery(plan, code, bytes.fromhex(roster.coordinator_key))
    check_plan(delivery, wanted_of(spec))
    lay_out(delivery_folder(spec.places, agency, spec.run_id), plan, code)
    body = delivery.plan
    if open_gate(spec).policy.approval == "policy":
        tell(
            spec.places,
            Answer(run_id=spec.run_id, agency=agency, plan_sha256=body.sha256, verdict="approved", by="policy"),
        )
    else:
        ask(spec.folder, body.sha256)
        tell_decision(spec.places, agency, spec.folder)
    log.info("stage=receive agency=%s files=%d plan=%s", agency, len(delivery.files), body.sha256)
    return StageResult(
        stage="receive",
        status="done",
        digests={"plan": body.sha256, "terms": body.terms_sha256, "code": body.terms.code_sha256},
        inputs=exchange_refs(CODE, plan_name(agency)),
    )
