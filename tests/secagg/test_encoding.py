"""Clip, weigh, round: unbiased, bounded, and refused where it cannot be right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.secagg.errors import CountMismatch, NotFinite, WeightTooLarge
from fl_tasks.secagg.parameters import HALF_RING, SLOTS, checked_threshold, delta_encoding, largest_weight
from fl_tasks.secagg.quantize import decode_sum, encode_update
from tests.secagg.federation import secagg_config

KEY = b"k" * 32
LOSSES = (0.1, 0.2)


def _sum(updates):
    total = np.zeros_like(updates[0])
    for update in updates:
        total += update
    return total


@settings(deadline=None)
@given(
    n=st.integers(3, 12),
    examples=st.lists(st.integers(1, 400), min_size=3, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_opened_mean_is_the_weighted_mean_to_the_quantization_step(n, examples, seed):
    config = secagg_config(n)
    random = np.random.default_rng(seed)
    deltas = [random.normal(0, 0.1, 50) for _ in examples]
    updates = [encode_update(d, m, (0.5, 0.25), n, config, KEY) for d, m in zip(deltas, examples, strict=True)]
    opened = decode_sum(_sum(updates), 3, n, config)
    weight = sum(examples) / config.n_ref
    step = 1 / (delta_encoding(n, config).scale * weight)
    expected = np.average(deltas, axis=0, weights=examples)
    assert np.abs(opened.mean_delta - expected).max() <= 3 * step
    assert (opened.members, opened.examples, opened.clipped) == (3, sum(examples), 0)
    assert opened.mean_loss == pytest.approx(0.5, abs=1e-4)
    assert opened.mean_validation_loss == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("n", [3, 4, 50, 200])
def test_the_sum_of_all_agencies_at_the_bound_stays_below_half_the_ring(n):
    """One parameter takes the whole norm, every agency has the largest weight: the sum is still read right."""
    config = secagg_config(n)
    most = largest_weight(n, config)
    update = encode_update(np.array([config.clip]), most, (config.max_loss, config.max_loss), n, config, KEY)
    assert n * int(update[0]) < HALF_RING
    opened = decode_sum(_sum([update] * n), n, n, config)
    assert opened.mean_delta[0] == pytest.approx(config.clip, rel=1e-6)
    assert opened.mean_loss == pytest.approx(config.max_loss, rel=1e-6)
    assert opened.mean_validation_loss == pytest.approx(config.max_loss, rel=1e-6)


def test_a_long_delta_is_scaled_down_to_the_clip_and_counted():
    config = secagg_config(3)
    delta = np.array([30.0, 40.0])
    opened = decode_sum(_sum([encode_update(delta, 100, (0.0, 0.0), 3, config, KEY)] * 3), 3, 3, config)
    assert np.linalg.norm(opened.mean_delta) == pytest.approx(config.clip, rel=1e-6)
    assert opened.clipped == 3


def test_rounding_is_unbiased():
    config = secagg_config(3)
    step = 1 / delta_encoding(3, config).scale
    value = np.full(200_000, 0.3 * step)
    update = encode_update(value, config.n_ref, (0.0, 0.0), 3, config, KEY)[: -len(SLOTS)]
    # 200,000 draws of probability 0.3: five standard deviations are 0.0051.
    assert update.mean() == pytest.approx(0.3, abs=0.006)
    assert set(np.unique(update)) == {0, 1}


def test_the_same_input_gives_the_same_bytes():
    config = secagg_config(3)
    delta = np.linspace(-1, 1, 100)
    first, again = (encode_update(delta, 10, LOSSES, 3, config, KEY) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_delta_that_is_not_finite_is_refused(bad):
    with pytest.raises(NotFinite):
        encode_update(np.array([0.1, bad]), 10, LOSSES, 3, secagg_config(3), KEY)


@pytest.mark.parametrize("losses", [(np.nan, 0.0), (0.1, np.inf), (0.1, -0.1)])
def test_a_loss_that_is_not_finite_or_negative_is_refused(losses):
    with pytest.raises(NotFinite):
        encode_update(np.array([0.1]), 10, losses, 3, secagg_config(3), KEY)


def test_a_weight_over_the_maximum_is_refused():
    with pytest.raises(WeightTooLarge, match="401 training examples, the roster admits 1 to 400"):
        encode_update(np.array([0.1]), 401, LOSSES, 3, secagg_config(3), KEY)


def test_a_sum_over_other_members_than_the_manifest_names_is_refused():
    config = secagg_config(4)
    update = encode_update(np.array([0.1]), 10, LOSSES, 4, config, KEY)
    with pytest.raises(CountMismatch):
        decode_sum(_sum([update] * 3), 4, 4, config)


@pytest.mark.parametrize(("n", "n_c", "t"), [(3, 1, 3), (4, 1, 3), (5, 2, 4), (7, 2, 5), (10, 3, 7), (50, 17, 34)])
def test_the_default_threshold_admits_the_designs_colluders(n, n_c, t):
    assert checked_threshold(n, SecAggConfig(**_values(n_c))) == t


@pytest.mark.parametrize(("n", "n_c", "t"), [(2, 0, None), (4, 2, 3), (4, 1, 2), (10, 0, 5), (4, 0, 5), (4, 3, None)])
def test_a_threshold_that_an_active_coordinator_could_split_is_refused(n, n_c, t):
    with pytest.raises(ConfigError, match=r"secagg\.t|agencies joined"):
        checked_threshold(n, SecAggConfig(**_values(n_c), t=t))


def _values(n_c):
    return {"mode": "active", "n_c": n_c, "clip": 1.0, "n_ref": 100, "w_max": 4.0, "max_loss": 10.0}
