"""What is computed on all cores is what one core computes, and costs no vector more."""

from __future__ import annotations

import math
import os
import time
import tracemalloc
from unittest import mock

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.secagg import masking, quantize
from fl_tasks.secagg.errors import NotFinite
from fl_tasks.secagg.masking import (
    CHUNK_WORDS,
    add_streams,
    fastest_opening,
    keystream,
    on_all_cores,
    open_ctr,
    open_gcm,
)
from fl_tasks.secagg.parameters import HALF_RING, delta_encoding, largest_weight
from fl_tasks.secagg.quantize import decode_sum, encode_update
from tests.secagg.federation import secagg_config

KEY = b"k" * 32


@pytest.fixture(params=[1, 2, 3, 7])
def cores(request, monkeypatch) -> int:
    """As if the machine had so many cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(request.param)))
    return request.param


def _whole_stream(key: bytes, length: int) -> np.ndarray:
    """The oracle: one call of the cipher from its start."""
    raw = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * length))
    return np.frombuffer(raw, dtype="<u4")


@pytest.mark.parametrize("opening", [open_ctr, open_gcm])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 4097, CHUNK_WORDS + 8, 2 * CHUNK_WORDS + 4098])
def test_streams_are_the_same_on_any_number_of_cores_and_in_either_mode(cores, opening, length, monkeypatch):
    monkeypatch.setattr(masking, "fastest_opening", lambda: opening)
    for count in (0, 1, 3, 5, 140 if length < CHUNK_WORDS else 70):  # fewer than cores, and more than are open at once
        keys = [i.to_bytes(32, "big") for i in range(count)]
        vector = np.arange(length, dtype=np.uint32)
        expected = vector.copy()
        for i, key in enumerate(keys):
            expected += _whole_stream(key, length) * np.uint32(1 if i % 3 else 2**32 - 1)
        add_streams(vector, [key for i, key in enumerate(keys) if i % 3], iter(keys[::3]))
        assert np.array_equal(vector, expected)


class Watched(np.ndarray):
    """A vector that counts how many threads add to it at once, and takes its time."""

    inside, most = 0, 0

    def __iadd__(self, other):
        Watched.inside += 1
        Watched.most = max(Watched.most, Watched.inside)
        time.sleep(0.005)
        result = super().__iadd__(other)
        Watched.inside -= 1
        return result


def test_cores_put_their_sums_on_the_vector_one_after_another(monkeypatch):
    """NumPy lets go of the interpreter's lock: of two additions at once to one chunk one would be lost."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    add_streams(np.zeros(4096, dtype=np.uint32).view(Watched), [bytes([i]) * 32 for i in range(4)])
    assert (Watched.most, Watched.inside) == (1, 0)


@pytest.mark.parametrize("faster", [open_ctr, open_gcm])
def test_the_faster_mode_is_taken_and_tried_once(faster, monkeypatch):
    tried = []

    def seconds(opening) -> float:
        tried.append(opening)
        return 1.0 if opening is faster else 2.0

    monkeypatch.setattr(masking, "_seconds", seconds)
    fastest_opening.cache_clear()
    try:
        assert [fastest_opening(), fastest_opening()] == [faster, faster]
        assert len(tried) == 2
    finally:
        fastest_opening.cache_clear()


@given(start=st.integers(0, 40), length=st.integers(0, 40))
def test_a_stream_can_be_entered_at_any_word(start, length):
    assert np.array_equal(keystream(KEY, length, start), _whole_stream(KEY, 80)[start : start + length])


@given(size=st.integers(0, 100_000), step=st.integers(1, 40_000))
def test_ranges_cover_everything_once(size, step):
    seen = np.zeros(size, dtype=np.uint8)

    def work(start: int, stop: int) -> None:
        assert start % step == 0
        seen[start:stop] += 1

    on_all_cores(size, step, work)
    assert (seen == 1).all()


def test_an_error_in_a_thread_is_raised(cores):
    def work(start: int, stop: int) -> None:
        raise NotFinite("from a thread")

    with pytest.raises(NotFinite, match="from a thread"):
        on_all_cores(100, 1, work)


@pytest.mark.parametrize("scale", [0.001, 1.0])
def test_an_update_is_the_same_on_any_number_of_cores(cores, scale):
    """The oracle rounds all values in one piece, with NumPy's own norm. Scale 1.0 is clipped."""
    config = secagg_config(5)
    delta = np.random.default_rng(4).normal(0, scale, 50_001)
    update = encode_update(delta, 130, (0.1, 0.2), 5, config, KEY)
    norm = float(np.linalg.norm(delta))
    factor = 1.3 * min(1.0, config.clip / norm)
    steps = delta * factor * delta_encoding(5, config).scale
    expected = np.floor(steps) + (_whole_stream(KEY, delta.size) < (steps - np.floor(steps)) * 2.0**32)
    # The clip leaves a trillionth below the bound: a few values in a million may round to the other side.
    off = update[: delta.size].view(np.int32) - expected
    assert np.count_nonzero(off) < 50
    assert np.abs(off).max() <= 1
    assert update[-3] == (norm > config.clip)


def test_an_update_of_float32_is_rounded_as_float64():
    config = secagg_config(5)
    delta = np.random.default_rng(4).normal(0, 0.001, 1000).astype(np.float32)
    wide = encode_update(delta.astype(np.float64), 130, (0.1, 0.2), 5, config, KEY)
    assert np.array_equal(encode_update(delta, 130, (0.1, 0.2), 5, config, KEY), wide)


@settings(deadline=None)
@given(
    n=st.integers(3, 200),
    clip=st.floats(1e-3, 1e3),
    w_max=st.integers(50, 5000).map(lambda hundredths: hundredths / 100),  # the largest weight is w_max itself
    ulps=st.integers(-8, 8),
    sign=st.sampled_from([1.0, -1.0]),
    draw=st.sampled_from([0, 2**32 - 1]),
)
def test_no_sum_leaves_the_ring_however_near_the_bound(n, clip, w_max, ulps, sign, draw):
    """One value takes the whole norm, a few floating-point steps around the clip, at the largest weight, and the
    draws are the worst: all up, or all down.
    """
    config = secagg_config(n, clip=clip, w_max=w_max)
    value = sign * clip
    for _ in range(abs(ulps)):
        value = float(np.nextafter(value, math.copysign(math.inf, ulps)))
    most = largest_weight(n, config)
    worst = np.array([draw] * 2, dtype=np.uint32)
    with (
        mock.patch.object(quantize, "keystream", return_value=worst),
        mock.patch.object(quantize, "keystream_chunks", return_value=[worst[:1]]),
    ):
        update = encode_update(np.array([value]), most, (config.max_loss, config.max_loss), n, config, KEY)
    assert max(abs(int(word)) for word in update.view(np.int32)) * n < HALF_RING
    total = (update.astype(np.uint64) * n).astype(np.uint32)
    assert decode_sum(total, n, n, config).mean_delta[0] == pytest.approx(value, rel=1e-5)


def test_a_norm_beyond_floating_point_is_refused():
    with pytest.raises(NotFinite):
        encode_update(np.full(3, 1e200), 10, (0.1, 0.2), 3, secagg_config(3), KEY)


def test_rounding_needs_no_second_vector_of_floats():
    """Beside its result, 4 bytes a value, encoding holds only chunks."""
    delta = np.zeros(2_000_000)
    tracemalloc.start()
    try:
        update = encode_update(delta, 10, (0.1, 0.2), 3, secagg_config(3), KEY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert update.nbytes < peak < 1.5 * update.nbytes
