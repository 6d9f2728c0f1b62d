"""Which delivered columns an agency's table gives for which columns of the scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.table_config import TableColumn, TableConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.contracts.units import conversion

Fate = Literal["drop", "hash"]

PLACE = "read_from"
"""Column of a quarantine file: the file and line, or the table and row, that a rejected row was read from."""

SPLIT = "split_place"
"""Column of deidentified.parquet that decides a row's part: from 0 to below 1, the same for all rows of a key."""

_RESERVED = frozenset({PLACE, SPLIT, "quarantine_reason"})


@dataclass(frozen=True)
class Declared:
    """A scenario's schema and an agency's source, checked against each other.

    Attributes:
        config: The scenario's table.
        source: The agency's.
        delivered: The scenario's column -> column as delivered.
        scoring: Whether rows are read to be scored: then the target need not be known.
    """

    config: TableConfig
    source: TableSource
    delivered: Mapping[str, str]
    scoring: bool = False

    @cached_property
    def columns(self) -> tuple[TableColumn, ...]:
        """The scenario's columns that are kept of a row: all but direct identifiers."""
        kept = (column for column in self.config.columns if column.role != "direct_identifier")
        return tuple(column for column in kept if not (self.scoring and column.role == "target"))

    @cached_property
    def identifiers(self) -> dict[str, Fate]:
        """Direct identifiers and what becomes of them: the scenario's by its name, the agency's further ones as named.

        None of them needs to be there.
        """
        found: dict[str, Fate] = {
            column.column: column.treatment for column in self.config.of("direct_identifier") if column.treatment
        }
        return {**found, **self.source.identifiers}

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Delivered columns that have to be there."""
        found = [self.delivered[column.column] for column in self.columns]
        return tuple(dict.fromkeys([*found, *([] if self.source.as_of is None else [self.source.as_of])]))

    @cached_property
    def welcome(self) -> tuple[str, ...]:
        """Delivered columns that are read if they are there."""
        return tuple(self.delivered.get(name, name) for name in self.identifiers)

    @cached_property
    def merges(self) -> bool:
        """Whether rows that are alike in all that is read may be one row delivered twice."""
        declared = self.source.merge_duplicates
        return bool(self.identifiers or self.config.of("key")) if declared is None else declared

    def factor(self, column: TableColumn) -> float:
        """Return what a delivered number is multiplied by."""
        delivered = self.source.units.get(column.column)
        return 1.0 if delivered is None or column.unit is None else conversion(delivered, column.unit)


def declare(config: TableConfig, source: TableSource, *, scoring: bool = False) -> Declared:
    """Check an agency's declaration against the scenario's schema.

    Raises:
        ConfigError: If it names a column that the scenario has not, gives values or a unit where there are none, or
            two roles to one delivered column.
    """
    known = {column.column: column for column in config.columns}
    named = {
        "columns": source.columns.values(),
        "values": source.values,
        "units": source.units,
    }
    for field, columns in named.items():
        for column in columns:
            if column not in known:
                raise ConfigError(
                    f"field {field}: column {column!r} is not in the scenario's schema, which has "
                    f"{', '.join(map(repr, known))}"
                )
    for name in (*known, *source.identifiers):
        if name in _RESERVED:
            raise ConfigError(f"column {name!r}: the name is taken by the data stages; use another one")
    renamed = {column: delivered for delivered, column in source.columns.items()}
    delivered = {column: renamed.get(column, column) for column in known}
    for column, name in delivered.items():
        if name in source.identifiers:
            raise ConfigError(
                f"field identifiers: {name!r} is column {column!r} of the scenario already; a column has one role"
            )
    for name, unit in source.units.items():
        if known[name].kind != "numeric" or known[name].unit is None:
            raise ConfigError(f"field units: column {name!r} is measured in no unit, got {unit!r}; take it out")
        conversion(unit, str(known[name].unit))
    for name, texts in source.values.items():
        values = known[name].values
        unknown = set(texts.values()) - set(values or ()) if values is not None else set()
        if unknown and known[name].role != "target":
            raise ConfigError(
                f"field values.{name}: {len(unknown)} of the texts given there are none of the scenario's values; "
                f"they are {', '.join(map(repr, values or ()))}"
            )
    return Declared(config, source, delivered, scoring)
