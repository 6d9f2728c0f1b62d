"""Counts that leave an agency: none from 1 to 4, and none that gives one away by subtraction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.data.small_cells import publishable, publishable_parts


def test_counts_from_one_to_four_stay_at_home():
    assert publishable({"none": 0, "one": 1, "four": 4, "five": 5}) == {"none": 0, "five": 5}


def test_one_small_part_keeps_all_parts_at_home():
    assert publishable_parts({"in": 100}, {"out": 97, "bad": 3, "merged": 0}) == {"in": 100}
    assert publishable_parts({"in": 100}, {"out": 90, "bad": 10}) == {"in": 100, "out": 90, "bad": 10}


@given(st.lists(st.integers(0, 30), min_size=2, max_size=4))
def test_no_published_difference_is_a_small_count(parts):
    shown = publishable_parts({"total": sum(parts)}, {str(i): part for i, part in enumerate(parts)})
    assert not any(0 < count < 5 for count in shown.values())
    assert len(shown) in (0, 1, len(parts) + 1) or sum(parts) < 5
