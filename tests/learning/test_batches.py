"""The order of an agency's examples: decided by the seed, every pass complete."""

from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.learning.examples import Examples, batches


def order(count, **arguments):
    """Return the batches as lists of the examples' numbers."""
    x = np.arange(count, dtype=np.float32).reshape(count, 1)
    result = []
    for seen, target in batches(Examples(x, x + 0.5), **arguments).as_numpy_iterator():
        np.testing.assert_array_equal(target, seen + 0.5)
        result.append(seen[:, 0].astype(int).tolist())
    return result


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 40), size=st.integers(1, 50), epochs=st.integers(1, 3), seed=st.integers(0, 2**63 - 1))
def test_every_pass_sees_each_example_once_with_the_rest_in_a_last_batch(count, size, epochs, seed):
    found = order(count, size=size, epochs=epochs, seed=seed)
    a_pass = -(-count // size)
    assert len(found) == a_pass * epochs
    for start in range(0, len(found), a_pass):
        part = found[start : start + a_pass]
        assert sorted(chain.from_iterable(part)) == list(range(count))
        assert [len(batch) for batch in part[:-1]] == [size] * (a_pass - 1)


def test_the_seed_alone_decides_the_order_and_passes_differ():
    first = order(30, size=7, epochs=2, seed=4)
    assert first == order(30, size=7, epochs=2, seed=4)
    assert first != order(30, size=7, epochs=2, seed=5)
    assert first[:5] != first[5:]
