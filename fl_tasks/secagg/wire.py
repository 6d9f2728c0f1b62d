"""The form that all messages share: labelled hashes and signatures, checked reading, prefix and signature.

A message is `FLSA`, a version byte, a type byte, its fields, and last its sender's Ed25519 signature over the
label `flsa/1/<message>` and all bytes before. Ids are the index in the roster (u16), rounds u32, big-endian.
Decoding checks form and signature at once: there is no way to get a message that was not verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fl_tasks.secagg.errors import BadSignature, MalformedMessage

VERSION = 1
SESSION_BYTES = 16
HASH_BYTES = 32
SIGNATURE_BYTES = 64


def prefix(kind: int) -> bytes:
    """The first six bytes of a message of this type."""
    return b"FLSA" + bytes((VERSION, kind))


def u16(value: int) -> bytes:
    """An id, big-endian."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """A round, big-endian."""
    return value.to_bytes(4, "big")


def digest(label: str, *parts: bytes) -> bytes:
    """Return SHA-256 over the label flsa/1/<label> and the parts."""
    state = hashlib.sha256(f"flsa/1/{label}".encode())
    for part in parts:
        state.update(part)
    return state.digest()


def sign(key: Ed25519PrivateKey, label: str, *parts: bytes) -> bytes:
    """Sign label and parts, RFC 8032."""
    return key.sign(b"".join((f"flsa/1/{label}".encode(), *parts)))


def verify(public: bytes, signature: bytes, label: str, *parts: bytes) -> None:
    """Check a signature; raises BadSignature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, b"".join((f"flsa/1/{label}".encode(), *parts)))
    except (InvalidSignature, ValueError) as error:
        raise BadSignature(f"message {label}: not signed by its sender; it was altered or forged") from error


class Reader:
    """Takes fields off the front of a message; every take is checked against what is left."""

    def __init__(self, data: bytes, label: str) -> None:
        self._data = data
        self._label = label
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Take exactly count bytes; raises MalformedMessage."""
        if count > self.left:
            raise MalformedMessage(f"message {self._label}: {len(self._data)} bytes end inside a field")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, count: int) -> int:
        """Take an unsigned big-endian number of count bytes."""
        return int.from_bytes(self.take(count), "big")

    def rest(self, size: int, most: int) -> list[bytes]:
        """Take all that is left as entries of one size, at most `most` of them."""
        if self.left % size or self.left // size > most:
            raise MalformedMessage(f"message {self._label}: {self.left} bytes are no list of at most {most} entries")
        return [self.take(size) for _ in range(self.left // size)]

    def end(self) -> None:
        """Check that nothing is left."""
        if self.left:
            raise MalformedMessage(f"message {self._label}: {self.left} bytes too many")


@dataclass(frozen=True)
class Header:
    """Binds every message of a round to its session, closed set and model: session, round, H2, model hash."""

    session: bytes
    round: int
    h2: bytes
    model: bytes

    SIZE: ClassVar[int] = SESSION_BYTES + 4 + 2 * HASH_BYTES

    def encode(self) -> bytes:
        """Return 84 bytes."""
        return self.session + u32(self.round) + self.h2 + self.model

    @classmethod
    def read(cls, reader: Reader) -> Header:
        """Take a header off a message."""
        return cls(reader.take(SESSION_BYTES), reader.number(4), reader.take(HASH_BYTES), reader.take(HASH_BYTES))


class Message:
    """What all messages share: prefix, signature, one way in and one way out."""

    LABEL: ClassVar[str]
    TYPE: ClassVar[int]

    def fields(self) -> bytes:
        """Return the fields in the order of the message, without prefix and signature."""
        raise NotImplementedError

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """Read the fields; lists have at most `most` entries."""
        raise NotImplementedError

    @classmethod
    def _prefix(cls) -> bytes:
        return prefix(cls.TYPE)

    def encode(self, key: Ed25519PrivateKey) -> bytes:
        """Return the signed message."""
        body = self._prefix() + self.fields()
        return body + sign(key, self.LABEL, body)

    @classmethod
    def decode(cls, data: bytes, signer: Callable[[Self], bytes], most: int) -> Self:
        """Read and verify a message.

        Args:
            data: The message.
            signer: Gives the public key of the one who has to have signed this message.
            most: Upper bound of list lengths: agencies of the roster, or rounds.

        Raises:
            MalformedMessage: If prefix, length or order are wrong.
            BadSignature: If the signature does not verify.
            UnknownMember: From signer, if the message names a stranger.
        """
        body, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
        start = cls._prefix()
        if len(data) < len(start) + SIGNATURE_BYTES or not body.startswith(start):
            raise MalformedMessage(f"message {cls.LABEL}: {len(data)} bytes do not start as version {VERSION} of it")
        reader = Reader(body[len(start) :], cls.LABEL)
        message = cls.parse(reader, most)
        reader.end()
        verify(signer(message), signature, cls.LABEL, body)
        return message
