"""The roster's parameters: threshold rules and the fixed-point scale that cannot overflow the ring."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.errors import ConfigError

HALF_RING = 2**31
# Slots appended to every update before masking: 1 a sender, its weight in examples, whether it was clipped, its
# training loss, and the loss of the round's model on its validation part (0 where the scenario has none).
SLOTS = ("members", "examples", "clipped", "loss", "validation_loss")


def default_threshold(n: int) -> int:
    """Return floor(2n/3) + 1: the smallest t that outvotes a third of dishonest agencies."""
    return 2 * n // 3 + 1


def checked_threshold(n: int, config: SecAggConfig) -> int:
    """Return the threshold t for n agencies against an active coordinator.

    2t > n + n_c keeps a coordinator with n_c colluders from running two disjoint honest quorums (one asked
    for b-shares, one for k-shares); t >= n_c + 2 leaves at least two honest agencies in any sum.

    Raises:
        ConfigError: If n, t or n_c break one of these bounds.
    """
    if not 3 <= n <= 200:
        raise ConfigError(f"{n} agencies joined; secure aggregation needs 3 to 200: add agency YAMLs")
    t = default_threshold(n) if config.t is None else config.t
    if not config.n_c + 2 <= t <= n:
        raise ConfigError(
            f"secagg.t is {t}; with {n} agencies and n_c = {config.n_c} it must be in [{config.n_c + 2}, {n}]"
        )
    if 2 * t <= n + config.n_c:
        raise ConfigError(
            f"secagg.t is {t}; against an active coordinator 2t > N + n_c is needed, that is "
            f"t >= {(n + config.n_c) // 2 + 1}: raise t or lower n_c"
        )
    return t


@dataclass(frozen=True)
class FixedPoint:
    """How real values become ring elements of Z / 2^32.

    A weighted value x with |x| <= bound is stored as an integer q with |q| <= limit, in steps of 1 / scale.
    Proof that a sum never wraps: scale = limit / bound, so |x * scale| <= limit; rounding to a neighbouring
    integer keeps |q| <= limit because limit is an integer; at most n values are summed and
    n * limit <= n * floor((2^31 - 1) / n) < 2^31.
    """

    n: int
    bound: float

    @property
    def limit(self) -> int:
        """Largest magnitude of one ring element."""
        return (HALF_RING - 1) // self.n

    @property
    def scale(self) -> float:
        """Steps per unit: the largest that the ring admits."""
        return self.limit / self.bound


def delta_encoding(n: int, config: SecAggConfig) -> FixedPoint:
    """Encoding of a weighted model delta: every coordinate is at most w_max * clip."""
    return FixedPoint(n, config.w_max * config.clip)


def loss_encoding(n: int, config: SecAggConfig) -> FixedPoint:
    """Encoding of a weighted loss: at most w_max * max_loss."""
    return FixedPoint(n, config.w_max * config.max_loss)


def largest_weight(n: int, config: SecAggConfig) -> int:
    """Return the most training examples that an agency may have: w_max * n_ref, and n of them fit the ring."""
    return min(math.floor(config.w_max * config.n_ref), (HALF_RING - 1) // n)
