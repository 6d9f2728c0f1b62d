"""Which classes a policy lets stand, and what is suppressed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Ints
from fl_tasks.anonymize.diversity import Floats, Spread, distance, distinct, entropy
from fl_tasks.contracts.anonymize import PrivacyPolicy

# Shares and entropies are sums of rounded numbers: a class that meets a limit exactly must not fail by a last digit.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verdict:
    """What becomes of c classes.

    Attributes:
        kept: Shape (c,): the classes that stand.
        small: Shape (c,): those that fail k or distinct l. Merged with others they may pass, but whatever passes
            still passes, so that their rows only become fewer from one recoding to a coarser one.
    """

    kept: NDArray[np.bool_]
    small: NDArray[np.bool_]


def judge(size: Ints, spreads: Sequence[Spread], policy: PrivacyPolicy) -> Verdict:
    """Suppress the classes that fail, until all that are left hold.

    t is measured against what is released: each class suppressed changes that, so those that fail are suppressed again
    until none does. What remains is at most as far apart as the policy says, whoever measures it.

    Args:
        size: Shape (c,), rows of each class.
        spreads: The sensitive columns over the same c classes.
        policy: Limits; l counts for every sensitive column.
    """
    small = size < policy.k
    for pairs in spreads:
        if policy.l > 1:
            small |= distinct(pairs) < policy.l
    kept = ~small
    if policy.l > 1 and policy.diversity == "entropy":
        kept &= entropy_holds(spreads, policy)
    while policy.t < 1.0:
        fails = far([pairs.only(kept) for pairs in spreads], policy.t) & kept
        if not fails.any():
            break
        kept &= ~fails
    return Verdict(kept, small)


def entropy_holds(spreads: Sequence[Spread], policy: PrivacyPolicy) -> NDArray[np.bool_]:
    """Whether each class has at least l values' worth of entropy in every sensitive column, shape (c,)."""
    held: NDArray[np.bool_] = np.logical_and.reduce([entropy(pairs) >= policy.l * (1 - TOLERANCE) for pairs in spreads])
    return held


def far(spreads: Sequence[Spread], t: float, overall: Sequence[Floats] | None = None) -> NDArray[np.bool_]:
    """Whether each class is farther than t from the whole in any sensitive column, shape (c,).

    Args:
        spreads: The sensitive columns.
        t: Limit, from 0 to 1.
        overall: Distribution of each column; that of the given classes by default.
    """
    wholes = [pairs.overall() for pairs in spreads] if overall is None else overall
    distances = [distance(pairs, whole) for pairs, whole in zip(spreads, wholes, strict=True)]
    beyond: NDArray[np.bool_] = np.logical_or.reduce([found > t + TOLERANCE for found in distances])
    return beyond


def most_suppressed(rows: int, policy: PrivacyPolicy) -> int:
    """Rows that may be suppressed."""
    return math.floor(rows * policy.suppression + TOLERANCE)
