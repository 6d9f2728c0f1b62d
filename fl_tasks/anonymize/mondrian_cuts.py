"""Where Mondrian cuts: the value nearest to each partition's median, and whether both sides hold l and t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Codes, Ints, SensitiveColumn
from fl_tasks.anonymize.diversity import Spread, distinct, spread
from fl_tasks.anonymize.errors import PolicyUnreachable
from fl_tasks.anonymize.judge import entropy_holds, far
from fl_tasks.contracts.anonymize import PrivacyPolicy

_NONE = np.iinfo(np.int64).max
_PLACE_BITS = 31

# Up to so many possible values a unit, values are counted into an array; beyond, they are sorted.
_DENSE_FACTOR = 1


class SideJudge:
    """Says which sides of cuts hold k, l and t.

    Attributes:
        k: Least rows of a side.
        looks: Whether the policy asks for more than k.
    """

    def __init__(
        self, sensitive: Sequence[SensitiveColumn], secrets: Sequence[Codes], count: Codes, policy: PrivacyPolicy
    ) -> None:
        """Take the whole table's distributions as those that t is measured against.

        Args:
            sensitive: The sensitive columns.
            secrets: Their codes in each of the u units, shape (u,) each.
            count: Shape (u,), rows of each unit.
            policy: Limits of every class.

        Raises:
            PolicyUnreachable: If the whole table as one class misses k or l.
        """
        self.k = policy.k
        self.looks = policy.l > 1 or policy.t < 1.0
        self._sensitive = sensitive
        self._policy = policy
        rows = int(count.sum())
        if rows < policy.k:
            raise PolicyUnreachable(
                f"{rows} rows cannot reach k = {policy.k}; take in more rows, or leave the agency out"
            )
        if not self.looks:
            return
        whole = self._spreads(np.zeros(len(count), dtype=np.int64), 1, secrets, count)
        self._overall = [pairs.overall() for pairs in whole]
        if not self._holds(whole).all():
            raise PolicyUnreachable(
                f"all {rows} rows together miss {policy.diversity} l = {policy.l}; no cut can mend that, "
                "so lower l or choose another sensitive column"
            )

    def both_hold(
        self, place: Codes, upper: NDArray[np.bool_], secrets: Sequence[Codes], count: Codes, cuts: int
    ) -> NDArray[np.bool_]:
        """Say for each cut whether both of its sides hold l and t, shape (cuts,).

        Args:
            place: Shape (a,), the cut of each unit.
            upper: Shape (a,), whether it is on the upper side.
            secrets: Each of shape (a,), codes of a sensitive column.
            count: Shape (a,), rows of each unit.
            cuts: Number of cuts; one without units has no class to fail.
        """
        side = 2 * place.astype(np.int64) + upper
        holds = self._holds(self._spreads(side, 2 * cuts, secrets, count))
        both: NDArray[np.bool_] = holds[0::2] & holds[1::2]
        return both

    def _holds(self, spreads: Sequence[Spread]) -> NDArray[np.bool_]:
        held = ~far(spreads, self._policy.t, self._overall)
        if self._policy.l > 1 and self._policy.diversity == "entropy":
            held &= entropy_holds(spreads, self._policy)
        elif self._policy.l > 1:
            held &= np.logical_and.reduce([distinct(pairs) >= self._policy.l for pairs in spreads])
        return held

    def _spreads(self, side: Ints, sides: int, secrets: Sequence[Codes], count: Codes) -> list[Spread]:
        size = np.bincount(side, weights=count, minlength=sides).astype(np.int64)
        return [
            spread(side, codes, count, size, column) for column, codes in zip(self._sensitive, secrets, strict=True)
        ]


def nearest_to_median(code: Codes, count: Codes, place: Codes, starts: Ints, low: Codes, high: Codes, k: int) -> Ints:
    """Find the value nearest to each partition's median that leaves k rows on either side.

    Args:
        code: Shape (a,), the units' codes in the column to cut.
        count: Shape (a,), their rows.
        place: Shape (a,), their partition, ascending.
        starts: Shape (p + 1,), where each partition begins.
        low, high: Shape (p,), smallest and largest code.
        k: Least rows of a side.

    Returns:
        Shape (p,): the last code of the lower side, -1 where no value leaves k rows on either side.
    """
    widths = high.astype(np.int64) - low + 1
    if int(widths.sum()) <= _DENSE_FACTOR * len(code):
        starts = np.concatenate([[0], np.cumsum(widths)])
        slot = code + (starts[:-1] - low)[place]
        weights = None if count.max() == 1 else count
        below = np.cumsum(np.bincount(slot, weights=weights, minlength=int(starts[-1]))).astype(np.int64)
        del slot
        place = np.repeat(np.arange(len(widths), dtype=np.int32), widths)
        code = np.arange(starts[-1], dtype=np.int32) - (starts[:-1] - low).astype(np.int32)[place]
    else:
        # The partition's place leads the key: the order stays within each.
        order = np.argsort(code + place.astype(np.int64) * (int(high.max()) + 1))
        code = code[order]
        below = np.cumsum(count[order], dtype=np.int64)
    ends = below[starts[1:] - 1]
    base = np.concatenate([[0], ends[:-1]])
    below -= base[place]
    rows = (ends - base)[place]
    allowed = (below >= k) & (rows - below >= k)
    allowed[:-1] &= (code[1:] != code[:-1]) | (place[1:] != place[:-1])
    # The nearest to the median, then the first: both in one number, so that one pass finds them.
    below *= 2
    below -= rows
    np.abs(below, out=below)
    below <<= _PLACE_BITS
    below |= np.arange(len(code), dtype=np.int32)
    below[~allowed] = _NONE
    best = np.minimum.reduceat(below, starts[:-1])
    none = best == _NONE
    return np.where(none, -1, code[np.where(none, 0, best & ((1 << _PLACE_BITS) - 1))]).astype(np.int64)
