"""What stages tell of their data sets for lineage: declared columns, checks that were made, the model that a file is.

The names are those that a scenario or an agency declared. A name that looks like an identifier is withheld all the
same: nobody has looked at declarations before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.data import QualityReport
from fl_tasks.contracts.lineage import (
    MOST_CHECKS,
    MOST_COLUMNS,
    CheckFact,
    ColumnFact,
    ColumnType,
    DatasetFacts,
    Making,
    ModelFact,
    Origin,
)
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import DatasetRef, StageSpec
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.pseudonymize import looks_like
from fl_tasks.stages.champions import model_name

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

Columns = Sequence[ColumnFact]


def made(name: str, kind: ColumnType, making: Making, *origins: str, of: int = 0) -> ColumnFact:
    """Return a column that is made of columns of one of the stage's inputs; of none, it has no origin.

    Args:
        name: Of the column.
        kind: What it holds.
        making: How it is made.
        origins: Columns of the input.
        of: The input's place among the stage's inputs.
    """
    found = tuple(Origin(input=of, column=origin) for origin in origins[:MOST_COLUMNS])
    return ColumnFact(name=name, type=kind, making=making if found else None, origins=found)


def kept(columns: Columns, *, of: int = 0) -> list[ColumnFact]:
    """Return columns that are in an output as they were in an input."""
    return [made(column.name, column.type, "identity", column.name, of=of) for column in columns]


def facts_of(
    columns: Columns = (), *, source: SourceConfig | TableSource | None = None, checks: Sequence[CheckFact] = ()
) -> DatasetFacts:
    """Return what may be told of a data set.

    Args:
        columns: The declared ones.
        source: If it is what an agency delivers: its declaration.
        checks: That were made of it.
    """
    withheld = _identifying(columns)
    named = [_without(column, withheld) for column in columns if column.name not in withheld]
    return DatasetFacts(
        source=None if source is None else "files" if source.sql is None else "database",
        columns=tuple(named[:MOST_COLUMNS]),
        further_columns=len(columns) - min(len(named), MOST_COLUMNS),
        checks=tuple(check for check in checks if check.column not in withheld)[:MOST_CHECKS],
    )


def as_input(columns: Columns, *, checks: Sequence[CheckFact] = ()) -> DatasetFacts:
    """Return what may be told of an input: where its columns come from was told when it was made."""
    return facts_of([ColumnFact(name=column.name, type=column.type) for column in columns], checks=checks)


def own(spec: StageSpec, name: str, facts: DatasetFacts | None = None) -> DatasetRef:
    """Return a file or folder of an agency, named from its own folder."""
    return DatasetRef(namespace=f"agency:{spec.agency}", name=name, facts=facts)


def of_run(spec: StageSpec, name: str, facts: DatasetFacts | None = None) -> DatasetRef:
    """Return a file or folder of an agency's run, named from the run's folder."""
    return own(spec, f"runs/{spec.run_id}/{name}", facts)


def model_ref(name: str, sha256: str, *, version: int | None = None, namespace: str = "exchange") -> DatasetRef:
    """Return a file of weights.

    Args:
        name: In its namespace.
        sha256: Of the model, as it is signed.
        version: In the registry, once it is promoted.
        namespace: Where it lies.
    """
    facts = DatasetFacts(model=ModelFact(sha256=sha256, version=version))
    return DatasetRef(namespace=namespace, name=name, facts=facts)


def examples_ref(spec: StageSpec, folder: Path) -> DatasetRef:
    """Return a part of the run's frozen examples, which a model is trained or judged on."""
    arrays = [ColumnFact(name=name, type="number") for name in ("x", "y")]
    return of_run(spec, folder.relative_to(spec.folder).as_posix(), facts_of(arrays))


def champion_ref(champion: ChampionBody) -> DatasetRef:
    """Return the weights of a promoted model."""
    name = f"registry/{champion.scenario}/{model_name(champion.model_sha256)}"
    return model_ref(name, champion.model_sha256, version=champion.version)


def checks_of(report: QualityReport, suites: Mapping[str, ExpectationSuite], frame: str) -> list[CheckFact]:
    """Return the checks of a report, with their columns.

    Args:
        report: What was judged.
        suites: By which it was judged, by frame.
        frame: The frame whose columns are those of the data set; columns of the others are figures about it.
    """
    columns = {
        (f"{expectation.meta['check']}/{expectation.expectation_type}", expectation.meta["needs"]): getattr(
            expectation, "column", None
        )
        for expectation in suites[frame].expectations
        if expectation.meta is not None
    }
    return [
        CheckFact(
            name=check.name,
            column=columns.get((check.name, check.needs)),
            severity=check.severity,
            passed=check.passed,
        )
        for check in report.checks
    ]


def _identifying(columns: Columns) -> set[str]:
    names = {column.name for column in columns} | {origin.column for column in columns for origin in column.origins}
    return {name for name in names if looks_like([name])} if looks_like(names) else set()


def _without(column: ColumnFact, withheld: Iterable[str]) -> ColumnFact:
    left = tuple(origin for origin in column.origins if origin.column not in withheld)
    return column if left == column.origins else column.model_copy(update=_remade(column, left))


def _remade(column: ColumnFact, origins: tuple[Origin, ...]) -> dict[str, object]:
    return {"origins": origins, "making": column.making if origins else None}
