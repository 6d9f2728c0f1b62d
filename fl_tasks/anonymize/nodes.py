"""One recoding for all agencies: what each agency counts of every node of the lattice, and the node that is best.

A joint table of the agencies' cells would show the coordinator single rare combinations of the whole federation. So
each agency looks at every node itself, on its own rows, and gives three numbers of it, which are summed:

- rows that it would have to suppress there to reach k, l and t,
- its loss: normalized certainty penalty times rows, a suppressed row counted as 1 (in steps of 1 / LOSS_STEPS),
- 1 if it would have to suppress more than the policy lets it, else 0.

k, l and t have to hold at each agency by itself, and that is what is counted; a table of the whole federation would
say nothing of it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Cells, count_cells
from fl_tasks.anonymize.errors import LatticeTooLarge, NoRecoding
from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.judge import most_suppressed
from fl_tasks.anonymize.lattice import Lattice, Levels
from fl_tasks.anonymize.table import Values, encode, sensitive
from fl_tasks.contracts.anonymize import PrivacyPolicy
from fl_tasks.contracts.base import canonical_json
from fl_tasks.contracts.survey import LOSS_STEPS, MOST_NODES
from fl_tasks.contracts.table_config import TableColumn, TableConfig

NUMBERS = 3
"""Numbers of each node."""


def hierarchy_sha256(hierarchy: Hierarchy) -> str:
    """Return the hash of all that a survey depends on in a hierarchy, 64 hexadecimal digits."""
    levels = [[level.group.tolist(), list(level.labels), level.loss.tolist()] for level in hierarchy.levels]
    return hashlib.sha256(canonical_json([list(hierarchy.values), levels])).hexdigest()


def lattice_shape(hierarchies: Mapping[str, Hierarchy]) -> tuple[int, ...]:
    """Return the number of levels of each quasi-identifier.

    Raises:
        LatticeTooLarge: If they have more combinations than a survey sums.
    """
    shape = tuple(len(hierarchy.levels) for hierarchy in hierarchies.values())
    nodes = int(np.prod(shape, dtype=object))
    if nodes > MOST_NODES:
        raise LatticeTooLarge(
            f"the hierarchies of {', '.join(map(repr, hierarchies))} have {nodes} combinations of levels, a survey "
            f"sums at most {MOST_NODES}; merge levels or generalize fewer columns"
        )
    return shape


def table_cells(
    columns: Mapping[str, Values], config: TableConfig, hierarchies: Mapping[str, Hierarchy], *, where: str = "data"
) -> tuple[Cells, NDArray[np.int32]]:
    """Count an agency's rows on their finest quasi-identifiers, and each cell's sensitive values.

    Args:
        columns: Column -> shape (n,), as they came.
        config: The schema.
        hierarchies: Of every quasi-identifier, in the schema's order.
        where: How messages call the table.

    Returns:
        The cells, and each row's cell, shape (n,).

    Raises:
        ValueNotCovered: If a quasi-identifier's value is not in its hierarchy; the row is named.
    """
    codes = [encode(hierarchy, columns[name], where=where) for name, hierarchy in hierarchies.items()]
    sizes = [len(hierarchy.values) for hierarchy in hierarchies.values()]
    judged = [sensitive(one.column, _known(columns[one.column], one), one.kind, where=where) for one in config.judged]
    return count_cells(codes, sizes, judged)


def _known(values: Values, column: TableColumn) -> Values:
    """Give a missing number a value of its own, before all others in their order."""
    if column.kind != "numeric" or column.minimum is None:
        return values
    return np.where(np.isnan(values), column.minimum - 1.0, values)


def count_nodes(cells: Cells, hierarchies: Sequence[Hierarchy], policy: PrivacyPolicy) -> list[int]:
    """Look at every node with an agency's own cells.

    Returns:
        Three numbers a node (suppressed, loss, exceeds), nodes in the order of their levels, the last level fastest.
    """
    lattice, limit = Lattice(cells, hierarchies, policy), most_suppressed(cells.rows, policy)
    numbers: list[int] = []
    for node in itertools.product(*(range(len(hierarchy.levels)) for hierarchy in hierarchies)):
        outcome = lattice.look_at(node)
        exceeds = outcome.suppressed > limit or not outcome.classes
        numbers += [outcome.suppressed, round(outcome.loss * cells.rows * LOSS_STEPS), int(exceeds)]
    return numbers


@dataclass(frozen=True)
class Chosen:
    """The recoding that the sums lead to.

    Attributes:
        levels: The level of each quasi-identifier.
        kept: Whether they are those in force, which still hold.
    """

    levels: Levels
    kept: bool


def choose_node(
    numbers: Sequence[int], shape: Sequence[int], agencies: int, policy: PrivacyPolicy, in_force: Levels | None = None
) -> Chosen:
    """Choose from the sums over agencies the node of least loss at which no agency exceeds the suppression limit.

    Of nodes that lose the same the one that suppresses fewer rows, then the one of lower levels. The same means: to
    half a step of each agency, by which their losses were rounded.

    Args:
        numbers: Sums of count_nodes' results.
        shape: Levels of each quasi-identifier.
        agencies: In the sums.
        policy: Named if there is no such node.
        in_force: The champion's levels: they stay while no agency exceeds there, so that models stay comparable.

    Raises:
        NoRecoding: If at every node some agency exceeds the limit.
    """
    suppressed, loss, exceeding = (np.array(numbers[at::NUMBERS], dtype=object) for at in range(NUMBERS))
    if (
        in_force is not None
        and _inside(in_force, shape)
        and exceeding[np.ravel_multi_index(in_force, tuple(shape))] == 0
    ):
        return Chosen(in_force, kept=True)
    possible = np.flatnonzero(exceeding == 0)
    if not len(possible):
        raise NoRecoding(
            f"no levels of the {len(shape)} quasi-identifiers reach {policy_text(policy)} at all {agencies} agencies: "
            f"at the best of {len(loss)} combinations {int(exceeding.min())} of them would have to suppress more; "
            "lower the limits, let more rows be suppressed, or give the hierarchies coarser levels"
        )
    alike = possible[loss[possible] <= loss[possible].min() + agencies]
    best = min(alike.tolist(), key=lambda node: (suppressed[node], node))
    return Chosen(tuple(int(level) for level in np.unravel_index(best, tuple(shape))), kept=False)


def policy_text(policy: PrivacyPolicy) -> str:
    """Return a policy in words."""
    parts = [f"k = {policy.k}"]
    if policy.l > 1:
        parts.append(f"{policy.diversity} l = {policy.l}")
    if policy.t < 1.0:
        parts.append(f"t = {policy.t:g}")
    return f"{', '.join(parts)} with at most {100 * policy.suppression:g} % of the rows suppressed"


def _inside(levels: Levels, shape: Sequence[int]) -> bool:
    return len(levels) == len(shape) and all(0 <= level < most for level, most in zip(levels, shape, strict=True))
