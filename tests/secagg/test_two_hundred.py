"""The largest federation that a roster admits, with losses before and after the uploads: the sum is exact."""

from __future__ import annotations

import numpy as np

from tests.secagg.flow import Flow

N = 200
LENGTH = 8  # three values and the slots


def test_two_hundred_agencies_with_losses_before_and_after_the_upload_give_the_exact_sum():
    """20 % are lost before they upload, another 13 % after it: exactly t = 134 are left to reveal."""
    flow = Flow.of(N)
    assert flow.roster.t == 134
    closed = flow.set_up()
    random = np.random.default_rng(7)
    order = [int(i) for i in random.permutation(N)]
    silent, lost_later = set(order[:40]), set(order[40:66])
    updates = {i: random.integers(0, 2**32, LENGTH, dtype=np.uint32) for i in range(N) if i not in silent}
    left = tuple(i for i in updates if i not in lost_later)
    verdict = flow.round(closed, 1, updates, model=b"m" * 32, acking=left, revealing=left)
    assert len(verdict.survivors) == 160
    assert len(flow.files("r/1/reveal")) == 134
    plain = np.zeros(LENGTH, dtype=np.uint32)
    for update in updates.values():
        plain += update
    assert np.array_equal(flow.unmask(closed, 1, LENGTH), plain)
