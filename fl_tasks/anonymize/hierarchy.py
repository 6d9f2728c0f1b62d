"""A generalization hierarchy over the values of one column, as integer maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.errors import HierarchyInvalid

TOP = "*"


@dataclass(frozen=True)
class Level:
    """One level of a hierarchy.

    Attributes:
        group: Shape (m,), int32: the group of each of the column's m values, numbered from 0 in the values' order.
        labels: What a release writes for each group.
        loss: Shape (groups,), normalized certainty penalty of each group, from 0 (one value) to 1 (the whole domain).
    """

    group: NDArray[np.int32]
    labels: tuple[str, ...]
    loss: NDArray[np.float64]


@dataclass(frozen=True)
class Hierarchy:
    """The values of a column and their generalizations; level 0 is the value itself, the last one is `*` for all.

    Attributes:
        column: The column's name.
        values: The m values that it covers, as text; a value's code is its place here.
        levels: From level 0 up, each a coarsening of the one before.
    """

    column: str
    values: tuple[str, ...]
    levels: tuple[Level, ...]

    @cached_property
    def code_of(self) -> dict[str, int]:
        """The code of each value."""
        return {value: code for code, value in enumerate(self.values)}

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """Shape (m,): each value's place when relatives stand side by side, so that a cut keeps families whole."""
        order = np.lexsort([level.group for level in self.levels])
        rank = np.empty(len(self.values), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return rank


def build(
    column: str,
    levels: Sequence[Sequence[str]],
    *,
    where: str,
    places: Sequence[str] | None = None,
    widths: Sequence[NDArray[np.float64]] | None = None,
) -> Hierarchy:
    """Check a table of generalizations and turn it into integer maps.

    Args:
        column: The column's name.
        levels: For each level from 0 up, the label of each of the m values; level 0 are the values themselves.
        where: How messages call the hierarchy, a file name.
        places: How messages call the m values; `value 1`, `value 2` ... by default.
        widths: For each level the loss of each of the m values, from 0 to 1. By default (group size - 1) / (m - 1).

    Raises:
        HierarchyInvalid: If it is empty, a value is there twice or empty, a group has two parents, or the last
            level is not one group.
    """
    places = places if places is not None else [f"value {place}" for place in range(1, len(levels[0]) + 1)]
    values = tuple(levels[0])
    if not values:
        raise HierarchyInvalid(f"{where}: column {column!r}: no values; one line a value is needed")
    built = [_level(labels, None if widths is None else widths[number]) for number, labels in enumerate(levels)]
    if len(built[0].labels) != len(values):
        first, second = _repeated(built[0].group)
        raise HierarchyInvalid(
            f"{where}: {places[second]}: column {column!r}: its value is at {places[first]} already; keep one of them"
        )
    for number, labels in enumerate(levels):
        for place, label in zip(places, labels, strict=True):
            if not label:
                raise HierarchyInvalid(f"{where}: {place}: column {column!r}: level {number} is empty; name its group")
    for number in range(1, len(built)):
        _check_coarser(column, built[number - 1], built[number], number, where, places)
    if len(built[-1].labels) != 1:
        raise HierarchyInvalid(
            f"{where}: column {column!r}: its last level {len(built) - 1} has {len(built[-1].labels)} groups, one is "
            f"needed; add a last level {TOP!r}"
        )
    return Hierarchy(column, values, tuple(built))


def _level(labels: Sequence[str], widths: NDArray[np.float64] | None) -> Level:
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int32)
    if widths is None:
        loss = (np.bincount(group) - 1) / max(len(group) - 1, 1)
    else:
        loss = np.zeros(len(numbers))
        loss[group] = widths
    return Level(group, tuple(numbers), loss)


def _repeated(group: NDArray[np.int32]) -> tuple[int, int]:
    """Return the places of the first two values of one group."""
    _, first = np.unique(group, return_index=True)
    second = int(np.setdiff1d(np.arange(len(group)), first)[0])
    return int(np.flatnonzero(group == group[second])[0]), second


def _check_coarser(column: str, finer: Level, coarser: Level, number: int, where: str, places: Sequence[str]) -> None:
    _, first = np.unique(finer.group, return_index=True)
    wrong = np.flatnonzero(coarser.group != coarser.group[first][finer.group])
    if len(wrong):
        second = int(wrong[0])
        raise HierarchyInvalid(
            f"{where}: {places[second]}: column {column!r}: its group at level {number - 1} has another parent at "
            f"level {number} than at {places[int(first[finer.group[second]])]}; a group has one parent"
        )
