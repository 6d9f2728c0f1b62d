"""Cell suppression in one table of counts whose row, column and grand totals stay known to everybody.

Small counts are hidden (primary), and as many further cells (complementary) as it takes that the totals do not give
the small ones away. A table is seen as a mixed graph: rows and columns are nodes, hidden cells are edges. A hidden cell
above its lower bound can move both ways, one at its bound can only grow, so that its edge is one-way, from row to
column. What an attacker cannot tell from the table and its totals is exactly the shifts along cycles of that graph:

- from the totals alone (values of any sign), a cell is determined if and only if its edge is a bridge;
- with the lower bound as well, if and only if no cycle that obeys the one-way edges runs through it, that is, its ends
  lie in different strongly connected components, or it is a bridge of its component.

Sources: D. Gusfield, A Graph Theoretic Approach to Statistical Data Security, SIAM J. Comput. 17(3), 1988;
M.-Y. Kao, Data Security Equals Graph Connectivity, 2001, https://arxiv.org/abs/cs/0101034.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Suppression:
    """Which cells of one table must not be told.

    Attributes:
        hidden: Shape (m, n), the suppressed cells.
        primary: Cells hidden for their own sake, 1 <= count < limit.
        complementary: Cells hidden for the others' sake.
        exposed: Primary cells that the totals give away whatever else is hidden.
    """

    hidden: Mask
    primary: int
    complementary: int
    exposed: int


def suppress(counts: Counts, limit: int) -> Suppression:
    """Choose the cells to hide, cheapest first: hidden cells cost nothing, others their count, a zero more than all.

    What holds of the result:

    1. Nobody who knows all that is shown, the totals, and that counts are not negative can compute a hidden cell: at
       least two values fit. So none is a bridge either. Excepted are `exposed` cells, which no choice can protect, as
       in a table of one row or one column, or with one cell that is not zero: the totals are the cells.
    2. The same for who knows, too, that every hidden cell is at least 1 (zeros show as zeros), wherever the positive
       cells of the table have a cycle that can hold it. Elsewhere, as in a line whose total is 1 + 1, rule 1 alone
       holds, by means of zeros where it takes them.
    3. The hidden counts of each line sum to `limit` at least, unless the line's total, which is known, does not.

    What does not: the values that fit may be few and all small; totals that are small themselves stay known; who knows
    one hidden cell from elsewhere (his own trip), or a total over several tables, may compute others.

    Args:
        counts: Shape (m, n), not negative.
        limit: Smaller counts than this, from 1, are hidden.

    Worked example, limit 5: of [[1, 9], [8, 7]] all cells are hidden: 1 for its size, 9 and 8 because row and column
    would tell 1, 7 because it would tell 9 and 8.
    """
    primary = (counts > 0) & (counts < limit)
    hidden = primary.copy()
    # Cells that no cycle can hold, whatever is hidden, for an attacker who bounds hidden cells from below by 1, by 0.
    lost = {floor: np.zeros_like(hidden) for floor in (1, 0)}
    while True:
        before = hidden.sum()
        _raise_sums(counts, hidden, limit)
        _raise_sums(counts.T, hidden.T, limit)
        for floor in (1, 0):
            asked = counts > 0 if floor else lost[1] | (counts == 0)
            for row, column in np.argwhere(hidden & asked & ~lost[floor] & ~movable(counts, hidden, floor)).tolist():
                cycle = _cheapest_cycle(counts, hidden, row, column, floor)
                for cell in cycle:
                    hidden[cell] = True
                lost[floor][row, column] = not cycle
        if hidden.sum() == before:  # what is hidden only grows, so this ends
            break
    own = int(primary.sum())
    return Suppression(hidden, own, int(hidden.sum()) - own, int((primary & lost[0]).sum()))


def movable(counts: Counts, hidden: Mask, floor: int) -> Mask:
    """Say which hidden cells the rest does not determine, for one who knows that hidden cells are at least `floor`.

    Args:
        counts: Shape (m, n).
        hidden: Shape (m, n); those below `floor` are taken as known.
        floor: Lower bound of hidden cells.

    Returns:
        Shape (m, n): true where at least two whole numbers fit.
    """
    grows, shrinks = hidden & (counts >= floor), hidden & (counts > floor)
    rows, columns = _strong_components(grows, shrinks)
    inner = grows & (rows[:, None] == columns[None, :])
    free: Mask = inner & ~bridges(inner)
    return free


def bridges(edges: Mask) -> Mask:
    """Return the edges of a bipartite graph, shape (m, n), that lie on no cycle (Tarjan's low points)."""
    m, n = edges.shape
    near = [(np.flatnonzero(row) + m).tolist() for row in edges] + [np.flatnonzero(row).tolist() for row in edges.T]
    found = np.zeros_like(edges)
    seen, low = [-1] * (m + n), [0] * (m + n)
    clock = 0
    for root in range(m):
        if seen[root] >= 0:
            continue
        seen[root] = low[root] = clock
        clock += 1
        path = [(root, -1, iter(near[root]))]
        while path:
            node, parent, others = path[-1]
            for other in others:
                if other == parent:
                    continue
                if seen[other] < 0:
                    seen[other] = low[other] = clock
                    clock += 1
                    path.append((other, node, iter(near[other])))
                    break
                low[node] = min(low[node], seen[other])
            else:
                path.pop()
                if parent >= 0:
                    low[parent] = min(low[parent], low[node])
                    if low[node] > seen[parent]:
                        found[min(node, parent), max(node, parent) - m] = True
    return found


def _raise_sums(counts: Counts, hidden: Mask, limit: int) -> None:
    """Hide the smallest further count of each row whose hidden counts sum to less than the limit; `hidden` changes."""
    low = hidden.any(axis=1) & (np.where(hidden, counts, 0).sum(axis=1) < limit)
    for row in np.flatnonzero(low).tolist():
        further = np.flatnonzero(~hidden[row] & (counts[row] > 0))
        if further.size:  # it is no small count, so that one is enough
            hidden[row, further[counts[row, further].argmin()]] = True


def _strong_components(grows: Mask, shrinks: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Label the strongly connected components; arcs run from row to column where `grows`, back where `shrinks`."""
    m, n = grows.shape
    arcs = np.zeros((m + n, m + n), dtype=np.bool_)
    arcs[:m, m:] = grows
    arcs[m:, :m] = shrinks.T
    label = np.full(m + n, -1, dtype=np.int64)
    for node in range(m + n):
        if label[node] < 0:
            label[_reached(arcs, node) & _reached(arcs.T, node)] = node
    return label[:m], label[m:]


def _reached(arcs: Mask, start: int) -> Mask:
    seen = np.zeros(len(arcs), dtype=np.bool_)
    seen[start] = True
    front = np.array([start])
    while front.size:
        new = arcs[front].any(axis=0) & ~seen
        seen |= new
        front = np.flatnonzero(new)
    return seen


def _cheapest_cycle(counts: Counts, hidden: Mask, row: int, column: int, floor: int) -> list[tuple[int, int]]:
    """Return the other cells of the cheapest cycle through a cell, of whatever is at least `floor`; none if none is."""
    beyond = float(counts.sum()) + 1.0  # dearer than all positive counts together
    price = np.where(hidden, 0.0, np.where(counts > 0, counts.astype(np.float64), beyond))
    grow = np.where(counts >= floor, price, np.inf)
    shrink = np.where(counts > floor, price, np.inf)
    grow[row, column] = shrink[row, column] = np.inf
    m = len(counts)
    # The cell grows, and a way leads from its column back to its row; or it shrinks, and one leads from row to column.
    ways = [_cheapest_way(grow, shrink, m + column, row)]
    if counts[row, column] > floor:
        ways.append(_cheapest_way(grow, shrink, row, m + column))
    return min(ways, key=lambda way: way[0])[1]


def _cheapest_way(
    grow: NDArray[np.float64], shrink: NDArray[np.float64], start: int, end: int
) -> tuple[float, list[tuple[int, int]]]:
    """Return cost and cells of the cheapest way between two nodes; rows are nodes 0..m-1, columns m..m+n-1."""
    m, n = grow.shape
    cost = np.full(m + n, np.inf)
    cost[start] = 0.0
    before = np.full(m + n, -1, dtype=np.int64)
    rows, columns = np.arange(m), np.arange(n)
    better = True
    while better:
        better = False
        through = cost[:m, None] + grow
        best = through.argmin(axis=0)
        less = through[best, columns] < cost[m:]
        if less.any():
            better = True
            cost[m:][less] = through[best, columns][less]
            before[m:][less] = best[less]
        back = cost[None, m:] + shrink
        best = back.argmin(axis=1)
        less = back[rows, best] < cost[:m]
        if less.any():
            better = True
            cost[:m][less] = back[rows, best][less]
            before[:m][less] = best[less] + m
    if np.isinf(cost[end]):
        return np.inf, []
    total, cells = float(cost[end]), []
    while end != start:
        previous = int(before[end])
        cells.append((min(previous, end), max(previous, end) - m))
        end = previous
    return total, cells
