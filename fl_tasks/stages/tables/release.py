"""Generalizing an agency's rows to the agreed levels, suppressing those that still stand out, measuring the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import SensitiveColumn
from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.judge import most_suppressed
from fl_tasks.anonymize.lattice import Lattice
from fl_tasks.anonymize.metrics import measure
from fl_tasks.anonymize.nodes import table_cells
from fl_tasks.anonymize.release import Release, by_levels
from fl_tasks.anonymize.table import encode, sensitive
from fl_tasks.contracts.anonymize import PrivacyPolicy, PrivacyReport
from fl_tasks.contracts.errors import ConfigError, DataRejected
from fl_tasks.contracts.table_config import TableColumn, TableConfig
from fl_tasks.data.tables.table import Table, texts

Hierarchies = Mapping[str, Hierarchy]


@dataclass(frozen=True)
class Released:
    """Rows of one table, generalized.

    Attributes:
        table: The n rows that were given, labels in place of the quasi-identifiers' values.
        kept: Shape (n,): rows that are released; the others are suppressed.
        release: Their classes.
        sensitive: The columns that l and t are measured on.
    """

    table: Table
    kept: NDArray[np.bool_]
    release: Release
    sensitive: tuple[SensitiveColumn, ...]

    def report(self, policy: PrivacyPolicy, *, sha256: str) -> PrivacyReport:
        """Measure the released rows, whatever made them, and bind the figures to their file."""
        return measure(self.release, self.sensitive, policy, sha256=sha256)


def generalized(table: Table, levels: Mapping[str, int], hierarchies: Hierarchies, *, where: str) -> Table:
    """Return all rows with the labels of the levels in place of the quasi-identifiers' values.

    Raises:
        ConfigError: If a level is missing or too high.
        ValueNotCovered: If a value is not in its column's hierarchy; the row is named.
    """
    columns: dict[str, NDArray[Any]] = {}
    for name, hierarchy in hierarchies.items():
        level = hierarchy.levels[_level(name, levels, hierarchy)]
        labels = texts(level.labels)
        columns[name] = labels[level.group[encode(hierarchy, table.columns[name], where=where)]]
    return table.replaced(columns)


def release(
    table: Table,
    config: TableConfig,
    levels: Mapping[str, int],
    hierarchies: Hierarchies,
    *,
    where: str,
) -> Released:
    """Generalize the rows, and suppress those of classes that fail the policy.

    Args:
        table: Harmonized rows.
        config: Schema and policy.
        levels: Quasi-identifier -> level.
        hierarchies: Of every quasi-identifier, in the schema's order.
        where: How messages call the table.

    Raises:
        DataRejected: If more rows would have to be suppressed than the policy lets; the message names no count.
        ConfigError: If a level is missing or too high.
        ValueNotCovered: If a value is not in its column's hierarchy; the row is named.
    """
    policy = config.privacy
    assert policy is not None  # the contract holds it where there are quasi-identifiers
    node = tuple(_level(name, levels, hierarchy) for name, hierarchy in hierarchies.items())
    judged = tuple(_sensitive(column, table, where) for column in config.judged)
    # As the survey counted them, so that the levels are judged here by what they were chosen by.
    cells, cell_of_row = table_cells(table.columns, config, hierarchies, where=where)
    outcome = Lattice(cells, tuple(hierarchies.values()), policy).look_at(node)
    if outcome.suppressed > most_suppressed(cells.rows, policy) or not outcome.classes:
        raise DataRejected(
            f"{where}: at the agreed levels more than {policy.suppression:.0%} of the rows would have to be suppressed "
            f"to reach {_limits(policy)}; deliver more rows, or let the scenario coarsen its hierarchies or lower its "
            "limits. The agency is left out of this run"
        )
    found = by_levels(cells, cell_of_row, tuple(hierarchies.values()), outcome)
    return Released(generalized(table, levels, hierarchies, where=where), found.kept, found, judged)


def require_policy(report: PrivacyReport, where: str) -> None:
    """Refuse a release that misses its policy, as measured; raises DataRejected naming the limits."""
    missed = report.short_of()
    if missed:
        raise DataRejected(
            f"{where}: the release misses the policy in {', '.join(missed)}. The agency is left out of this run"
        )


def _level(name: str, levels: Mapping[str, int], hierarchy: Hierarchy) -> int:
    level = levels.get(name)
    if level is None or not 0 <= level < len(hierarchy.levels):
        raise ConfigError(
            f"column {name!r}: level {level} was agreed on, the hierarchy has levels 0 to {len(hierarchy.levels) - 1}; "
            "bring the hierarchies to the same version everywhere"
        )
    return level


def _sensitive(column: TableColumn, table: Table, where: str) -> SensitiveColumn:
    values = table.columns[column.column]
    if values.dtype != object:
        assert column.minimum is not None  # the contract holds it of numbers
        # What is missing is a value of its own, before all others in their order.
        values = np.where(np.isnan(values), column.minimum - 1.0, values)
    return sensitive(column.column, values, column.kind, where=where)


def _limits(policy: PrivacyPolicy) -> str:
    wanted = [f"k = {policy.k}"]
    if policy.l > 1:
        wanted.append(f"l = {policy.l} ({policy.diversity})")
    if policy.t < 1.0:
        wanted.append(f"t = {policy.t:g}")
    return ", ".join(wanted)
