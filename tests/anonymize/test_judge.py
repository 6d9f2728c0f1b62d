"""Which classes are suppressed: those that fail, until all that are left hold by what is left."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.anonymize.cells import SensitiveColumn
from fl_tasks.anonymize.diversity import spread
from fl_tasks.anonymize.judge import judge, most_suppressed
from fl_tasks.contracts.anonymize import PrivacyPolicy
from tests.anonymize.naive import kept_classes


def judged(counts, policy, *, ordered=False):
    """counts[class][value]: rows. Return the kept classes, and those that plain counting keeps."""
    rows = [(cls, value) for cls, row in enumerate(counts) for value, count in enumerate(row) for _ in range(count)]
    classes, values = (np.array(column) for column in zip(*rows, strict=True))
    size = np.bincount(classes, minlength=len(counts))
    column = SensitiveColumn("s", values, len(counts[0]), ordered)
    kept = judge(size, [spread(classes, values, np.ones_like(classes), size, column)], policy).kept
    plain = kept_classes([(cls,) for cls in classes], [(values.tolist(), ordered)], policy)
    return np.flatnonzero(kept).tolist(), sorted(int(cls) for (cls,) in plain)


def test_a_class_that_is_far_from_what_is_left_goes_too():
    """At first only the second is too far from the whole; without it the third is."""
    assert judged([[1, 4], [2, 0], [2, 1], [3, 6]], PrivacyPolicy(k=2, t=0.3)) == ([0, 3], [0, 3])
    assert judged([[1, 4], [2, 1], [3, 6]], PrivacyPolicy(k=2, t=0.4)) == ([0, 1, 2], [0, 1, 2])


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3).filter(any), min_size=2, max_size=9),
    st.sampled_from([0.1, 0.2, 0.3, 0.4]),
    st.booleans(),
)
def test_suppression_is_that_of_plain_counting(counts, t, ordered):
    kept, plain = judged(counts, PrivacyPolicy(k=2, t=t), ordered=ordered)
    assert kept == plain


def test_the_suppression_limit_is_a_share_of_the_rows_rounded_down():
    policy = PrivacyPolicy(k=2, suppression=0.05)
    assert [most_suppressed(rows, policy) for rows in (0, 19, 20, 30_000, 100)] == [0, 0, 1, 1500, 5]
