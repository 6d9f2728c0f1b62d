"""Keystreams that hide an update, and the sums that make them cancel. All arithmetic is modulo 2^32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fl_tasks.secagg.errors import BadKey, MalformedMessage
from fl_tasks.secagg.wire import Header, u16

Ring = NDArray[np.uint32]
KEY_BYTES = 32
# One chunk of every peer's keystream stays in the second-level cache while it is added.
CHUNK_BYTES = 128 * 1024
_ZEROS = bytes(CHUNK_BYTES)


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


def pair_key(private: X25519PrivateKey, public: bytes, header: Header, me: int, peer: int) -> bytes:
    """Return the AES-256 key of the keystream that two agencies share in one round."""
    low, high = min(me, peer), max(me, peer)
    return derive(agree(private, public), b"flsa/1/pair", header.encode(), u16(low), u16(high))


def self_key(b: bytes, header: Header, me: int) -> bytes:
    """Return the AES-256 key of the keystream that only one agency knows in one round."""
    return derive(b, b"flsa/1/self", header.encode(), u16(me))


def keystream(key: bytes, length: int) -> Ring:
    """Return `length` words of AES-256-CTR (zero IV), little-endian; a key is used for one stream only."""
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(4 * length))
    return np.frombuffer(stream, dtype="<u4").astype(np.uint32, copy=False)


def add_streams(vector: Ring, add: Sequence[bytes], subtract: Sequence[bytes] = ()) -> None:
    """Add and subtract whole keystreams to a vector in place, modulo 2^32.

    Chunk outer, key inner: one chunk of the vector stays in the cache while every key's stream passes.

    Args:
        vector: Shape (d,), dtype uint32, C-contiguous and writable.
        add: Keys whose streams are added.
        subtract: Keys whose streams are subtracted.

    Raises:
        MalformedMessage: If the vector is of another kind.
    """
    if vector.dtype != np.uint32 or vector.ndim != 1 or not vector.flags.c_contiguous:
        raise MalformedMessage(f"a vector of uint32 is needed, got {vector.dtype} of shape {vector.shape}")
    zero_iv = modes.CTR(bytes(16))
    signed: list[tuple[np.ufunc, bytes]] = [(np.add, key) for key in add]
    signed += [(np.subtract, key) for key in subtract]
    streams = [(combine, Cipher(algorithms.AES(key), zero_iv).encryptor()) for combine, key in signed]
    buffer = bytearray(CHUNK_BYTES + 15)  # update_into wants a block of slack
    words = np.frombuffer(buffer, dtype="<u4", count=CHUNK_BYTES // 4)
    zeros = memoryview(_ZEROS)
    for start in range(0, vector.size, CHUNK_BYTES // 4):
        part = vector[start : start + CHUNK_BYTES // 4]
        for combine, stream in streams:
            stream.update_into(zeros[: 4 * part.size], buffer)
            combine(part, words[: part.size], out=part)


def signed_sum(total: Ring) -> NDArray[np.int64]:
    """Read ring elements as signed integers in [-2^31, 2^31), shape (d,)."""
    return total.astype(np.uint32, copy=False).view(np.int32).astype(np.int64)
