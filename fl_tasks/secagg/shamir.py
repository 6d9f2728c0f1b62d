"""Shamir's secret sharing of 256-bit secrets over the prime field p = 2^256 + 297.

Source: Shamir, How to share a secret, CACM 1979, https://doi.org/10.1145/359168.359176
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from fl_tasks.secagg.errors import InconsistentShares, MalformedMessage

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, t: int, points: Sequence[int]) -> list[bytes]:
    """Cut a secret into one share a point, any t of which give it back and fewer tell nothing.

    Args:
        secret: 32 bytes, big-endian.
        t: Shares needed, 1 <= t <= len(points).
        points: Distinct x coordinates, 1..2^16; in the protocol id + 1.

    Returns:
        Shares of 33 bytes, big-endian, in the order of the points.
    """
    if len(secret) != SECRET_BYTES:
        raise MalformedMessage(f"a secret of {len(secret)} bytes cannot be shared, {SECRET_BYTES} are needed")
    if not 1 <= t <= len(points) or len(set(points)) != len(points) or min(points) < 1:
        raise MalformedMessage(f"threshold {t} does not fit {len(points)} distinct positive points")
    # Highest power first, the secret last: Horner's rule reads it in this order.
    coefficients = [secrets.randbelow(PRIME) for _ in range(t - 1)] + [int.from_bytes(secret, "big")]
    shares = []
    for x in points:
        y = 0
        for coefficient in coefficients:
            y = (y * x + coefficient) % PRIME
        shares.append(y.to_bytes(SHARE_BYTES, "big"))
    return shares


def lagrange_weights(points: Sequence[int]) -> list[int]:
    """Return the weights that turn shares at these points into the value at 0; computed once a round."""
    weights = []
    for i, x in enumerate(points):
        numerator = denominator = 1
        for j, other in enumerate(points):
            if i != j:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - x) % PRIME
        weights.append(numerator * pow(denominator, -1, PRIME) % PRIME)
    return weights


def combine(shares: Mapping[int, bytes], weights: Mapping[int, int]) -> bytes:
    """Give back a secret from exactly t shares.

    Args:
        shares: Point -> share of 33 bytes.
        weights: Point -> Lagrange weight, for the same points.

    Raises:
        InconsistentShares: If the result is no 256-bit number, which honest shares never give.
    """
    total = 0
    for point, weight in weights.items():
        total = (total + weight * share_value(shares[point])) % PRIME
    if total >= 2 ** (8 * SECRET_BYTES):
        raise InconsistentShares("shares give a value outside the range of secrets: one of them is wrong")
    return total.to_bytes(SECRET_BYTES, "big")


def share_value(share: bytes) -> int:
    """Return a share as a field element; raises MalformedMessage if it is none."""
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise MalformedMessage(f"a share must be a field element of {SHARE_BYTES} bytes, got {len(share)} bytes")
    return value
