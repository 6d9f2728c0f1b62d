"""An agency's secrets of one session, as files that only the agency can read, deleted by the protocol's rules."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fl_tasks.contracts.base import write_atomic
from fl_tasks.secagg.agency import HeldShares, RoundSecret, decode_held, encode_held
from fl_tasks.secagg.errors import JournalBroken, KeysGone
from fl_tasks.secagg.hybrid import KEM_SEED_BYTES
from fl_tasks.secagg.shamir import SHARE_BYTES
from fl_tasks.secagg.wire import u16

_NOT_AFTER = "not_after"


def forget_expired(sessions: Path, now: datetime) -> None:
    """Delete every session in a scenario's folder whose end is past."""
    for path in sorted(sessions.glob(f"*/{_NOT_AFTER}")):
        if _is_past(path, now):
            Vault(path.parent).forget_all()


def _is_past(path: Path, now: datetime) -> bool:
    try:
        return now > datetime.fromisoformat(path.read_text())
    except (ValueError, TypeError):
        return True  # damaged: nothing says any more that these secrets may be kept


def _entry(dealer: int, shares: HeldShares) -> bytes:
    """Return what is stored of one dealer's round: id, length, shares, in a hybrid roster the contribution."""
    data = encode_held([shares])
    return u16(dealer) + u16(len(data)) + data


def _entries(plain: bytes) -> Iterator[tuple[int, HeldShares]]:
    """Read what _entry wrote, one after the other."""
    at = 0
    while at < len(plain):
        dealer, length = (int.from_bytes(plain[at + i : at + i + 2], "big") for i in (0, 2))
        at += 4 + length
        yield dealer, decode_held(plain[at - length : at], contributions=length > 2 * SHARE_BYTES)[0]


class Vault:
    """The folder of one session: secrets by round, held shares wrapped by round, sent messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def forget_expired(self, now: datetime) -> None:
        """Delete this session and all others beside it whose end is past."""
        forget_expired(self._folder.parent, now)

    def keep_until(self, not_after: datetime) -> None:
        """Note the session's end in the folder itself, so that it ends whatever becomes of the journal."""
        self._write(_NOT_AFTER, not_after.isoformat().encode())

    def put_setup(self, encryption_key: bytes, rounds: list[RoundSecret]) -> None:
        """Store the secrets of S1; replaces those of an S1 that was never sent."""
        self._write("encryption.key", encryption_key)
        for number, secret in enumerate(rounds, start=1):
            # The third part wraps the shares held for this round: one small file to delete.
            self._write(f"round-{number}.secret", secret.k + secret.b + secrets.token_bytes(32))

    @property
    def encryption_key(self) -> bytes:
        """The private key that opens S2; gone after S3."""
        return self._read_whole("encryption.key", 32, 32 + KEM_SEED_BYTES)

    def round_secret(self, number: int) -> RoundSecret:
        """The secrets of one round; raises KeysGone."""
        data = self._read_whole(f"round-{number}.secret", 96)
        return RoundSecret(k=data[:32], b=data[32:64])

    def put_own_shares(self, shares: list[HeldShares]) -> None:
        """Store this agency's own share of its own secrets until S3."""
        self._write("own.shares", encode_held(shares))

    @property
    def own_shares(self) -> list[HeldShares]:
        """What put_own_shares stored; gone after S3."""
        return decode_held(self._read("own.shares"))

    def put_held(self, held: dict[int, list[HeldShares]], rounds: int) -> None:
        """Store the shares held of every dealer, encrypted with each round's own key."""
        if any(len(shares) != rounds for shares in held.values()):
            raise JournalBroken("own.shares of this session was altered on the disk; start a new run")
        for number in range(1, rounds + 1):
            plain = b"".join(_entry(dealer, shares[number - 1]) for dealer, shares in sorted(held.items()))
            nonce = secrets.token_bytes(12)
            sealed = ChaCha20Poly1305(self._wrap_key(number)).encrypt(nonce, plain, u16(number))
            self._write(f"round-{number}.held", nonce + sealed)

    def held(self, number: int) -> dict[int, HeldShares]:
        """The shares held for one round; raises KeysGone."""
        data = self._read(f"round-{number}.held").ljust(12)  # cut short, it fails like any other alteration
        try:
            plain = ChaCha20Poly1305(self._wrap_key(number)).decrypt(data[:12], data[12:], u16(number))
        except InvalidTag as error:
            raise JournalBroken(f"the shares held for round {number} were altered on the disk") from error
        return dict(_entries(plain))

    def forget_setup(self) -> None:
        """Delete what only S2 and S3 needed."""
        self._delete("encryption.key")
        self._delete("own.shares")

    def forget_round(self, number: int) -> None:
        """Delete a round's secrets and the shares held for it."""
        self._delete(f"round-{number}.secret")
        self._delete(f"round-{number}.held")

    def forget_all(self) -> None:
        """Delete everything of the session."""
        for path in sorted(self._folder.rglob("*")):
            # The end's date goes last, so that a crash in between is made good at the next start.
            if path.is_file() and path.name != _NOT_AFTER:
                self._delete(path.relative_to(self._folder).as_posix())
        shutil.rmtree(self._folder, ignore_errors=True)

    def put_message(self, name: str, data: bytes) -> None:
        """Store a message, sent or received, under its exchange name."""
        self._write(f"messages/{name}", data)

    def message(self, name: str) -> bytes:
        """A stored message; raises KeysGone."""
        return self._read(f"messages/{name}")

    def _wrap_key(self, number: int) -> bytes:
        return self._read_whole(f"round-{number}.secret", 96)[64:]

    def _write(self, name: str, data: bytes) -> None:
        write_atomic(self._folder / name, data)

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError as error:
            raise KeysGone(
                f"{name} of this session is not there (any more): the protocol deletes secrets after their use; "
                "what was sent can be sent again, anything new needs a new run"
            ) from error

    def _read_whole(self, name: str, *sizes: int) -> bytes:
        data = self._read(name)
        if len(data) not in sizes:
            raise JournalBroken(f"{name} of this session was altered on the disk; start a new run")
        return data

    def _delete(self, name: str) -> None:
        path = self._folder / name
        if path.exists():
            # Overwritten first; physical erasure is not claimed (copy-on-write and flash keep old blocks).
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
