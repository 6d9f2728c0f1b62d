"""Keystreams that hide an update, and the sums that make them cancel. All arithmetic is modulo 2^32.

Long vectors are cut into one range a core. A stream is entered at any block, because CTR mode counts blocks: the
threads write exactly the words that one thread would. Cipher and NumPy let go of the interpreter's lock meanwhile.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

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
# One chunk of every peer's keystream stays in the second-level cache while it is added.
CHUNK_BYTES = 256 * 1024
_ZEROS = bytes(CHUNK_BYTES)
_BLOCK_WORDS = 4  # one AES block
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


def keystream_parts(key: bytes, start: int, stop: int, size: int) -> Iterator[Ring]:
    """Yield words start to stop of a key's stream, `size` words at a time; each part is overwritten by the next.

    `start` is a multiple of 4, the words of a block.
    """
    stream, zeros, buffer = _stream(key, start), memoryview(bytes(4 * size)), bytearray(4 * size + 15)
    words = np.frombuffer(buffer, dtype="<u4", count=size)
    for at in range(start, stop, size):
        part = min(size, stop - at)
        stream.update_into(zeros[: 4 * part], buffer)
        yield words[:part]


def add_streams(vector: Ring, add: Iterable[bytes], subtract: Iterable[bytes] = ()) -> None:
    """Add and subtract whole keystreams to a vector in place, modulo 2^32, on all cores.

    Chunk outer, key inner: one chunk of the vector stays in the cache while many keys' streams pass.

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

    def work(start: int, stop: int) -> None:
        buffer = bytearray(CHUNK_BYTES + 15)  # update_into wants a block of slack
        words = np.frombuffer(buffer, dtype="<u4", count=CHUNK_BYTES // 4)
        zeros = memoryview(_ZEROS)
        for first in range(0, len(signed), _OPEN_STREAMS):
            group = signed[first : first + _OPEN_STREAMS]
            streams = [(combine, _stream(key, start)) for combine, key in group]
            for at in range(start, stop, CHUNK_BYTES // 4):
                part = vector[at : min(at + CHUNK_BYTES // 4, stop)]
                for combine, stream in streams:
                    stream.update_into(zeros[: 4 * part.size], buffer)
                    combine(part, words[: part.size], out=part)

    on_all_cores(vector.size, RANGE_WORDS, work)


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
    ranges = list(itertools.pairwise(cuts))
    with ThreadPoolExecutor(parts) as pool:
        others = [pool.submit(work, *bounds) for bounds in ranges[1:]]
        work(*ranges[0])
        for other in others:
            other.result()


def _stream(key: bytes, word: int) -> CipherContext:
    """Open a key's stream at the block that holds a word; the counter is a big-endian number from 0."""
    counter = (word // _BLOCK_WORDS).to_bytes(16, "big")
    return Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
