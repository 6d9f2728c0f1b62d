"""The columns of an agency's table from delivery to examples, for lineage: those of the scenario's schema."""

from __future__ import annotations

from collections.abc import Mapping

from fl_tasks.contracts.lineage import ColumnFact, ColumnType
from fl_tasks.contracts.table_config import TableColumn, TableConfig
from fl_tasks.data.tables.declaration import SPLIT, Declared
from fl_tasks.stages.lineage import made

FEATURES = "x"


def delivered(declared: Declared) -> list[ColumnFact]:
    """Return the columns that an agency's declaration names, as they are delivered."""
    found = [ColumnFact(name=declared.delivered[column.column], type=_type(column)) for column in declared.columns]
    if declared.source.as_of is not None:
        found.append(ColumnFact(name=declared.source.as_of, type="timestamp"))
    found += [ColumnFact(name=name, type="text") for name in declared.welcome]
    return list({column.name: column for column in found}.values())


def raw(declared: Declared, identifiers: Mapping[str, str]) -> list[ColumnFact]:
    """Return the columns of raw.parquet; `identifiers` that were delivered, each dropped or hashed later."""
    renamed = declared.source.values.keys() | declared.source.units.keys()
    found = [
        made(
            column.column,
            _type(column),
            "encoded" if column.column in renamed else "identity",
            declared.delivered[column.column],
        )
        for column in declared.columns
    ]
    return found + _identifiers(declared, identifiers)


def rejected(declared: Declared, identifiers: Mapping[str, str]) -> list[ColumnFact]:
    """Return the columns of rejected.parquet, as they came: all are texts."""
    found = [made(column.column, "text", "identity", declared.delivered[column.column]) for column in declared.columns]
    return found + _identifiers(declared, identifiers)


def deidentified(
    declared: Declared, identifiers: Mapping[str, str], levels: Mapping[str, int], *, released: bool
) -> list[ColumnFact]:
    """Return the columns of deidentified.parquet.

    Args:
        declared: Schema and source.
        identifiers: That were delivered, each dropped or hashed.
        levels: Quasi-identifier -> level that it was generalized to, 0 as it came.
        released: Whether rows were released by the privacy policy, without their key.
    """
    found = []
    for column in declared.columns:
        name, role = column.column, column.role
        if role == "key":
            found += [] if released else [made(name, "text", "masked", name)]
        elif role == "quasi_identifier":
            found.append(made(name, "text", "generalized" if levels.get(name) else "identity", name))
        else:
            found.append(made(name, _type(column), "identity", name))
    found += [made(name, "text", "masked", name) for name in _hashed(identifiers)]
    keys = [column.column for column in declared.config.of("key")]
    return [*found, made(SPLIT, "number", "masked", *(keys or [column.column for column in declared.columns]))]


def quarantined(columns: list[ColumnFact]) -> list[ColumnFact]:
    """Return the columns of quarantine.parquet: those of rejected.parquet, what points at a person masked."""
    return [made(column.name, "text", "masked", column.name, of=1) for column in columns]


def features(config: TableConfig) -> list[ColumnFact]:
    """Return the array that the model sees."""
    return [made(FEATURES, "number", "encoded", *(column.column for column in config.columns if column.seen))]


def examples(config: TableConfig, *, test: bool) -> list[ColumnFact]:
    """Return the arrays of the examples, made of the released rows and, second, of their features."""
    found = [made(FEATURES, "number", "identity", FEATURES, of=1), made("y", "number", "encoded", config.target.column)]
    if test and config.protected is not None:
        found.append(made("group", "number", "encoded", config.protected))
    return found


def scores(names: list[str], *, of: int) -> list[ColumnFact]:
    """Return the columns of scores: pseudonyms and, of the features, one probability a class.

    Args:
        names: Columns of pseudonyms.
        of: The features' place among the inputs; the de-identified rows come right after them.
    """
    found = [made(name, "text", "identity", name, of=of + 1) for name in names]
    return [*found, made("probability", "number", "encoded", FEATURES, of=of)]


def _identifiers(declared: Declared, identifiers: Mapping[str, str]) -> list[ColumnFact]:
    return [made(name, "text", "identity", declared.delivered.get(name, name)) for name in _hashed(identifiers)]


def _hashed(identifiers: Mapping[str, str]) -> list[str]:
    return [name for name, how in identifiers.items() if how == "hash"]


def _type(column: TableColumn) -> ColumnType:
    return "number" if column.kind == "numeric" else "text"
