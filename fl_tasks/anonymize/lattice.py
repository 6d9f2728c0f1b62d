"""Full-domain generalization: the one combination of levels that loses least, found exactly.

Every quasi-identifier gets one level for all rows; a node of the lattice is one level each. The loss of a node is the
normalized certainty penalty averaged over rows and quasi-identifiers, a suppressed row counted as 1.

Exactness rests on three facts. A node's loss is never below the penalty of its levels alone, which the frequencies of
each column give without looking at classes. Rows that fail k or distinct l at a node fail at every finer one, so a
node with too many rules out all below it (predictive tagging) and those rows raise the bound of all below it. What is
left is looked at itself, entropy and t included, which know no such order.

Sources: Samarati 2001, https://doi.org/10.1109/69.971193; LeFevre, DeWitt, Ramakrishnan 2005 (Incognito),
https://doi.org/10.1145/1066157.1066164.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Cells, combine, group
from fl_tasks.anonymize.diversity import spread
from fl_tasks.anonymize.errors import LatticeTooLarge, PolicyUnreachable
from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.anonymize.judge import judge, most_suppressed
from fl_tasks.contracts.anonymize import PrivacyPolicy

MOST_NODES = 1 << 20
_EPSILON = 1e-12

Levels = tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What one node gives.

    Attributes:
        levels: The level of each quasi-identifier.
        loss: From 0 to 1; a suppressed row counts as 1.
        suppressed: Rows.
        classes: Classes that are left.
        cell_kept: Shape (u,): whether each cell's rows are released.
        floor: Rows that fail k or distinct l, as they do at every finer node.
        penalty: By how much those rows raise the loss of every finer node at least.
    """

    levels: Levels
    loss: float
    suppressed: int
    classes: int
    cell_kept: NDArray[np.bool_]
    floor: int
    penalty: float


@dataclass(frozen=True)
class Found:
    """The optimum, and how much of the lattice was looked at to be sure.

    Attributes:
        outcome: The node of least loss.
        nodes: Nodes of the lattice.
        looked_at: Nodes whose classes were counted.
    """

    outcome: Outcome
    nodes: int
    looked_at: int


def search(cells: Cells, hierarchies: Sequence[Hierarchy], policy: PrivacyPolicy) -> Found:
    """Find the node of least loss that reaches k, l and t within the suppression limit.

    Args:
        cells: Of u cells; of one agency, or summed over all that share the recoding.
        hierarchies: One for each quasi-identifier, in the cells' order.
        policy: Limits to reach.

    Returns:
        The exact optimum. Of nodes that lose the same (to 1e-12) the one that suppresses fewer rows, then the one
        of lower levels.

    Raises:
        PolicyUnreachable: If no node reaches the policy, or there are fewer than k rows.
        LatticeTooLarge: If there are more than 2**20 nodes.
    """
    shape = tuple(len(hierarchy.levels) for hierarchy in hierarchies)
    if math.prod(shape) > MOST_NODES:
        raise LatticeTooLarge(
            f"the hierarchies have {math.prod(shape)} combinations of levels, at most {MOST_NODES} are searched; "
            "merge levels or generalize fewer columns"
        )
    lattice = Lattice(cells, hierarchies, policy)
    limit = most_suppressed(cells.rows, policy)
    bound = lattice.least_losses()
    open_ = np.ones(shape, dtype=bool)
    best: Outcome | None = None
    looked_at = 0
    while open_.any():
        node = _next(open_, bound)
        outcome = lattice.look_at(node)
        looked_at += 1
        open_[node] = False
        below = tuple(slice(0, level + 1) for level in node)
        if outcome.floor > limit:
            open_[below] = False
        else:
            np.maximum(bound[below], lattice.least_losses(below) + outcome.penalty, out=bound[below])
        if outcome.suppressed <= limit and outcome.classes and (best is None or _better(outcome, best)):
            best = outcome
        if best is not None:
            open_ &= bound <= best.loss + _EPSILON
    if best is None:
        raise PolicyUnreachable(
            f"no recoding of {cells.rows} rows reaches {_wanted(policy)} with at most {limit} rows suppressed "
            f"({math.prod(shape)} combinations of levels); lower the limits, or take in more rows"
        )
    return Found(best, math.prod(shape), looked_at)


class Lattice:
    """Looks at nodes, one at a time."""

    def __init__(self, cells: Cells, hierarchies: Sequence[Hierarchy], policy: PrivacyPolicy) -> None:
        self._cells = cells
        self._levels = [hierarchy.levels for hierarchy in hierarchies]
        self._policy = policy
        self._rows = max(cells.rows, 1)
        counts = [
            np.bincount(codes, weights=cells.count, minlength=size)
            for codes, size in zip(cells.codes, cells.sizes, strict=True)
        ]
        self._least = [
            np.array([float(level.loss[level.group] @ count) for level in levels]) / self._rows / len(self._levels)
            for levels, count in zip(self._levels, counts, strict=True)
        ]

    def least_losses(self, part: tuple[slice, ...] | None = None) -> NDArray[np.float64]:
        """Return the loss of each node if no row were suppressed: no node loses less.

        Args:
            part: Which levels of each quasi-identifier; all by default.
        """
        chosen = [least if part is None else least[part[axis]] for axis, least in enumerate(self._least)]
        total = np.zeros(tuple(len(least) for least in chosen))
        for axis, least in enumerate(chosen):
            total += least.reshape([-1 if other == axis else 1 for other in range(len(chosen))])
        return total

    def look_at(self, node: Levels) -> Outcome:
        """Count the classes of a node and judge them."""
        cells = self._cells
        columns = [
            self._levels[axis][level].group[codes]
            for axis, (level, codes) in enumerate(zip(node, cells.codes, strict=True))
        ]
        sizes = [len(self._levels[axis][level].labels) for axis, level in enumerate(node)]
        classes = group(*combine(columns, sizes), cells.count)
        spreads = [
            spread(classes.of_row[pairs.cell], pairs.value, pairs.count, classes.count, pairs)
            for pairs in cells.sensitive
        ]
        verdict = judge(classes.count, spreads, self._policy)
        lost = np.zeros(len(classes.count))
        for axis, level in enumerate(node):
            lost += self._levels[axis][level].loss[columns[axis][classes.some]]
        lost /= len(node)
        rest = classes.count * (1.0 - lost)
        suppressed = ~verdict.kept
        least = sum(float(self._least[axis][level]) for axis, level in enumerate(node))
        return Outcome(
            levels=node,
            loss=least + float(rest[suppressed].sum()) / self._rows,
            suppressed=int(classes.count[suppressed].sum()),
            classes=int(verdict.kept.sum()),
            cell_kept=verdict.kept[classes.of_row],
            floor=int(classes.count[verdict.small].sum()),
            penalty=float(rest[verdict.small].sum()) / self._rows,
        )


def _next(open_: NDArray[np.bool_], bound: NDArray[np.float64]) -> Levels:
    """Choose the open node below which about half of the open nodes lie: if it fails, they are all done with."""
    below = open_.astype(np.int64)
    for axis in range(open_.ndim):
        np.cumsum(below, axis=axis, out=below)
    places = np.flatnonzero(open_)
    wanted = (len(places) + 1) // 2
    off = np.abs(below.ravel()[places] - wanted)
    nearest = places[off == off.min()]
    chosen = nearest[np.argmin(bound.ravel()[nearest])]
    return tuple(int(level) for level in np.unravel_index(chosen, open_.shape))


def _better(one: Outcome, other: Outcome) -> bool:
    if abs(one.loss - other.loss) > _EPSILON:
        return one.loss < other.loss
    return (one.suppressed, one.levels) < (other.suppressed, other.levels)


def _wanted(policy: PrivacyPolicy) -> str:
    parts = [f"k = {policy.k}"]
    if policy.l > 1:
        parts.append(f"{policy.diversity} l = {policy.l}")
    if policy.t < 1.0:
        parts.append(f"t = {policy.t:g}")
    return ", ".join(parts)
