"""Taking direct identifiers out of a table's rows, and giving each row its place in the split."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import canonical_json
from fl_tasks.contracts.source import IdentifierKind
from fl_tasks.data.pseudonymize import masked, pseudonyms
from fl_tasks.data.tables.declaration import PLACE, SPLIT, Declared
from fl_tasks.data.tables.read import as_text
from fl_tasks.data.tables.table import Table, texts

_PLACES = 2.0**-53


def without_identifiers(table: Table, declared: Declared, key: bytes) -> Table:
    """Return harmonized rows with keyed hashes in place of the identifiers that are kept, and of the key.

    A dropped identifier is not there any more; all other columns hold what the schema knows.

    Args:
        table: As ingest left it.
        declared: Whose identifiers.
        key: Of the run (pseudonymize.run_key).
    """
    hashed = {name: _hashed(table, name, declared, key) for name in _to_hash(table, declared)}
    return table.replaced(hashed)


def rejected_without_identifiers(table: Table, declared: Declared, key: bytes) -> Table:
    """Return rejected rows with keyed hashes as above, and every identifier amid their other texts masked.

    A rejected cell can hold anything: a column may have been shifted by one. Names cannot be found, and stay.
    """
    hashed = {name: _hashed(table, name, declared, key) for name in _to_hash(table, declared)}
    others = {
        name: texts(masked(values.tolist(), key))
        for name, values in table.columns.items()
        if name not in hashed and name != PLACE
    }
    return table.replaced({**others, **hashed})


def split_secret(secret: bytes, scenario: str) -> bytes:
    """Derive what the split of a scenario is decided by: the same in all of an agency's runs, nobody else's."""
    return hmac.digest(secret, canonical_json(["huiliu/split/1", scenario]), "sha256")


def split_places(table: Table, declared: Declared, secret: bytes) -> NDArray[np.float64]:
    """Return each row's place in the split, from 0 to below 1, by keyed hash of its key or, without one, of the row.

    Rows of one key, and rows that are alike, have one place.

    Args:
        table: As ingest left it: before anything is hashed with a run's key.
        declared: Whose key.
        secret: split_secret(...).
    """
    keys = declared.config.of("key")
    if keys:
        contents: Sequence[str] = table.columns[keys[0].column].tolist()
    else:
        contents = [repr(row) for row in zip(*(values.tolist() for values in table.columns.values()), strict=True)]
    place_of = {content: _place(content, secret) for content in set(contents)}
    return np.array([place_of[content] for content in contents], dtype=np.float64)


def with_places(table: Table, places: NDArray[np.float64]) -> Table:
    """Return the table with its rows' places in the split."""
    return table.replaced({SPLIT: places})


def as_rejected(table: Table, columns: Sequence[str]) -> Table:
    """Return rows as texts in the columns of a quarantine file, to stand below rejected ones.

    Args:
        table: De-identified rows.
        columns: Of the quarantine file; one that the table has not is empty.
    """
    empty = texts([""] * len(table))
    found: dict[str, NDArray[Any]] = {}
    for name in columns:
        values = table.columns.get(name)
        found[name] = empty if values is None else texts([as_text(value) for value in values.tolist()])
    return Table(found)


def _to_hash(table: Table, declared: Declared) -> list[str]:
    keys = [column.column for column in declared.config.of("key")]
    hashed = [name for name, fate in declared.identifiers.items() if fate == "hash"]
    return [name for name in (*keys, *hashed) if name in table.columns]


def _hashed(table: Table, name: str, declared: Declared, key: bytes) -> NDArray[Any]:
    kind: IdentifierKind | None = declared.source.identifier_kinds.get(name)
    return texts(pseudonyms(table.columns[name].tolist(), key, kind))


def _place(content: str, secret: bytes) -> float:
    digest = hmac.digest(secret, content.encode(), "sha256")
    return (int.from_bytes(digest[:8], "big") >> 11) * _PLACES
