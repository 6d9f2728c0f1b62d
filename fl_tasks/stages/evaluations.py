"""What the agencies said of a run's final model: signed, of this run, each by its own agency."""

from __future__ import annotations

from fl_tasks.contracts.report import EvaluationBody
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record
from fl_tasks.stages.context import Desk


def read_evaluations(desk: Desk) -> dict[str, EvaluationBody]:
    """Return agency -> its evaluation, of the cohort's agencies that sent a good one.

    A forged or malformed one counts as missing: below t evaluations a run fails.
    """
    found: dict[str, EvaluationBody] = {}
    for agency in desk.cohort.agencies:
        data = desk.exchange.find(f"evaluation/{agency}")
        if data is None:
            continue
        try:
            body = read_record(data, desk.setting.member_key(desk.id_of(agency)), "evaluation", EvaluationBody)
        except ProtocolError:
            continue
        if (body.run_id, body.agency) == (desk.spec.run_id, agency):
            found[agency] = body
    return found
