"""Whole numbers in the ring: sums over up to 200 agencies are exact, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.secagg.errors import CountMismatch, MalformedMessage, RingOverflow
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.sums import MOST_AGENCIES, decode_integers, encode_integers

LIMBS = (2, 1, 3, 5)


def most(width: int) -> int:
    return 2 ** (16 * width) - 1


def added(answers) -> np.ndarray:
    """The sum in the ring."""
    total = np.zeros_like(answers[0])
    for answer in answers:
        np.add(total, answer, out=total)
    return total


def test_no_sum_of_the_largest_numbers_of_two_hundred_agencies_leaves_the_ring():
    answer = encode_integers([most(width) for width in LIMBS], LIMBS, MOST_AGENCIES)
    total = added([answer] * MOST_AGENCIES)
    assert int(total.max()) == MOST_AGENCIES * 0xFFFF < 2**24
    assert decode_integers(total, LIMBS, MOST_AGENCIES) == [MOST_AGENCIES * most(width) for width in LIMBS]


@settings(max_examples=100)
@given(st.lists(st.tuples(*(st.integers(0, most(width)) for width in LIMBS)), min_size=1, max_size=20))
def test_the_sum_that_is_read_is_the_sum_of_the_numbers(rows):
    total = added([encode_integers(row, LIMBS, MOST_AGENCIES) for row in rows])
    assert decode_integers(total, LIMBS, len(rows)) == [sum(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_number_that_is_negative_or_too_large_is_refused(value):
    with pytest.raises(RingOverflow) as caught:
        encode_integers([value], [2], 4)
    assert str(value) not in str(caught.value).replace("2 limbs", "")
    assert encode_integers([2**32 - 1], [2], 4).tolist()[:2] == [0xFFFF, 0xFFFF]


@pytest.mark.parametrize("n", [0, 201])
def test_more_agencies_than_the_proof_is_for_are_refused(n):
    with pytest.raises(RingOverflow):
        encode_integers([1], [1], n)


def test_an_answer_ends_in_the_slots_of_an_update_which_count_its_sender():
    answer = encode_integers([5], [1], 4)
    assert answer.dtype == np.uint32
    assert answer.tolist() == [5, 1, *[0] * (len(SLOTS) - 1)]


def test_more_or_fewer_numbers_than_asked_for_are_refused():
    for values in ([1], [1, 2, 3]):
        with pytest.raises(MalformedMessage):
            encode_integers(values, [1, 1], 4)
    with pytest.raises(MalformedMessage):
        decode_integers(encode_integers([1, 2], [1, 1], 4), [1], 1)


def test_a_sum_over_other_members_than_the_manifests_is_refused():
    total = added([encode_integers([7], [1], 4)] * 3)
    assert decode_integers(total, [1], 3) == [21]
    for survivors in (2, 4):
        with pytest.raises(CountMismatch):
            decode_integers(total, [1], survivors)


def test_words_and_slots_that_no_member_can_have_sent_are_refused():
    beyond, slot = (encode_integers([7], [1], 4) for _ in range(2))
    beyond[0] = 0x10000
    slot[-1] = 1
    for total in (beyond, slot):
        with pytest.raises(CountMismatch):
            decode_integers(total, [1], 1)
