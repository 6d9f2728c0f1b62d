"""What a roster with `kem` adds: pair secrets that hold as long as X25519 or ML-KEM-768 does.

::

    S1   every agency   one ML-KEM key, beside its X25519 keys
    S2   i to j         the share file's key takes the KEM's secret too; if i < j, one contribution a round inside
    S3   j              every contribution that it got, sealed under its own secret of the round
    1    i and j        a pair's keystream takes the contribution of the smaller id, beside X25519

Who records the exchange today and breaks X25519 later finds neither shares nor contributions. A round's X25519 key is
derived from the round's secret, so that the broken key does not give the secret either. Of an agency that is lost, the
secret is opened from its shares: it gives the X25519 key and the contributions to larger ids, and opens the sealed
ones of smaller ids, and so every pair's keystream, whoever is lost after it. Signatures stay Ed25519: they have to
hold while the run lasts, not after.

Source: FIPS 203, https://doi.org/10.6028/NIST.FIPS.203
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from fl_tasks.secagg.errors import BadKey, MalformedMessage
from fl_tasks.secagg.masking import derive
from fl_tasks.secagg.messages import NONCE_BYTES, TAG_BYTES, Keys, Ready, Shares
from fl_tasks.secagg.shamir import SHARE_BYTES
from fl_tasks.secagg.wire import HASH_BYTES, SESSION_BYTES, Reader, u16, u32

KEM_SEED_BYTES = 64
KEM_KEY_BYTES = 1184
KEM_CIPHERTEXT_BYTES = 1088
CONTRIBUTION_BYTES = 32
_HEAD = SESSION_BYTES + HASH_BYTES + 2  # of Ready, before its entries


@dataclass(frozen=True)
class HybridKeys(Keys):
    """S1 of a hybrid roster: with the ML-KEM key that share files are encrypted to."""

    LABEL, TYPE = "hybrid-keys", 13
    kem_key: bytes

    def fields(self) -> bytes:
        """As Keys, then the ML-KEM key."""
        return super().fields() + self.kem_key

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """`most` is R_max."""
        plain = Keys.parse(reader, most)
        return cls(**vars(plain), kem_key=reader.take(KEM_KEY_BYTES))


@dataclass(frozen=True)
class HybridShares(Shares):
    """S2 of a hybrid roster: with the KEM's ciphertext, and contributions inside if the dealer is the smaller id."""

    LABEL, TYPE = "hybrid-shares", 14
    kem_ciphertext: bytes

    def fields(self) -> bytes:
        """As Shares, then the KEM's ciphertext."""
        return super().fields() + self.kem_ciphertext

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """`most` is R_max: the ciphertext holds two shares a round, and one contribution if dealer < holder."""
        head = (reader.take(SESSION_BYTES), reader.take(HASH_BYTES), reader.number(2), reader.number(2))
        a_round = 2 * SHARE_BYTES + (CONTRIBUTION_BYTES if head[2] < head[3] else 0)
        body = (reader.take(NONCE_BYTES), reader.take(a_round * most + TAG_BYTES))
        return cls(*head, *body, reader.take(KEM_CIPHERTEXT_BYTES))


@dataclass(frozen=True)
class HybridReady(Ready):
    """S3 of a hybrid roster: with the contributions of every opened smaller id, sealed, one a round.

    `sealed` is in the order of the smaller ids, each with `rounds` parts of 32 bytes. It is kept as it came: at 200
    agencies it is millions of parts, and only the coordinator needs a few of them.
    """

    LABEL, TYPE = "hybrid-ready", 15
    rounds: int
    sealed: bytes

    def fields(self) -> bytes:
        """Session, H1, id, number of entries, the entries of Ready, rounds, then the sealed contributions."""
        plain = super().fields()
        return plain[:_HEAD] + u16(len(self.opened)) + plain[_HEAD:] + u16(self.rounds) + self.sealed

    @classmethod
    def parse(cls, reader: Reader, most: int) -> Self:
        """At most one entry an agency; as many sealed parts as smaller ids were opened, times the rounds."""
        head = reader.take(_HEAD)
        count = reader.number(2)
        if count > most:
            raise MalformedMessage(f"message {cls.LABEL}: {count} entries, at most {most} are possible")
        plain = Ready.parse(Reader(head + reader.take((2 + HASH_BYTES) * count), cls.LABEL), most)
        rounds = reader.number(2)
        smaller = sum(dealer < plain.sender for dealer, _ in plain.opened)
        return cls(**vars(plain), rounds=rounds, sealed=reader.take(CONTRIBUTION_BYTES * rounds * smaller))

    def sealed_part(self, dealer: int, round_: int) -> bytes:
        """Return the sealed contribution of a smaller id for one round, from 1."""
        smaller = [other for other, _ in self.opened if other < self.sender]
        at = CONTRIBUTION_BYTES * (smaller.index(dealer) * self.rounds + round_ - 1)
        return self.sealed[at : at + CONTRIBUTION_BYTES]


def new_kem_seed() -> bytes:
    """Return the 64-byte seed of a fresh ML-KEM-768 key."""
    return MLKEM768PrivateKey.generate().private_bytes_raw()


def check_kem_key(keys: HybridKeys) -> None:
    """Check that an agency's ML-KEM key is one; raises BadKey."""
    try:
        MLKEM768PublicKey.from_public_bytes(keys.kem_key)
    except ValueError as error:
        raise BadKey(f"message keys of id {keys.sender}: its ML-KEM key is no key") from error


def kem_public_key(seed: bytes) -> bytes:
    """Return the public key of a seed, 1184 bytes."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def encapsulate(keys: HybridKeys) -> tuple[bytes, bytes]:
    """Return a fresh shared secret, 32 bytes, and the ciphertext that gives it to the keys' owner, 1088 bytes.

    The key was checked when its message was read (check_kem_key).
    """
    return MLKEM768PublicKey.from_public_bytes(keys.kem_key).encapsulate()


def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """Return the shared secret of a ciphertext; of an altered one another secret, which then opens nothing."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def derived_private(secret: bytes) -> bytes:
    """Return the X25519 private key that a round's secret stands for."""
    return derive(secret, b"flsa/1/round-key")


def contribution(secret: bytes, session: bytes, round_: int, giver: int, receiver: int) -> bytes:
    """Return what the smaller id of a pair adds to its keystream key in one round, 32 bytes."""
    return derive(secret, b"flsa/1/contribution", session, u32(round_), u16(giver), u16(receiver))


def seal(secret: bytes, session: bytes, round_: int, giver: int, receiver: int, part: bytes) -> bytes:
    """Hide a contribution under the receiver's own secret of the round, or lay it open again.

    Not authenticated: the receiver signs it, and its garbage would be as good as a garbage update.
    """
    pad = derive(secret, b"flsa/1/seal", session, u32(round_), u16(giver), u16(receiver))
    return bytes(a ^ b for a, b in zip(part, pad, strict=True))
