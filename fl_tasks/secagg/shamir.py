"""Shamir's secret sharing of 256-bit secrets over the prime field p = 2^256 + 297.

Source: Shamir, How to share a secret, CACM 1979, https://doi.org/10.1145/359168.359176
"""

from __future__ import annotations

import itertools
import math
import operator
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
    for x in points:
        others = [other for other in points if other != x]
        # Points are small: whole products are cheaper than one reduction a factor.
        denominator = math.prod(other - x for other in others)
        weights.append(math.prod(others) * pow(denominator, -1, PRIME) % PRIME)
    return weights


def combine(shares: Mapping[int, bytes], weights: Mapping[int, int]) -> bytes:
    """Give back a secret from exactly t shares.

    Args:
        shares: Point -> share of 33 bytes.
        weights: Point -> Lagrange weight, for the same points.

    Raises:
        InconsistentShares: If the result is no 256-bit number, which honest shares never give.
    """
    return combine_values([share_value(shares[point]) for point in weights], list(weights.values()))


def combine_values(values: Sequence[int], weights: Sequence[int]) -> bytes:
    """Give back a secret from exactly t shares that were read before; see combine."""
    total: int = sum(map(operator.mul, values, weights)) % PRIME
    if total >= 2 ** (8 * SECRET_BYTES):
        raise InconsistentShares("shares give a value outside the range of secrets: one of them is wrong")
    return total.to_bytes(SECRET_BYTES, "big")


def points_off(shares: Mapping[int, int], t: int) -> tuple[int, tuple[int, ...]] | None:
    """Find the one polynomial of degree below t that all but a few shares lie on, if it is certain.

    With m shares and e of them wrong it is certain for m >= t + 2e; the caller has to have m > t to learn anything.

    Args:
        shares: Point -> share, at least t of them.
        t: Shares that determine a secret.

    Returns:
        The polynomial's value at 0 and the points off it, ascending; None if there is no such polynomial.

    Source: Gao, A new algorithm for decoding Reed-Solomon codes, 2003, https://doi.org/10.1007/978-1-4757-3789-9_5
    """
    points = sorted(shares)
    # Partial Euclid on (product of all x - x_i, interpolation of all shares) stops at the quotient that is the
    # polynomial: remainder = polynomial * locator, and the locator is 0 where a share is wrong.
    whole = _product(points)
    upper, lower = whole, _interpolate(points, shares, whole)
    locator_before, locator = [], [1]
    while 2 * (len(lower) - 1) >= len(points) + t:
        quotient, rest = _divide(upper, lower)
        upper, lower = lower, rest
        locator_before, locator = locator, _minus(locator_before, _times(quotient, locator))
    polynomial, rest = _divide(lower, locator)
    if rest or len(polynomial) > t:
        return None
    return _value(polynomial, 0), tuple(x for x in points if _value(polynomial, x) != shares[x])


def share_value(share: bytes) -> int:
    """Return a share as a field element; raises MalformedMessage if it is none."""
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise MalformedMessage(f"a share must be a field element of {SHARE_BYTES} bytes, got {len(share)} bytes")
    return value


# Polynomials are lists of coefficients below PRIME, lowest power first, without zeros at the end.


def _product(points: Sequence[int]) -> list[int]:
    """The polynomial that is zero at exactly these points."""
    result = [1]
    for x in points:
        result = [(a - x * b) % PRIME for a, b in zip([0, *result], [*result, 0], strict=True)]
    return result


def _interpolate(points: Sequence[int], shares: Mapping[int, int], whole: list[int]) -> list[int]:
    """The polynomial of degree below len(points) through all shares."""
    result = [0] * len(points)
    for x in points:
        basis = _divide(whole, [-x % PRIME, 1])[0]
        weight = shares[x] * pow(_value(basis, x), -1, PRIME) % PRIME
        for i, coefficient in enumerate(basis):
            result[i] = (result[i] + weight * coefficient) % PRIME
    return _trimmed(result)


def _divide(a: list[int], b: list[int]) -> tuple[list[int], list[int]]:
    """Quotient and remainder of a by b."""
    rest, quotient = list(a), [0] * max(0, len(a) - len(b) + 1)
    inverse = pow(b[-1], -1, PRIME)
    for shift in range(len(a) - len(b), -1, -1):
        factor = quotient[shift] = rest[shift + len(b) - 1] * inverse % PRIME
        if factor:
            for i, coefficient in enumerate(b):
                rest[shift + i] = (rest[shift + i] - factor * coefficient) % PRIME
    return _trimmed(quotient), _trimmed(rest)


def _times(a: list[int], b: list[int]) -> list[int]:
    result = [0] * (len(a) + len(b) - 1 if a and b else 0)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] = (result[i + j] + x * y) % PRIME
    return result


def _minus(a: list[int], b: list[int]) -> list[int]:
    return _trimmed([(x - y) % PRIME for x, y in itertools.zip_longest(a, b, fillvalue=0)])


def _trimmed(a: list[int]) -> list[int]:
    while a and a[-1] == 0:
        a.pop()
    return a


def _value(polynomial: list[int], x: int) -> int:
    result = 0
    for coefficient in reversed(polynomial):
        result = (result * x + coefficient) % PRIME
    return result
