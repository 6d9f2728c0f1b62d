"""The protocol's parts: sharing, keystreams, message forms, the closed set."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.secagg.coordinator import largest_covered_set
from fl_tasks.secagg.errors import BadKey, BadSignature, InconsistentShares, MalformedMessage, TooFewAgencies
from fl_tasks.secagg.masking import CHUNK_BYTES, add_streams, agree, keystream
from fl_tasks.secagg.messages import Ack, KeyList, Upload
from fl_tasks.secagg.shamir import combine, lagrange_weights, split
from fl_tasks.secagg.wire import Header

SIGNING = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = SIGNING.public_key().public_bytes_raw()


@given(st.binary(min_size=32, max_size=32), st.integers(1, 12), st.data())
def test_any_t_shares_give_the_secret_back(secret, t, data):
    points = list(range(1, 13))
    shares = dict(zip(points, split(secret, t, points), strict=True))
    chosen = data.draw(st.permutations(points))[:t]
    weights = dict(zip(chosen, lagrange_weights(chosen), strict=True))
    assert combine({point: shares[point] for point in chosen}, weights) == secret


@given(st.binary(min_size=32, max_size=32))
def test_fewer_than_t_shares_give_something_else(secret):
    shares = dict(zip([1, 2, 3], split(secret, 3, [1, 2, 3]), strict=True))
    weights = dict(zip([1, 2], lagrange_weights([1, 2]), strict=True))
    try:
        found = combine({1: shares[1], 2: shares[2]}, weights)
    except InconsistentShares:
        return  # above the range of secrets: as good as another value
    assert found != secret


@pytest.mark.parametrize("length", [1, 7, CHUNK_BYTES // 4, CHUNK_BYTES // 4 + 1, 3 * CHUNK_BYTES // 4 + 5])
def test_streams_are_added_whole_across_chunks(length):
    """The oracle is one call of the cipher over all bytes."""
    keys = [bytes([i]) * 32 for i in range(3)]
    vector = np.arange(length, dtype=np.uint32)
    expected = vector.copy()
    for key, sign in zip(keys, (1, 1, -1), strict=True):
        raw = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * length))
        expected += np.frombuffer(raw, dtype="<u4") * np.uint32(sign % 2**32)
    add_streams(vector, keys[:2], keys[2:])
    assert np.array_equal(vector, expected)
    assert np.array_equal(
        keystream(keys[0], 4),
        np.frombuffer(Cipher(algorithms.AES(keys[0]), modes.CTR(bytes(16))).encryptor().update(bytes(16)), dtype="<u4"),
    )


def test_a_key_of_low_order_is_refused():
    with pytest.raises(BadKey):
        agree(X25519PrivateKey.generate(), bytes(32))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_by_name(data):
    for kind in (Ack, KeyList):
        with pytest.raises((MalformedMessage, BadSignature)):
            kind.decode(data, lambda _: PUBLIC, 4)
    with pytest.raises((MalformedMessage, BadSignature)):
        Upload.decode(data, lambda _: PUBLIC, 40)


@given(st.integers(0, 107), st.integers(1, 255))
def test_one_changed_byte_is_refused(at, change):
    message = bytearray(Ack(3, b"h" * 32).encode(SIGNING))
    message[at % len(message)] ^= change
    with pytest.raises((MalformedMessage, BadSignature)):
        Ack.decode(bytes(message), lambda _: PUBLIC, 0)


def test_messages_have_the_designs_sizes():
    """Beside ids and the 6-byte prefix: ack 96, upload 148 + payload, list 80 + 34 an entry."""
    header = Header(b"s" * 16, 1, b"h" * 32, b"m" * 32)
    assert len(header.encode()) == 84
    assert len(Ack(0, b"h" * 32).encode(SIGNING)) == 96 + 2 + 6
    assert len(Upload.make(SIGNING, header, 0, bytes(40)).encode()) == 148 + 40 + 2 + 6
    entries = tuple((i, b"h" * 32) for i in range(4))
    assert len(KeyList(b"s" * 16, entries).encode(SIGNING)) == 216 + 6


@given(st.integers(3, 8), st.data())
def test_the_closed_set_is_the_largest_that_covers_itself(n, data):
    """The oracle tries all sets."""
    everyone = frozenset(range(n))
    some = st.one_of(st.just(everyone), st.frozensets(st.integers(0, n - 1)))
    covers = {i: data.draw(some) | {i} for i in range(n)}
    subsets = [ids for size in range(1, n + 1) for ids in itertools.combinations(range(n), size)]
    sets = [ids for ids in subsets if all(set(ids) <= covers[i] for i in ids)]
    size = max(len(ids) for ids in sets)
    t = 2
    if size < t:
        with pytest.raises(TooFewAgencies):
            largest_covered_set(covers, t)
    else:
        assert largest_covered_set(covers, t) == min(ids for ids in sets if len(ids) == size)
