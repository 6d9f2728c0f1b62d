"""Every message of the protocol as typed, versioned, length-checked bytes; see wire.py for their common form."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.secagg.errors import MalformedMessage
from fl_tasks.secagg.shamir import SHARE_BYTES
from fl_tasks.secagg.wire import (
    HASH_BYTES,
    SESSION_BYTES,
    SIGNATURE_BYTES,
    VERSION,
    Header,
    Message,
    Reader,
    prefix,
    sign,
    u16,
    u32,
    verify,
)

POINT_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


def _ascending(ids: list[int], label: str) -> None:
    if any(later <= earlier for earlier, later in itertools.pairwise(ids)):
        raise MalformedMessage(f"message {label}: ids must be ascending, each once")


@dataclass(frozen=True)
class Keys(Message):
    """S1: an agency's fresh public keys of one session and the hashes of its self-mask seeds."""

    LABEL, TYPE = "keys", 1
    session: bytes
    sender: int
    roster: bytes
    encryption_key: bytes
    round_keys: tuple[bytes, ...]
    seed_hashes: tuple[bytes, ...]

    def fields(self) -> bytes:
        """Session, id, roster hash, encryption key, R_max round keys, R_max seed hashes."""
        return b"".join(
            (self.session, u16(self.sender), self.roster, self.encryption_key, *self.round_keys, *self.seed_hashes)
        )

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """`most` is R_max; exactly that many keys and hashes are needed."""
        head = (reader.take(SESSION_BYTES), reader.number(2), reader.take(HASH_BYTES), reader.take(POINT_BYTES))
        keys = tuple(reader.take(POINT_BYTES) for _ in range(most))
        return cls(*head, keys, tuple(reader.take(HASH_BYTES) for _ in range(most)))


@dataclass(frozen=True)
class KeyList(Message):
    """S1c: whose keys the coordinator has, by hash. H1 is the digest of this message."""

    LABEL, TYPE = "list", 2
    session: bytes
    entries: tuple[tuple[int, bytes], ...]

    def fields(self) -> bytes:
        """Session, then id and SHA-256 of each S1."""
        return self.session + b"".join(u16(member) + sha for member, sha in self.entries)

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """At most one entry an agency."""
        session = reader.take(SESSION_BYTES)
        entries = tuple((int.from_bytes(e[:2], "big"), e[2:]) for e in reader.rest(2 + HASH_BYTES, most))
        _ascending([member for member, _ in entries], cls.LABEL)
        return cls(session, entries)


@dataclass(frozen=True)
class Shares(Message):
    """S2: one dealer's shares for one holder, of all rounds' (b, k), encrypted."""

    LABEL, TYPE = "shares", 3
    session: bytes
    h1: bytes
    dealer: int
    holder: int
    nonce: bytes
    ciphertext: bytes

    def fields(self) -> bytes:
        """Session, H1, dealer, holder, nonce, ciphertext with tag."""
        return self.session + self.h1 + u16(self.dealer) + u16(self.holder) + self.nonce + self.ciphertext

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """`most` is R_max: the ciphertext holds exactly two shares a round."""
        head = (reader.take(SESSION_BYTES), reader.take(HASH_BYTES), reader.number(2), reader.number(2))
        return cls(*head, reader.take(NONCE_BYTES), reader.take(2 * SHARE_BYTES * most + TAG_BYTES))


@dataclass(frozen=True)
class Ready(Message):
    """S3: an agency opened these dealers' share files and stored them; its own share it holds by itself."""

    LABEL, TYPE = "ready", 4
    session: bytes
    h1: bytes
    sender: int
    opened: tuple[tuple[int, bytes], ...]

    def fields(self) -> bytes:
        """Session, H1, id, then dealer id and SHA-256 of each share file."""
        entries = b"".join(u16(dealer) + sha for dealer, sha in self.opened)
        return self.session + self.h1 + u16(self.sender) + entries

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """At most one entry an agency."""
        head = (reader.take(SESSION_BYTES), reader.take(HASH_BYTES), reader.number(2))
        opened = tuple((int.from_bytes(e[:2], "big"), e[2:]) for e in reader.rest(2 + HASH_BYTES, most))
        _ascending([dealer for dealer, _ in opened], cls.LABEL)
        return cls(*head, opened)

    @property
    def covers(self) -> frozenset[int]:
        """Ids whose shares the sender holds, its own included."""
        return frozenset(dealer for dealer, _ in self.opened) | {self.sender}


@dataclass(frozen=True)
class Close(Message):
    """S4: the set A of the session, with the hashes of each member's S1 and S3. Never changes."""

    LABEL, TYPE = "close", 5
    session: bytes
    h1: bytes
    members: tuple[tuple[int, bytes, bytes], ...]

    def fields(self) -> bytes:
        """Session, H1, then id, SHA-256 of S1, SHA-256 of S3."""
        return self.session + self.h1 + b"".join(u16(member) + keys + ready for member, keys, ready in self.members)

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """At most one entry an agency."""
        head = (reader.take(SESSION_BYTES), reader.take(HASH_BYTES))
        entries = reader.rest(2 + 2 * HASH_BYTES, most)
        members = tuple((int.from_bytes(e[:2], "big"), e[2 : 2 + HASH_BYTES], e[2 + HASH_BYTES :]) for e in entries)
        _ascending([member for member, _, _ in members], cls.LABEL)
        return cls(*head, members)

    @property
    def ids(self) -> tuple[int, ...]:
        """A, ascending."""
        return tuple(member for member, _, _ in self.members)


@dataclass(frozen=True)
class RoundModel(Message):
    """Step 0: which model a round starts from."""

    LABEL, TYPE = "model", 6
    session: bytes
    round: int
    model: bytes

    def fields(self) -> bytes:
        """Session, round, model hash."""
        return self.session + u32(self.round) + self.model

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """No list."""
        return cls(reader.take(SESSION_BYTES), reader.number(4), reader.take(HASH_BYTES))


@dataclass(frozen=True)
class Manifest(Message):
    """Step 1s: the survivor set U of a round, per member the payload's SHA-256 and the upload's signature."""

    LABEL, TYPE = "manifest", 8
    header: Header
    members: tuple[tuple[int, bytes, bytes], ...]

    def fields(self) -> bytes:
        """Header, then id, SHA-256 of the payload, signature of the upload."""
        return self.header.encode() + b"".join(u16(member) + sha + sig for member, sha, sig in self.members)

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """At most one entry an agency."""
        header = Header.read(reader)
        entries = reader.rest(2 + HASH_BYTES + SIGNATURE_BYTES, most)
        members = tuple((int.from_bytes(e[:2], "big"), e[2 : 2 + HASH_BYTES], e[2 + HASH_BYTES :]) for e in entries)
        _ascending([member for member, _, _ in members], cls.LABEL)
        return cls(header, members)

    @property
    def ids(self) -> tuple[int, ...]:
        """U, ascending."""
        return tuple(member for member, _, _ in self.members)


@dataclass(frozen=True)
class Burnt(Message):
    """The other verdict of step 1s: too few updates; the round's index is never used again."""

    LABEL, TYPE = "burnt", 9
    header: Header

    def fields(self) -> bytes:
        """The header."""
        return self.header.encode()

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """No list."""
        return cls(Header.read(reader))


@dataclass(frozen=True)
class Ack(Message):
    """Step 2a: an agency saw this manifest, and will see no other in this round."""

    LABEL, TYPE = "ack", 10
    sender: int
    manifest: bytes

    def fields(self) -> bytes:
        """Id, H(manifest), which binds session, round, H2 and model."""
        return u16(self.sender) + self.manifest

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """No list."""
        return cls(reader.number(2), reader.take(HASH_BYTES))


@dataclass(frozen=True)
class Reveal(Message):
    """Step 2b: one share of each member of A, in the order of A: of b for who is in U, else of k."""

    LABEL, TYPE = "reveal", 11
    header: Header
    sender: int
    manifest: bytes
    shares: tuple[bytes, ...]

    def fields(self) -> bytes:
        """Header, id, H(manifest), one share a member of A."""
        return self.header.encode() + u16(self.sender) + self.manifest + b"".join(self.shares)

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """`most` is the size of A."""
        head = (Header.read(reader), reader.number(2), reader.take(HASH_BYTES))
        return cls(*head, tuple(reader.rest(SHARE_BYTES, most)))


@dataclass(frozen=True)
class Upload:
    """Step 1: one masked update. Signed over header, id and the payload's hash, so that the manifest can carry
    the signature without the payload.

    A payload that was read is a view of the message: megabytes are not copied.
    """

    LABEL: ClassVar[str] = "upload"
    TYPE: ClassVar[int] = 7
    header: Header
    sender: int
    signature: bytes
    payload: bytes | memoryview

    HEAD_BYTES: ClassVar[int] = len(prefix(TYPE)) + Header.SIZE + 2 + SIGNATURE_BYTES

    @classmethod
    def make(cls, key: Ed25519PrivateKey, header: Header, sender: int, payload: bytes | memoryview) -> Upload:
        """Sign a masked payload."""
        signature = sign(key, cls.LABEL, header.encode(), u16(sender), hashlib.sha256(payload).digest())
        return cls(header, sender, signature, payload)

    def encode(self) -> bytes:
        """Prefix, header, id, signature, payload."""
        return b"".join((prefix(self.TYPE), self.header.encode(), u16(self.sender), self.signature, self.payload))

    @classmethod
    def decode(cls, data: bytes, signer: Callable[[int], bytes], payload_bytes: int) -> Upload:
        """Read and verify an upload of exactly payload_bytes of payload; raises as Message.decode."""
        start = prefix(cls.TYPE)
        if not data.startswith(start):
            raise MalformedMessage(f"message {cls.LABEL}: {len(data)} bytes do not start as version {VERSION} of it")
        if len(data) != cls.HEAD_BYTES + payload_bytes:
            raise MalformedMessage(
                f"message {cls.LABEL}: {len(data)} bytes, {cls.HEAD_BYTES + payload_bytes} are needed for the model"
            )
        reader = Reader(data[len(start) : cls.HEAD_BYTES], cls.LABEL)
        header, sender, signature = Header.read(reader), reader.number(2), reader.take(SIGNATURE_BYTES)
        payload = memoryview(data)[cls.HEAD_BYTES :]
        check_upload_signature(signer(sender), signature, header, sender, hashlib.sha256(payload).digest())
        return cls(header, sender, signature, payload)


def check_upload_signature(public: bytes, signature: bytes, header: Header, sender: int, payload_sha: bytes) -> None:
    """Check an upload's signature without its payload, as every agency does from the manifest."""
    verify(public, signature, Upload.LABEL, header.encode(), u16(sender), payload_sha)
