"""Rows counted as cells: which combinations of codes there are, how often, and with which sensitive values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError

Codes = NDArray[np.signedinteger[Any]]
Ints = NDArray[np.int64]

# Below this many possible keys for each row, counting into an array of all keys beats sorting.
_DENSE_FACTOR = 4
_DENSE_LEAST = 1 << 16


@dataclass(frozen=True)
class Groups:
    """Equal rows put together.

    Attributes:
        of_row: Shape (n,), int32: each row's group, numbered from 0 in the order of the codes.
        some: Shape (g,), one row of each group.
        count: Shape (g,), int64: rows, or sum of weights, of each group.
    """

    of_row: NDArray[np.int32]
    some: Codes
    count: Ints


def combine(columns: Sequence[Codes], sizes: Sequence[int]) -> tuple[Ints, int]:
    """Turn several columns of codes into one key a row, in the lexicographic order of the codes.

    Args:
        columns: Each of shape (n,), values from 0 to its size - 1.
        sizes: Number of possible codes of each column.

    Returns:
        Keys of shape (n,), int64, and the number of possible keys, at most 2**62.

    Raises:
        InputError: If the columns differ in length.
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise InputError(f"columns of {' and '.join(map(str, sorted(lengths)))} rows; columns of one table are needed")
    key = columns[0].astype(np.int64)
    space = sizes[0]
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        if space * size >= 1 << 62:
            key = group(key, space).of_row.astype(np.int64)
            space = int(key.max(initial=0)) + 1
        key *= size
        key += column
        space *= size
    return key, space


def group(key: Ints, space: int, weights: Codes | None = None) -> Groups:
    """Put equal keys together.

    Args:
        key: Shape (n,), from 0 to space - 1.
        space: Number of possible keys.
        weights: Shape (n,), how many rows each stands for; 1 by default.
    """
    n = len(key)
    if space <= max(_DENSE_FACTOR * n, _DENSE_LEAST):
        present = np.zeros(max(space, 1), dtype=bool)
        present[key] = True
        number = np.cumsum(present, dtype=np.int32)
        groups = int(number[-1])
        number -= 1
        of_row = number[key]
        del present, number
        some: Codes = np.empty(groups, dtype=np.int32)
        some[of_row] = np.arange(n, dtype=np.int32)
        return Groups(of_row, some, tally(of_row, groups, weights))
    order = np.argsort(key)
    ordered = key[order]
    new = np.empty(n, dtype=bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    del ordered
    of_row = np.empty(n, dtype=np.int32)
    of_row[order] = np.cumsum(new, dtype=np.int32)
    of_row -= 1
    starts = np.flatnonzero(new)
    some = order[starts]
    if weights is None:
        del order, new
        return Groups(of_row, some, np.diff(starts, append=n))
    return Groups(of_row, some, np.add.reduceat(weights[order], starts, dtype=np.int64) if n else starts)


def tally(group_of: Codes, groups: int, weights: Codes | None = None) -> Ints:
    """Count the rows, or sum the weights, of each group; exact below 2**53."""
    if weights is None:
        return np.bincount(group_of, minlength=groups)
    return np.bincount(group_of, weights=weights, minlength=groups).astype(np.int64)


@dataclass(frozen=True)
class Sensitive:
    """How often each sensitive value occurs in each cell; only pairs that occur are held.

    Attributes:
        name: The column.
        cell: Shape (p,), the cell of each pair.
        value: Shape (p,), the code of the sensitive value, in the values' order.
        count: Shape (p,), rows of the pair.
        values: Number m of different values.
        ordered: Whether the values are numbers, whose distance counts in t-closeness.
    """

    name: str
    cell: Codes
    value: Codes
    count: Ints
    values: int
    ordered: bool


@dataclass(frozen=True)
class Cells:
    """A table as counts of its finest combinations of quasi-identifiers; all that a search looks at.

    The sum of such tables over agencies is one again, so that one recoding can be found for all of them.

    Attributes:
        codes: For each of the q quasi-identifiers the code of each of the u cells, shape (u,).
        sizes: Number of possible codes of each quasi-identifier.
        count: Shape (u,), rows of each cell.
        sensitive: The sensitive columns.
    """

    codes: tuple[Codes, ...]
    sizes: tuple[int, ...]
    count: Ints
    sensitive: tuple[Sensitive, ...]

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.count.sum())


@dataclass(frozen=True)
class SensitiveColumn:
    """A sensitive column as codes.

    Attributes:
        name: The column.
        codes: Shape (n,), in the order of the values.
        values: Number of different values.
        ordered: Whether the values are numbers.
    """

    name: str
    codes: Codes
    values: int
    ordered: bool


def count_cells(
    columns: Sequence[Codes], sizes: Sequence[int], sensitive: Sequence[SensitiveColumn] = ()
) -> tuple[Cells, NDArray[np.int32]]:
    """Count a table once on its finest codes.

    Args:
        columns: The quasi-identifiers, each of shape (n,).
        sizes: Number of possible codes of each.
        sensitive: The sensitive columns, each of shape (n,).

    Returns:
        The cells, and each row's cell, shape (n,).
    """
    found = group(*combine(columns, sizes))
    cells = len(found.count)
    pairs = tuple(_pairs(found.of_row, cells, column) for column in sensitive)
    codes = tuple(column[found.some] for column in columns)
    return Cells(codes, tuple(sizes), found.count, pairs), found.of_row


def _pairs(cell: NDArray[np.int32], cells: int, column: SensitiveColumn) -> Sensitive:
    found = group(*combine([cell, column.codes], [cells, column.values]))
    return Sensitive(
        column.name, cell[found.some], column.codes[found.some], found.count, column.values, column.ordered
    )
