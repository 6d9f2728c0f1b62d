"""Which agencies a session closes over: the largest set whose members all hold each other's shares.

Two ids disagree if either does not hold the other's share; of every such pair one has to go. The fewest that have to
go are a smallest vertex cover of the disagreements: hard in general, and colluding agencies may disagree as they
like. So the answer is exact where that is cheap, and the work is bounded where it is not:

1. Who disagrees with nobody stays; groups without a disagreement between them are solved apart.
2. Nemhauser and Trotter: a half-integral optimum, found by matching, tells of most ids whether they stay. This alone
   solves the usual attack, few agencies that disagree with many, whatever their number.
3. What is left is searched, within _MOST_WORK. Beyond, the id with the fewest disagreements stays.

Agencies check that a close covers itself, not that it is the largest, so that a set below the largest is safe.

Source: Nemhauser and Trotter, Vertex packings, 1975, https://doi.org/10.1007/BF01580444
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fl_tasks.secagg.errors import TooFewAgencies

_MOST_WORK = 300_000  # positions looked at over all branches: about a second


def largest_covered_set(covers: Mapping[int, frozenset[int]], t: int) -> tuple[int, ...]:
    """Return the largest set of ids that cover each other pairwise; of several the lowest ids, first id first.

    Args:
        covers: id -> ids whose shares it holds, its own included.
        t: Members that the set needs.

    Raises:
        TooFewAgencies: If no such set has t members, or none was found in the work that is allowed.
    """
    ids = sorted(covers)
    disagree = [
        sum(1 << b for b, j in enumerate(ids) if i != j and not (j in covers[i] and i in covers[j])) for i in ids
    ]
    kept = _Search(disagree).lowest_largest((1 << len(ids)) - 1)
    closed = tuple(ids[at] for at in _bits(kept))
    if len(closed) < t:
        raise TooFewAgencies(
            f"close: {len(ids)} agencies are ready, but no {t} of them hold each other's shares; see the agencies' "
            "refusals, then start a new run"
        )
    return closed


@dataclass
class _Search:
    """Sets of positions are integers, bit by bit; `disagree` has one such set a position."""

    disagree: list[int]
    work: int = 0
    known: dict[int, int] = field(default_factory=dict)

    @property
    def spent(self) -> bool:
        """Whether the work that is allowed was done."""
        return self.work > _MOST_WORK

    def lowest_largest(self, group: int) -> int:
        """The largest set without disagreements; among equals the one with the lowest positions, if the work allows."""
        kept = 0
        for part in self._parts(group):
            best, rest, fixed = self._largest(part), part, 0
            for at in _bits(part):
                one = 1 << at
                if not rest & one:
                    continue
                without = rest & ~self.disagree[at] & ~one
                if not best & one:
                    if self.spent:
                        break
                    other = fixed | one | self._largest(without)
                    if other.bit_count() < best.bit_count():
                        continue
                    best = other
                fixed, rest = fixed | one, without
            kept |= best
        return kept

    def _largest(self, group: int) -> int:
        """A largest set without disagreements inside a group, or a large one once the work is used up."""
        kept = 0
        for part in self._parts(group):
            if part not in self.known:
                self.known[part] = self._solve(part)
            kept |= self.known[part]
        return kept

    def _solve(self, part: int) -> int:
        """The same for a part that cannot be cut; recursion is at most two frames a position."""
        self.work += part.bit_count()
        stay, still_open = self._half_integral(part)
        if still_open != part:
            return stay | self._largest(still_open)
        degrees = {at: (self.disagree[at] & part).bit_count() for at in _bits(part)}
        least = min(degrees, key=lambda at: degrees[at])
        if degrees[least] <= 1 or self.spent:
            # With one disagreement or none it may stay; beyond the bound the one with the fewest is the best guess.
            return 1 << least | self._largest(part & ~self.disagree[least] & ~(1 << least))
        most = max(degrees, key=lambda at: degrees[at])
        with_it = 1 << most | self._largest(part & ~self.disagree[most] & ~(1 << most))
        without = self._largest(part & ~(1 << most))
        return with_it if with_it.bit_count() >= without.bit_count() else without

    def _parts(self, group: int) -> Iterator[int]:
        """Cut a group into parts between which nobody disagrees."""
        while group:
            part, new = 0, group & -group
            while new:
                part |= new
                reached = 0
                for at in _bits(new):
                    reached |= self.disagree[at]
                new = reached & group & ~part
            yield part
            group &= ~part

    def _half_integral(self, part: int) -> tuple[int, int]:
        """Positions that stay in some largest set, and those that are still open; the others go.

        The bipartite double of the disagreements has every position on both sides; a largest matching of it and
        Koenig's theorem give the optimum of the relaxed problem, in halves.
        """
        left_of, unmatched = self._matching(part)
        # Reached from the unmatched left positions by edges of the matching and others in turn.
        left_reached, right_reached, new = unmatched, 0, unmatched
        while new:
            right_new = 0
            for left in _bits(new):
                right_new |= self.disagree[left] & part
            right_new &= ~right_reached
            right_reached |= right_new
            new = sum(1 << left_of[right] for right in _bits(right_new)) & ~left_reached
            left_reached |= new
        stay = left_reached & ~right_reached
        go = right_reached & ~left_reached
        return stay, part & ~stay & ~go

    def _matching(self, part: int) -> tuple[dict[int, int], int]:
        """A largest matching of the bipartite double: right -> left, and the left positions without a partner."""
        right_of: dict[int, int] = {}
        left_of: dict[int, int] = {}
        unmatched = 0
        for start in _bits(part):
            came_from: dict[int, int] = {}
            end = self._free_right(part, start, left_of, came_from)
            if end is None:
                unmatched |= 1 << start
            while end is not None:
                left = came_from[end]
                before = right_of.get(left)
                right_of[left], left_of[end] = end, left
                end = before
        return left_of, unmatched

    def _free_right(self, part: int, start: int, left_of: dict[int, int], came_from: dict[int, int]) -> int | None:
        """The nearest right position without a partner from an unmatched left one; fills in the way to it."""
        new, unseen = [start], part
        while new:
            following = []
            for left in new:
                for right in _bits(self.disagree[left] & unseen):
                    unseen &= ~(1 << right)
                    came_from[right] = left
                    if right not in left_of:
                        return right
                    following.append(left_of[right])
            new = following
        return None


def _bits(group: int) -> Iterator[int]:
    while group:
        lowest = group & -group
        yield lowest.bit_length() - 1
        group ^= lowest
