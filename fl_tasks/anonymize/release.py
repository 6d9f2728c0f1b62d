"""A de-identified table: the class of each row, and what is written for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Cells, Codes, combine, group
from fl_tasks.anonymize.diversity import Floats
from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.lattice import Outcome
from fl_tasks.anonymize.table import OrderedColumn

SUPPRESSED = -1


@dataclass(frozen=True)
class ReleasedColumn:
    """One generalized column.

    Attributes:
        name: The column.
        code: Shape (c,), for each class the place of its text.
        texts: What can stand in the column.
    """

    name: str
    code: NDArray[np.int32]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """A table whose rows of one class are alike in every quasi-identifier.

    Attributes:
        method: How it was made.
        columns: The quasi-identifiers, generalized.
        class_of_row: Shape (n,), int32: from 0 to c - 1, or -1 for a suppressed row.
        loss: Shape (c,): normalized certainty penalty of a row of each class, from 0 to 1.
        levels: The level of each quasi-identifier, where all rows share it.
    """

    method: Literal["lattice", "mondrian"]
    columns: tuple[ReleasedColumn, ...]
    class_of_row: NDArray[np.int32]
    loss: NDArray[np.float64]
    levels: tuple[int, ...] | None = None

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Shape (n,): whether each row is released."""
        kept: NDArray[np.bool_] = self.class_of_row != SUPPRESSED
        return kept

    def texts(self, name: str) -> NDArray[Any]:
        """Return a column as it is released, without the suppressed rows: shape (rows kept,), of str.

        Raises:
            KeyError: If no quasi-identifier has that name.
        """
        column = next((column for column in self.columns if column.name == name), None)
        if column is None:
            raise KeyError(name)
        of_class = np.array(column.texts, dtype=object)[column.code]
        found: NDArray[Any] = of_class[self.class_of_row[self.kept]]
        return found


def by_levels(
    cells: Cells, cell_of_row: NDArray[np.int32], hierarchies: Sequence[Hierarchy], outcome: Outcome
) -> Release:
    """Apply the levels of a lattice search to the rows that were counted.

    Args:
        cells: As searched; a recoding found over several agencies is looked at again on this agency's own cells first.
        cell_of_row: Shape (n,), as count_cells returned it.
        hierarchies: One for each quasi-identifier.
        outcome: The node, looked at on these cells.
    """
    chosen = [hierarchy.levels[level] for hierarchy, level in zip(hierarchies, outcome.levels, strict=True)]
    codes = [level.group[column] for level, column in zip(chosen, cells.codes, strict=True)]
    kept = np.flatnonzero(outcome.cell_kept)
    classes = group(*combine([code[kept] for code in codes], [len(level.labels) for level in chosen]))
    class_of_cell = np.full(len(cells.count), SUPPRESSED, dtype=np.int32)
    class_of_cell[kept] = classes.of_row
    first = kept[classes.some]
    columns = tuple(
        ReleasedColumn(hierarchy.column, code[first], level.labels)
        for hierarchy, code, level in zip(hierarchies, codes, chosen, strict=True)
    )
    loss = np.mean([level.loss[code[first]] for level, code in zip(chosen, codes, strict=True)], axis=0)
    return Release("lattice", columns, class_of_cell[cell_of_row], loss, outcome.levels)


def written_as_intervals(column: OrderedColumn, low: Codes, high: Codes) -> tuple[ReleasedColumn, Floats]:
    """Write each class as [smallest, largest], both inside; a single value as itself.

    Args:
        column: A numeric one.
        low, high: Shape (c,), smallest and largest code of each class.

    Returns:
        The column, and the loss of each class in it, shape (c,).
    """
    found = group(*combine([low, high], [len(column.values), len(column.values)]))
    texts = [
        column.text(one) if one == other else f"[{column.text(one)}, {column.text(other)}]"
        for one, other in zip(low[found.some].tolist(), high[found.some].tolist(), strict=True)
    ]
    lost = (column.position[high] - column.position[low]) / column.span
    return ReleasedColumn(column.name, found.of_row, tuple(texts)), lost


def written_as_sets(
    column: OrderedColumn, classes: int, class_of_unit: Codes, codes: Codes
) -> tuple[ReleasedColumn, Floats]:
    """Write each class as the set of its values, like {a, b}; a single value as itself.

    Args:
        column: A categorical one.
        classes: Number c of classes, each of which has a unit.
        class_of_unit: Shape (u,).
        codes: Shape (u,), the units' codes in the column.

    Returns:
        The column, and the loss of each class in it, shape (c,).
    """
    key, space = combine([class_of_unit, codes], [classes, len(column.values)])
    cls, code = np.divmod(key[group(key, space).some], len(column.values))
    starts = np.flatnonzero(np.diff(cls, prepend=-1))
    ends = np.append(starts[1:], len(cls))
    members = code.tolist()
    number: dict[tuple[int, ...], int] = {}
    of_class = [
        number.setdefault(tuple(members[start:end]), len(number))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    texts = [
        column.text(codes[0]) if len(codes) == 1 else "{" + ", ".join(column.text(one) for one in codes) + "}"
        for codes in number
    ]
    lost = (ends - starts - 1) / max(len(column.values) - 1, 1)
    return ReleasedColumn(column.name, np.array(of_class, dtype=np.int32), tuple(texts)), lost
