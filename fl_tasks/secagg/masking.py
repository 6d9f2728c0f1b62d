"""Keystreams that hide an update, and the sums that make them cancel. All arithmetic is modulo 2^32.

Many streams are shared out to the cores, a long vector is cut into one range a core. A stream is entered at any block,
because CTR mode counts blocks: the threads write exactly the words that one thread would. Cipher and NumPy let go of
the interpreter's lock meanwhile.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fl_tasks.secagg.errors import BadKey, MalformedMessage
from fl_tasks.secagg.wire import Header, u16

Ring = NDArray[np.uint32]
KEY_BYTES = 32
# A core's cache holds two chunks, the sum and the keystream that is added to it. With smaller ones the threads wait for
# the interpreter's lock more often.
CHUNK_BYTES = 512 * 1024
CHUNK_WORDS = CHUNK_BYTES // 4
_ZEROS = memoryview(bytes(CHUNK_BYTES))
_SLACK = 15  # what update_into wants beyond its output
_BLOCK_WORDS = 4  # one AES block
_HEAD_WORDS = 2 * _BLOCK_WORDS  # a stream's words that GCM does not give
RANGE_WORDS = 4096  # a core's range of a vector is a multiple of it
# Streams that are open at once in a thread: their cipher states stay in the cache, and memory does not grow with
# the square of the agencies when many were lost.
_OPEN_STREAMS = 64


def derive(secret: bytes, *info: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA256 (RFC 5869) without salt; info is concatenated and starts with a label."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"".join(info)).derive(secret)


def agree(private: X25519PrivateKey, public: bytes) -> bytes:
    """Return the X25519 shared secret (RFC 7748).

    Raises:
        BadKey: If the peer's key is of low order, so that the secret would be known to anyone.
    """
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("a peer's X25519 key is of low order or no key: the session's keys were tampered with") from error


def pair_key(
    private: X25519PrivateKey, public: bytes, header: Header, me: int, peer: int, contribution: bytes = b""
) -> bytes:
    """Return the AES-256 key of the keystream that two agencies share in one round.

    `contribution` is what the smaller id adds in a hybrid roster; see hybrid.py.
    """
    low, high = min(me, peer), max(me, peer)
    return derive(agree(private, public) + contribution, b"flsa/1/pair", header.encode(), u16(low), u16(high))


def self_key(b: bytes, header: Header, me: int) -> bytes:
    """Return the AES-256 key of the keystream that only one agency knows in one round."""
    return derive(b, b"flsa/1/self", header.encode(), u16(me))


def mask_keys(
    private: X25519PrivateKey,
    b: bytes,
    publics: Mapping[int, bytes],
    header: Header,
    me: int,
    contributions: Mapping[int, bytes] | None = None,
) -> tuple[list[bytes], list[bytes]]:
    """Return the keys of the streams that one agency adds, and of those that it subtracts, in one round.

    Args:
        private: Its X25519 key of this round.
        b: Its seed of this round.
        publics: id -> public key of this round, of everyone in A; its own is passed over.
        header: Of this round and model.
        me: Its id.
        contributions: peer -> what the smaller id of the two adds to the key, in a hybrid roster; None in another.

    Raises:
        BadKey: If a peer's key is of low order.
    """
    add = [self_key(b, header, me)]
    subtract: list[bytes] = []
    for peer, public in publics.items():
        if peer != me:
            # Of a pair the smaller id adds, the larger subtracts: in the sum they cancel.
            added = b"" if contributions is None else contributions[peer]
            key = pair_key(private, public, header, me, peer, added)
            (add if me < peer else subtract).append(key)
    return add, subtract


def keystream(key: bytes, length: int, start: int = 0) -> Ring:
    """Return `length` words of AES-256-CTR (zero IV), little-endian, from word `start` on.

    A key is used for one stream only.
    """
    skip = start % _BLOCK_WORDS
    stream = _stream(key, start).update(bytes(4 * (skip + length)))
    return np.frombuffer(stream, dtype="<u4")[skip:].astype(np.uint32, copy=False)


def keystream_chunks(key: bytes, start: int, stop: int) -> Iterator[Ring]:
    """Yield words start to stop of a key's stream, CHUNK_WORDS at a time; each chunk is overwritten by the next.

    `start` is a multiple of 4, the words of a block.
    """
    stream, buffer = _stream(key, start), bytearray(CHUNK_BYTES + _SLACK)
    words = np.frombuffer(buffer, dtype="<u4", count=CHUNK_WORDS)
    for at in range(start, stop, CHUNK_WORDS):
        size = min(CHUNK_WORDS, stop - at)
        stream.update_into(_ZEROS[: 4 * size], buffer)
        yield words[:size]


def open_ctr(key: bytes) -> tuple[Ring, CipherContext]:
    """Return the first two blocks of a key's stream, 8 words, and the context that goes on behind them."""
    stream = _stream(key, 0)
    return np.frombuffer(stream.update(bytes(4 * _HEAD_WORDS)), dtype="<u4"), stream


def open_gcm(key: bytes) -> tuple[Ring, CipherContext]:
    """Return the same, with a context of another mode that gives the same words.

    GCM is counter mode, under a nonce of zeros from the third block on; its tag is never made. Where a processor has
    vector AES, OpenSSL uses it for GCM and not for CTR: 25 instead of 32 microseconds for 256 KiB.

    Source: NIST SP 800-38D, section 7.1, https://doi.org/10.6028/NIST.SP.800-38D
    """
    return keystream(key, _HEAD_WORDS), Cipher(algorithms.AES(key), modes.GCM(bytes(12))).encryptor()


@functools.cache
def fastest_opening() -> Callable[[bytes], tuple[Ring, CipherContext]]:
    """Return open_ctr or open_gcm, whichever is faster on this machine; tried once a process, in half a millisecond."""
    return min((open_ctr, open_gcm), key=_seconds)


def _seconds(opening: Callable[[bytes], tuple[Ring, CipherContext]]) -> float:
    """The least of some tries: whatever else the machine does only adds to it."""
    _, stream = opening(bytes(KEY_BYTES))
    buffer = bytearray(CHUNK_BYTES + _SLACK)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        stream.update_into(_ZEROS, buffer)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def add_streams(vector: Ring, add: Iterable[bytes], subtract: Iterable[bytes] = ()) -> None:
    """Add and subtract whole keystreams to a vector in place, modulo 2^32, on all cores.

    The streams are shared out to the cores. Chunk outer, key inner: a core sums its streams of one chunk in its cache,
    then puts the sum on the vector.

    Args:
        vector: Shape (d,), dtype uint32, C-contiguous and writable.
        add: Keys whose streams are added.
        subtract: Keys whose streams are subtracted.

    Raises:
        MalformedMessage: If the vector is of another kind.
    """
    if vector.dtype != np.uint32 or vector.ndim != 1 or not vector.flags.c_contiguous:
        raise MalformedMessage(f"a vector of uint32 is needed, got {vector.dtype} of shape {vector.shape}")
    signed: list[tuple[np.ufunc, bytes]] = [(np.add, key) for key in add]
    signed += [(np.subtract, key) for key in subtract]
    opening, one_writer = fastest_opening(), threading.Lock()

    def put(start: int, summed: Ring) -> None:
        part = vector[start : start + summed.size]
        with one_writer:
            part += summed[: part.size]

    def work(first: int, last: int) -> None:
        buffer, sums = bytearray(CHUNK_BYTES + _SLACK), np.empty(CHUNK_WORDS, dtype=np.uint32)
        words = np.frombuffer(buffer, dtype="<u4", count=CHUNK_WORDS)
        for group in range(first, last, _OPEN_STREAMS):
            streams = [(combine, *opening(key)) for combine, key in signed[group : min(group + _OPEN_STREAMS, last)]]
            head = np.zeros(_HEAD_WORDS, dtype=np.uint32)
            for combine, head_words, _ in streams:
                combine(head, head_words, out=head)
            put(0, head)
            for start in range(_HEAD_WORDS, vector.size, CHUNK_WORDS):
                size = min(CHUNK_WORDS, vector.size - start)
                zeros, part, summed = _ZEROS[: 4 * size], words[:size], sums[:size]
                summed.fill(0)
                for combine, _, stream in streams:
                    stream.update_into(zeros, buffer)
                    combine(summed, part, out=summed)
                put(start, summed)

    on_all_cores(len(signed), 1, work)


def on_all_cores(size: int, step: int, work: Callable[[int, int], object]) -> None:
    """Call work(start, stop) for ranges that cover [0, size), each in a thread of its own, one a core.

    Args:
        size: Elements.
        step: Every range but the last is a multiple of it; a range has at least one step.
        work: Has to touch nothing outside of its range. What it raises is raised here.
    """
    steps = -(-size // step)
    parts = max(1, min(len(os.sched_getaffinity(0)), steps))
    cuts = [min(size, steps * part // parts * step) for part in range(parts + 1)]
    first, *others = itertools.pairwise(cuts)
    errors: list[BaseException] = []

    def guarded(start: int, stop: int) -> None:
        try:
            work(start, stop)
        except BaseException as error:
            errors.append(error)

    # Bare threads start twice as fast as a pool's.
    threads = [threading.Thread(target=guarded, args=bounds) for bounds in others]
    for thread in threads:
        thread.start()
    guarded(*first)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _stream(key: bytes, word: int) -> CipherContext:
    """Open a key's stream at the block that holds a word; the counter is a big-endian number from 0."""
    counter = (word // _BLOCK_WORDS).to_bytes(16, "big")
    return Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
