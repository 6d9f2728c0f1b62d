"""What the agencies said of a run's final model: signed, of this run, each by its own agency."""

from __future__ import annotations

from fl_tasks.contracts.report import ClassMetric, Evaluation, EvaluationBody, ForecastMetric
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record
from fl_tasks.stages.context import Desk


def read_evaluations(desk: Desk) -> dict[str, EvaluationBody]:
    """Return agency -> its evaluation, of the cohort's agencies that sent a good one.

    A forged or malformed one, or one with figures of another kind of scenario, counts as missing: below t evaluations a
    run fails.
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
        if (body.run_id, body.agency) == (desk.spec.run_id, agency) and _of_kind(desk, body.evaluation):
            found[agency] = body
    return found


def _of_kind(desk: Desk, evaluation: Evaluation) -> bool:
    """Whether all figures are those of the scenario's kind, which alone can be pooled."""
    kind = ClassMetric if isinstance(desk.config.data, TableConfig) else ForecastMetric
    ways = (getattr(evaluation, way) for way in Evaluation.model_fields)
    return all(isinstance(metric, kind) for horizons in ways for metric in horizons.values())
