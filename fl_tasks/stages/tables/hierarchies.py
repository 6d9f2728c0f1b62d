"""The hierarchies of a scenario's quasi-identifiers, the same at every agency and at the coordinator."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pydantic import JsonValue

from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.hierarchy_files import load_hierarchy
from fl_tasks.anonymize.rules import Rule
from fl_tasks.contracts.anonymize import DateHierarchy, HierarchyFile
from fl_tasks.contracts.base import sha256_file
from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.table_config import TableColumn, TableConfig
from fl_tasks.data.tables.harmonize import Dates, Domain


def hierarchies_folder(federation: Path, scenario: str) -> Path:
    """Where a scenario's hierarchy files lie."""
    return federation / "hierarchies" / scenario


def hierarchy_digests(folder: Path, config: TableConfig) -> dict[str, JsonValue]:
    """Return name -> SHA-256 of the files that the columns name."""
    named = [str(column.hierarchy) for column in config.of("quasi_identifier")]
    return {name: sha256_file(folder / name) for name in named}


def load_hierarchies(folder: Path, config: TableConfig) -> dict[str, Hierarchy]:
    """Read the hierarchy of every quasi-identifier, in the schema's order.

    The domain is the declared one, not what an agency happens to have: `values`, the whole numbers from `minimum` to
    `maximum`, every day between `first` and `last`, or what the file itself lists.

    Args:
        folder: With the files that the columns name (hierarchies_folder).
        config: The schema.

    Raises:
        HierarchyInvalid: If a file is missing or malformed; with file, line and column.
        ConfigError: If a column has no hierarchy, or may be missing, or its values and its file differ.
        ValueNotCovered: If a rule does not fit a declared value.
    """
    return {column.column: _load(folder, column) for column in config.of("quasi_identifier")}


def load_domains(folder: Path, config: TableConfig) -> dict[str, Domain]:
    """Return what each categorical column may hold: what its hierarchy covers, the classes of the target, or `values`.

    Args:
        folder: With the hierarchy files.
        config: The schema.

    Raises:
        HierarchyInvalid, ConfigError, ValueNotCovered: As load_hierarchies.
    """
    hierarchies = load_hierarchies(folder, config)
    found = {}
    for column in config.of("quasi_identifier", "sensitive", "feature", "target"):
        if column.role == "quasi_identifier":
            rule = _rule(folder / str(column.hierarchy))
            dates = Dates(rule.format) if isinstance(rule, DateHierarchy) else None
            found[column.column] = Domain(hierarchies[column.column].code_of, dates)
        elif column.role == "target":
            found[column.column] = Domain(config.classes)
        elif column.kind == "categorical":
            found[column.column] = Domain(column.values or ())
    return found


def _load(folder: Path, column: TableColumn) -> Hierarchy:
    name = column.column
    if column.hierarchy is None:
        raise ConfigError(f"column {name!r}: a quasi_identifier needs a hierarchy; name its file")
    if column.optional:
        raise ConfigError(
            f"column {name!r}: a quasi_identifier cannot be optional; give what is missing a value of its own, in the "
            "hierarchy and under values in the agencies' YAML"
        )
    path = folder / column.hierarchy
    domain = _domain(path, column)
    found = load_hierarchy(path, name, domain, encoding=column.encoding)
    uncovered = [place for place, value in enumerate(domain, start=1) if value not in found.code_of]
    if uncovered:
        raise ConfigError(
            f"{path.name}: column {name!r}: declared value {uncovered[0]} of {len(domain)} is not in the hierarchy; "
            "add it there"
        )
    return found


def _domain(path: Path, column: TableColumn) -> list[str]:
    if column.values is not None:
        return list(column.values)
    if column.kind == "numeric":
        assert column.minimum is not None  # the contract holds it
        assert column.maximum is not None
        return [str(number) for number in range(int(column.minimum), int(column.maximum) + 1)]
    rule = _rule(path)
    if isinstance(rule, DateHierarchy):
        days = (rule.last - rule.first).days + 1
        return [(rule.first + dt.timedelta(days=day)).strftime(rule.format) for day in range(days)]
    return []


def _rule(path: Path) -> Rule | None:
    """Return the rule of a YAML file; None of a table."""
    return load_yaml(path, HierarchyFile).hierarchy if path.suffix in {".yaml", ".yml"} and path.exists() else None
