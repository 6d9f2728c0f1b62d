"""What holds for every N, t, n_c, loss pattern, length and value, by many small cases.

test_sum.py drives the agencies' own state machines through losses; here the pure functions go through thresholds,
colluders, encodings and rounds.
"""

from __future__ import annotations

import dataclasses
import math
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.secagg.agency import open_shares
from fl_tasks.secagg.errors import NotFinite, RingOverflow, WeightTooLarge
from fl_tasks.secagg.masking import CHUNK_BYTES, keystream
from fl_tasks.secagg.messages import Shares
from fl_tasks.secagg.parameters import (
    HALF_RING,
    SLOTS,
    checked_threshold,
    default_threshold,
    delta_encoding,
    largest_weight,
    loss_encoding,
)
from fl_tasks.secagg.quantize import decode_sum, encode_update
from fl_tasks.secagg.session import list_hash
from tests.secagg import independent
from tests.secagg.federation import secagg_config
from tests.secagg.flow import Flow

KEY = b"k" * 32
NO_LOSS = (0.0, 0.0)
WORDS = CHUNK_BYTES // 4


# ---- the sum, for any parameters and losses


@st.composite
def _sessions(draw: st.DrawFn):
    """N, n_c and any t that both admit; who is lost when, so that t are left at every step that needs them."""
    n = draw(st.integers(3, 9))
    n_c = draw(st.integers(0, n - 2))
    t = draw(st.integers(max(n_c + 2, (n + n_c) // 2 + 1), n))
    everyone = range(n)
    lost_in_set_up = draw(st.dictionaries(st.sampled_from(everyone), st.sampled_from(["keys", "shares", "ready"])))
    lost_in_set_up = dict(list(lost_in_set_up.items())[: n - t])
    in_set = [i for i in everyone if i not in lost_in_set_up]
    here = st.lists(st.sampled_from(in_set), min_size=t, unique=True).map(sorted)
    rounds = []
    for _ in range(draw(st.integers(1, 2))):
        acking = draw(here)
        revealing = draw(st.lists(st.sampled_from(acking), min_size=t, unique=True).map(sorted))
        rounds.append((draw(here), tuple(acking), tuple(revealing)))
    # One parameter, lengths around a cipher's block and around a chunk of the masks.
    length = draw(st.sampled_from([1, 2, 3, 4, 5, 63, 1001, WORDS - 1, WORDS, WORDS + 1]))
    return n, n_c, t, lost_in_set_up, rounds, length, draw(st.integers(0, 2**32 - 1))


EXTREMES = np.array([0, 1, HALF_RING - 1, HALF_RING, 2**32 - 1], dtype=np.uint32)


@settings(max_examples=30, deadline=None)
@given(_sessions())
def test_the_sum_is_exact_for_every_threshold_loss_pattern_and_length(case):
    n, n_c, t, lost_in_set_up, rounds, length, seed = case
    flow = Flow.of(n, r_max=len(rounds), n_c=n_c, t=t)
    closed = flow.set_up(lost_in_set_up)
    random = np.random.default_rng(seed)
    for number, (sending, acking, revealing) in enumerate(rounds, start=1):
        updates = {i: random.choice(EXTREMES, length) for i in sending}
        flow.round(closed, number, updates, model=bytes([number]) * 32, acking=acking, revealing=revealing)
        plain = np.sum(list(updates.values()), axis=0, dtype=np.uint32)
        assert np.array_equal(flow.unmask(closed, number, length), plain)


@st.composite
def _values(draw: st.DrawFn):
    """Deltas of one to forty parameters, weights and losses for n agencies, extremes among them."""
    n = draw(st.integers(3, 6))
    config = secagg_config(n, clip=draw(st.sampled_from([1e-3, 4.0, 1e6])), w_max=draw(st.sampled_from([0.5, 4.0])))
    d = draw(st.integers(1, 40))
    coordinate = st.floats(-2 * config.clip, 2 * config.clip) | st.sampled_from([0.0, config.clip, -config.clip])
    alternating = np.array([config.clip if i % 2 else -config.clip for i in range(d)])
    deltas = [draw(st.lists(coordinate, min_size=d, max_size=d).map(np.array) | st.just(alternating)) for _ in range(n)]
    most = largest_weight(n, config)
    examples = draw(st.lists(st.integers(1, most) | st.just(most), min_size=n, max_size=n))
    loss = st.floats(0, 2 * config.max_loss) | st.just(config.max_loss)
    losses = draw(st.lists(st.tuples(loss, loss), min_size=n, max_size=n))
    survivors = sorted(draw(st.sets(st.sampled_from(range(n)), min_size=config.t)))
    return n, config, deltas, examples, losses, survivors


@settings(max_examples=40, deadline=None)
@given(_values())
def test_from_deltas_to_the_mean_through_masks_within_a_quantization_step(case):
    """The oracle is the weighted mean in float64 of the clipped deltas; every survivor may be off by one step."""
    n, config, deltas, examples, losses, survivors = case
    words = [encode_update(deltas[i], examples[i], losses[i], n, config, bytes([i]) * 32) for i in range(n)]
    flow = Flow.of(n, **config.model_dump())
    closed = flow.set_up()
    t = flow.roster.t
    flow.round(
        closed,
        1,
        {i: words[i] for i in survivors},
        model=b"m" * 32,
        acking=tuple(range(t)),
        revealing=tuple(range(t)),
    )
    length = words[0].size
    total = flow.unmask(closed, 1, length)
    assert np.array_equal(total, np.sum([words[i] for i in survivors], axis=0, dtype=np.uint32))
    opened = decode_sum(total, len(survivors), n, config)

    norms = [float(np.linalg.norm(delta)) for delta in deltas]
    factors = [min(1.0, config.clip / norm) if norm else 1.0 for norm in norms]
    shrunk = [delta * factor for delta, factor in zip(deltas, factors, strict=True)]
    weights = np.array([examples[i] for i in survivors]) / config.n_ref
    step = len(survivors) / (delta_encoding(n, config).scale * weights.sum())
    expected = np.average([shrunk[i] for i in survivors], axis=0, weights=weights)
    assert np.abs(opened.mean_delta - expected).max() <= step * 1.001
    assert opened.members == len(survivors)
    assert opened.examples == sum(examples[i] for i in survivors)
    near = [i for i in survivors if abs(norms[i] - config.clip) < 1e-9 * config.clip]
    over = sum(norms[i] > config.clip for i in survivors if i not in near)
    assert over <= opened.clipped <= over + len(near)
    loss_step = len(survivors) / (loss_encoding(n, config).scale * weights.sum())
    for at, mean in enumerate((opened.mean_loss, opened.mean_validation_loss)):
        wanted = np.average([min(losses[i][at], config.max_loss) for i in survivors], weights=weights)
        assert abs(mean - wanted) <= loss_step * 1.001


# ---- the bound


@pytest.mark.parametrize("n", range(3, 201))
def test_no_sum_of_n_updates_at_the_bound_leaves_half_the_ring(n):
    """Every slot at its limit, all signs alike, the fraction always rounded up: n times it, in whole numbers."""
    config = secagg_config(n)
    most = largest_weight(n, config)
    for sign in (1, -1):
        update = encode_update(np.array([sign * config.clip]), most, (config.max_loss,) * 2, n, config, KEY)
        signed = update.view(np.int32).astype(object)
        assert all(abs(n * int(word)) < HALF_RING for word in signed)
        assert n * delta_encoding(n, config).limit < HALF_RING
        # No room is wasted either: the coordinate is at the limit, but for the last step.
        assert delta_encoding(n, config).limit - abs(int(signed[0])) <= 1
        opened = decode_sum(update * np.uint32(n), n, n, config)
        assert opened.mean_delta[0] == pytest.approx(sign * config.clip, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 200),
    st.floats(1e-12, 1e6),
    st.floats(1e-6, 1e4),
    st.integers(1, 2**31 - 1),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
)
def test_no_roster_and_no_delta_overflow_the_ring(n, clip, w_max, n_ref, d, seed):
    """Whatever a roster admits: the scale is finite, and every word is within the limit; never RingOverflow."""
    config = SecAggConfig(
        mode="active", n_c=0, t=default_threshold(n), clip=clip, n_ref=n_ref, w_max=w_max, max_loss=1e6
    )
    most = largest_weight(n, config)
    if most < 1:
        with pytest.raises(WeightTooLarge):
            encode_update(np.zeros(d), 1, NO_LOSS, n, config, KEY)
        return
    random = np.random.default_rng(seed)
    delta = random.choice([-1.0, 1.0, 1e-300, 0.0, 1e100], d) * clip
    update = encode_update(delta, most, (1e6, 2e6), n, config, seed.to_bytes(32, "big"))
    limit = delta_encoding(n, config).limit
    assert np.abs(update.view(np.int32).astype(np.int64)).max() <= limit
    assert n * limit < HALF_RING


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, WORDS - 1, WORDS, 3 * WORDS])
def test_one_bad_value_anywhere_in_a_long_delta_is_refused(bad, at):
    delta = np.zeros(3 * WORDS + 1)
    delta[at] = bad
    with pytest.raises(NotFinite):
        encode_update(delta, 1, NO_LOSS, 3, secagg_config(3), KEY)


def test_values_whose_squares_overflow_are_refused_or_clipped():
    """A delta of 1e300 has no finite norm in float64: refused, never sent as zero."""
    config = secagg_config(3)
    with pytest.raises((NotFinite, RingOverflow)):
        encode_update(np.full(3, 1e300), 1, NO_LOSS, 3, config, KEY)


# ---- rounding


@pytest.mark.parametrize("fraction", [0.001, 0.25, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("whole", [-1000, -1, 0, 1000])
def test_rounding_is_unbiased_for_every_sign_and_fraction(fraction, whole):
    """400,000 draws with a fixed key: the mean of what is added is the fraction, to four standard deviations."""
    config = secagg_config(3)
    count = 400_000
    wide = config.model_copy(update={"clip": 1e6})
    value = (whole + fraction) / delta_encoding(3, wide).scale
    update = encode_update(np.full(count, value), wide.n_ref, NO_LOSS, 3, wide, b"r" * 32)[: -len(SLOTS)]
    added = update.view(np.int32).astype(np.int64) - whole
    assert set(np.unique(added)) == {0, 1}
    assert abs(added.mean() - fraction) <= 4 * math.sqrt(fraction * (1 - fraction) / count)


def test_rounding_of_neighbours_is_independent():
    config = secagg_config(3)
    count = 400_000
    value = np.full(count, 0.5 / delta_encoding(3, config).scale)
    update = encode_update(value, config.n_ref, NO_LOSS, 3, config, b"r" * 32)[: -len(SLOTS)].astype(float)
    for lag in (1, 2, 4):
        correlation = np.corrcoef(update[:-lag], update[lag:])[0, 1]
        assert abs(correlation) <= 4 / math.sqrt(count)


def test_a_key_rounds_by_its_own_keystream_word_by_word():
    """The oracle of one word: up where the draw is below the fraction times 2^32."""
    config = secagg_config(3)
    value = np.full(1000, 0.5 / delta_encoding(3, config).scale)
    update = encode_update(value, config.n_ref, NO_LOSS, 3, config, KEY)[: -len(SLOTS)]
    assert np.array_equal(update == 1, keystream(KEY, 1000) < 2**31)


@pytest.mark.parametrize("norm", [0.5, 1.0, 1.0000001, 2.0, 1e6])
def test_a_delta_is_clipped_in_l2_and_keeps_its_direction(norm):
    config = secagg_config(3)
    direction = np.random.default_rng(5).normal(size=500)
    direction /= np.linalg.norm(direction)
    delta = direction * config.clip * norm
    updates = [encode_update(delta, 100, NO_LOSS, 3, config, bytes([i]) * 32) for i in range(3)]
    opened = decode_sum(np.sum(updates, axis=0, dtype=np.uint32), 3, 3, config)
    step = 1 / delta_encoding(3, config).scale
    assert np.abs(opened.mean_delta - direction * config.clip * min(1.0, norm)).max() <= step * 1.001
    assert opened.clipped == (3 if norm > 1 else 0)


# ---- thresholds and slots


@pytest.mark.parametrize("n", range(3, 201))
def test_every_threshold_is_admitted_exactly_where_two_honest_quorums_overlap(n):
    """2t > N + n_c: two sets of t share an honest agency. t >= n_c + 2: two honest ones in every sum."""
    for n_c in {0, 1, n // 3, n // 2, n - 2, min(n - 1, 198)}:
        for t in range(2, n + 1):
            config = SecAggConfig(mode="active", n_c=n_c, t=t, clip=1.0, n_ref=1, w_max=1.0, max_loss=1.0)
            overlap = 2 * t - n  # of two sets of t among n, at the least
            admitted = overlap > n_c and t - n_c >= 2
            if admitted:
                assert checked_threshold(n, config) == t
            else:
                with pytest.raises(ConfigError):
                    checked_threshold(n, config)


def test_the_slots_stand_behind_the_parameters_in_their_order():
    assert SLOTS == ("members", "examples", "clipped", "loss", "validation_loss")
    config = secagg_config(3)
    update = encode_update(np.array([100.0]), 7, (config.max_loss, 0.0), 3, config, KEY)
    assert update.size == 1 + len(SLOTS)
    assert update[1:4].tolist() == [1, 7, 1]
    assert int(update[4]) == pytest.approx(loss_encoding(3, config).limit * 7 / (config.w_max * config.n_ref), abs=1)
    assert update[5] == 0


# ---- shares


def test_a_dealer_whose_share_is_no_field_element_is_left_out_not_its_holder():
    """Held and revealed, such a share would make the coordinator refuse the holder's reveal."""
    flow = Flow.of(4)
    for i in range(4):
        flow.keys(i)
    flow.list_keys()
    for i in range(4):
        flow.shares(i)
    name = "setup/shares/agency_002/agency_000"
    message = independent.parse(flow.store[name], rounds=1)
    h1 = list_hash(flow.store["setup/list"])
    ends = h1 + struct.pack(">HH", 2, 0)
    public = independent.public_of(flow.encryption[0])
    key = independent.kdf(independent.diffie_hellman(flow.encryption[2], public), "shares", flow.session + ends)
    plain = ChaCha20Poly1305(key).decrypt(message["nonce"], message["sealed"], ends)
    forged = ChaCha20Poly1305(key).encrypt(b"n" * 12, b"\xff" * 33 + plain[33:], ends)
    files = flow.share_files(0) | {
        2: Shares(flow.session, h1, 2, 0, b"n" * 12, forged).encode(flow.signing[2]),
    }
    _, held, refused = open_shares(
        flow.party(0), flow.store["setup/list"], flow.key_files(), flow.encryption[0], files, ()
    )
    assert set(held) == {1, 3}
    assert set(refused) == {2}


def test_the_held_shares_are_those_of_the_dealt_polynomials():
    flow = Flow.of(3)
    flow.set_up()
    for owner in range(3):
        secret = flow.secrets[owner][0]
        for kind in ("b", "k"):
            shares = {i + 1: dataclasses.asdict(flow.held[i][owner][0])[kind] for i in range(flow.roster.t)}
            assert independent.interpolate(shares) == getattr(secret, kind)
