"""What the OpenLineage provider asks a stage's task for, when it starts, ends well or fails."""

from __future__ import annotations

from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage

from fl_airflow.installation import RunKind
from fl_airflow.lineage.datasets import input_datasets, output_datasets
from fl_airflow.lineage.facets import PRODUCER, RUN_FACET, FederatedRunFacet
from fl_tasks.contracts.stage import Stage, StageResult

# Stages whose members are the agencies in a round's sum.
_SUMMING: tuple[Stage, ...] = ("manifest", "aggregate")


def stage_lineage(
    stage: Stage,
    scenario: str,
    kind: RunKind,
    *,
    agency: str | None,
    round_: int | None,
    result: StageResult | None = None,
) -> OperatorLineage[Any, Any]:
    """Return the facets of one event.

    Args:
        stage: The step.
        scenario: Of which scenario.
        kind: Of which run.
        agency: Whose step it is; none at the coordinator.
        round_: From 1, in a round.
        result: What the stage left, once it has.
    """
    survivors = None
    if result is not None and stage in _SUMMING and not result.burnt:
        survivors = len(result.members)
    facet = FederatedRunFacet(
        scenario=scenario,
        kind=kind,
        stage=stage,
        agency=agency,
        round=round_,
        survivors=survivors,
        producer=PRODUCER,
    )
    return OperatorLineage(
        inputs=[] if result is None else input_datasets(result.inputs),
        outputs=[] if result is None else output_datasets(result.outputs, result.inputs),
        run_facets={RUN_FACET: facet},
    )
