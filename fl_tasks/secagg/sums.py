"""Whole numbers in the ring, for sums that have to be exact: counts, and sums in fixed point.

A number is cut into limbs of 16 bits, the lowest first, one ring word each. Limbs are added by themselves and carries
are made good when the sum is read.

No sum over up to n <= 200 agencies leaves the ring. Proof: a limb is at most 2^16 - 1, so that a word of the sum is
at most 200 * (2^16 - 1) < 2^24 < 2^32: no word wraps, whatever was sent. The number is then the sum of its words, each
times 2^16 to its place, by distributivity; it is read as a Python integer, which has no largest value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_tasks.secagg.errors import CountMismatch, MalformedMessage, RingOverflow
from fl_tasks.secagg.masking import Ring
from fl_tasks.secagg.parameters import SLOTS

LIMB_BITS = 16
MOST_AGENCIES = 200
_LIMB = (1 << LIMB_BITS) - 1


def encode_integers(values: Sequence[int], limbs: Sequence[int], n: int) -> Ring:
    """Turn one agency's numbers into ring elements.

    Args:
        values: Each from 0 to 2^(16 * its limbs) - 1.
        limbs: Ring words of each value, from 1.
        n: Agencies of the roster, up to 200.

    Returns:
        Shape (sum of limbs + 5,): the limbs, then the slots of an update, of which `members` is 1 and the others 0.

    Raises:
        MalformedMessage: If there are more or fewer values than limbs are given for.
        RingOverflow: If a value is negative or does not fit its limbs, or there are more than 200 agencies.
    """
    if len(values) != len(limbs):
        raise MalformedMessage(f"{len(values)} numbers for a request of {len(limbs)}")
    if not 1 <= n <= MOST_AGENCIES:
        raise RingOverflow(f"sums of {n} agencies do not fit the ring, at most {MOST_AGENCIES} do")
    words: list[int] = []
    for place, (value, width) in enumerate(zip(values, limbs, strict=True)):
        if not 0 <= value < 1 << (LIMB_BITS * width):
            raise RingOverflow(f"number {place} of a survey's sums is negative or needs more than {width} limbs")
        words.extend((value >> (LIMB_BITS * limb)) & _LIMB for limb in range(width))
    words.extend((1, *(0 for _ in SLOTS[1:])))
    return np.array(words, dtype=np.uint32)


def decode_integers(total: Ring, limbs: Sequence[int], survivors: int) -> list[int]:
    """Read the unmasked sum of a round of encode_integers' results, exactly.

    Args:
        total: Shape (sum of limbs + 5,), the sum modulo 2^32 over the survivors.
        limbs: As encoded.
        survivors: Size of the survivor set.

    Raises:
        MalformedMessage: If the sum has another length than the request.
        CountMismatch: If the sum counts other members than survive, or a word is beyond what they can have sent.
    """
    if total.shape != (sum(limbs) + len(SLOTS),):
        raise MalformedMessage(f"a sum of shape {total.shape}, {sum(limbs) + len(SLOTS)} words were asked for")
    words, slots = total[: -len(SLOTS)], total[-len(SLOTS) :]
    if slots.tolist() != [survivors, *(0 for _ in SLOTS[1:])] or int(words.max(initial=0)) > survivors * _LIMB:
        raise CountMismatch(
            f"the opened sum counts {int(slots[0])} members, the manifest has {survivors}, or holds words that they "
            "cannot have sent: an answer or a mask was altered; nothing is made of it"
        )
    values, at = [], 0
    for width in limbs:
        values.append(sum(int(word) << (LIMB_BITS * limb) for limb, word in enumerate(words[at : at + width].tolist())))
        at += width
    return values
