"""What a survey asks for, as an installation's own configuration gives it: agencies and coordinator each make it."""

from __future__ import annotations

from pathlib import Path

from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.nodes import hierarchy_sha256, lattice_shape
from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.survey import SummedColumn, SurveyedHierarchy, SurveyRequest
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.secagg.errors import SurveyMismatch
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_hierarchies


def is_surveyed(config: ScenarioConfig) -> bool:
    """Whether a scenario's data can be prepared only once something was agreed on."""
    return isinstance(config.data, TableConfig) and config.data.surveyed


def own_hierarchies(federation: Path, config: ScenarioConfig) -> dict[str, Hierarchy]:
    """Read the hierarchies of this installation; raises as load_hierarchies."""
    return load_hierarchies(hierarchies_folder(federation, config.scenario), config.table)


def own_request(config: ScenarioConfig, hierarchies: dict[str, Hierarchy]) -> SurveyRequest:
    """Return the request that this installation's configuration and hierarchies give.

    Raises:
        LatticeTooLarge: If the levels have more combinations than a survey sums.
    """
    table = config.table
    shape = lattice_shape(hierarchies)
    numeric = (column for column in table.columns if column.scaled)
    return SurveyRequest(
        scenario=config.scenario,
        hierarchies=tuple(
            SurveyedHierarchy(column=name, levels=levels, sha256=hierarchy_sha256(hierarchy))
            for (name, hierarchy), levels in zip(hierarchies.items(), shape, strict=True)
        ),
        judged=tuple(column.column for column in table.judged) if table.privacy else (),
        policy=table.privacy,
        numeric=tuple(
            SummedColumn(column=column.column, minimum=column.minimum, maximum=column.maximum)
            for column in numeric
            if column.minimum is not None and column.maximum is not None  # the contract holds it
        ),
    )


def check_request(own: SurveyRequest, published: SurveyRequest) -> None:
    """Hold the coordinator's signed request against the own one.

    Raises:
        SurveyMismatch: If it asks for anything else; the fields are named.
    """
    if own != published:
        wrong = [name for name in SurveyRequest.model_fields if getattr(own, name) != getattr(published, name)]
        raise SurveyMismatch(
            f"the coordinator's request for a survey of {own.scenario} differs in {', '.join(wrong)} from what this "
            "installation's configuration and hierarchies ask for: bring them to the same version everywhere; nothing "
            "was summed"
        )
