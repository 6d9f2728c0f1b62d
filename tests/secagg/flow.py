"""One session by the protocol's pure functions alone: no folder, no journal, every value in sight.

`Flow` runs every party's steps; `Drawn` puts known values where the code draws keys, seeds, polynomials and nonces.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.roster import Card, Roster
from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.agency import (
    HeldShares,
    Party,
    RoundSecret,
    make_ack,
    make_keys,
    make_reveal,
    make_shares,
    mask_update,
    open_shares,
)
from fl_tasks.secagg.messages import RoundModel
from fl_tasks.secagg.session import ClosedSet, Setting, check_close, manifest_hash
from tests.secagg.federation import secagg_config

SESSION = bytes(range(16))


def roster_of(n: int, r_max: int, config: SecAggConfig) -> tuple[Roster, list[Ed25519PrivateKey], Ed25519PrivateKey]:
    """A roster of n agencies with fixed signing keys, theirs and the coordinator's."""
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([i + 1]) * 32) for i in range(n)]
    head = Ed25519PrivateKey.from_private_bytes(b"\xff" * 32)
    cards = tuple(
        Card(name=f"agency_{i:03d}", protocol_key=key.public_key().public_bytes_raw().hex())
        for i, key in enumerate(keys)
    )
    roster = Roster(
        scenario="test",
        version=1,
        members=cards,
        coordinator_key=head.public_key().public_bytes_raw().hex(),
        secagg=config,
        r_max=r_max,
    )
    return roster, keys, head


@dataclass
class Drawn:
    """Values to hand out, in the order of the draws; a draw that is not expected fails."""

    x25519: deque[bytes] = field(default_factory=deque)
    tokens: deque[bytes] = field(default_factory=deque)
    coefficients: deque[int] = field(default_factory=deque)

    @contextmanager
    def instead_of_chance(self) -> Iterator[None]:
        """Replace the sources of randomness; all values must be used up inside."""

        def token(size: int) -> bytes:
            value = self.tokens.popleft()
            assert len(value) == size
            return value

        def below(bound: int) -> int:
            value = self.coefficients.popleft()
            assert value < bound
            return value

        def generate() -> X25519PrivateKey:
            return X25519PrivateKey.from_private_bytes(self.x25519.popleft())

        with (
            mock.patch.object(X25519PrivateKey, "generate", generate),
            mock.patch.object(secrets, "token_bytes", token),
            mock.patch.object(secrets, "randbelow", below),
        ):
            yield
        assert not any((self.x25519, self.tokens, self.coefficients))


@dataclass
class Flow:
    """All parties of one session in one process. `store` holds every message under its exchange name."""

    roster: Roster
    signing: list[Ed25519PrivateKey]
    coordinator_key: Ed25519PrivateKey
    session: bytes = SESSION
    store: dict[str, bytes] = field(default_factory=dict)
    encryption: dict[int, bytes] = field(default_factory=dict)
    secrets: dict[int, list[RoundSecret]] = field(default_factory=dict)
    held: dict[int, dict[int, list[HeldShares]]] = field(default_factory=dict)

    @classmethod
    def of(cls, n: int, *, r_max: int = 1, **changes) -> Flow:
        return cls(*roster_of(n, r_max, secagg_config(n, **changes)))

    @property
    def setting(self) -> Setting:
        return Setting(self.roster, self.session)

    def party(self, i: int) -> Party:
        return Party(self.setting, i, self.signing[i])

    def files(self, folder: str) -> dict[int, bytes]:
        return {
            i: self.store[f"{folder}/{a}"] for i, a in enumerate(self.roster.names) if f"{folder}/{a}" in self.store
        }

    def key_files(self) -> dict[int, bytes]:
        files = self.files("setup/keys")
        return {member: files[member] for member, _ in self.setting.read_list(self.store[names.LIST]).entries}

    def share_files(self, holder: int) -> dict[int, bytes]:
        everyone = self.roster.names
        found = {dealer: names.shares(name, everyone[holder]) for dealer, name in enumerate(everyone)}
        return {dealer: self.store[name] for dealer, name in found.items() if name in self.store}

    def keys(self, i: int) -> None:
        message, self.encryption[i], self.secrets[i] = make_keys(self.party(i))
        self.store[names.keys(self.roster.names[i])] = message

    def list_keys(self) -> None:
        everyone = frozenset(range(len(self.roster.members)))
        self.store[names.LIST], _ = coordinator.make_list(
            self.setting, self.coordinator_key, everyone, self.files("setup/keys")
        )

    def shares(self, i: int) -> None:
        own = self.store[names.keys(self.roster.names[i])]
        dealt, kept = make_shares(
            self.party(i), self.store[names.LIST], self.key_files(), own, self.encryption[i], self.secrets[i]
        )
        self.held[i] = {i: kept}
        for holder, data in dealt.items():
            self.store[names.shares(self.roster.names[i], self.roster.names[holder])] = data

    def ready(self, i: int) -> None:
        message, held, refused = open_shares(
            self.party(i), self.store[names.LIST], self.key_files(), self.encryption[i], self.share_files(i), ()
        )
        assert not refused
        self.held[i] |= held
        self.store[names.ready(self.roster.names[i])] = message

    def close(self) -> ClosedSet:
        if names.CLOSE not in self.store:
            self.store[names.CLOSE], _ = coordinator.make_close(
                self.setting,
                self.coordinator_key,
                self.store[names.LIST],
                self.key_files(),
                self.files("setup/ready"),
            )
        return check_close(
            self.setting,
            self.store[names.LIST],
            self.store[names.CLOSE],
            self.key_files(),
            self.files("setup/ready"),
        )

    def set_up(self, lost_at: Mapping[int, str] | None = None) -> ClosedSet:
        """S1 to S4; agencies in lost_at do not answer from that step on."""
        lost_at = lost_at or {}
        everyone = range(len(self.roster.members))
        for i in everyone:
            if lost_at.get(i) != "keys":
                self.keys(i)
        self.list_keys()
        for i in self.key_files():
            if lost_at.get(i) != "shares":
                self.shares(i)
        for i in self.key_files():
            if lost_at.get(i) not in ("shares", "ready"):
                self.ready(i)
        return self.close()

    def round(
        self,
        closed: ClosedSet,
        number: int,
        updates: Mapping[int, np.ndarray],
        *,
        model: bytes,
        acking: tuple[int, ...],
        revealing: tuple[int, ...],
    ) -> coordinator.Verdict:
        """One round's messages: uploads of whom has an update, acks, reveals."""
        header = closed.header(number, model)
        self.store[names.model(number)] = RoundModel(self.session, number, model).encode(self.coordinator_key)
        for i, update in updates.items():
            name = names.upload(number, self.roster.names[i])
            self.store[name] = mask_update(
                self.party(i), closed, header, update.copy(), self.secrets[i][number - 1], {}
            )
        length = next(iter(updates.values())).size
        verdict = coordinator.make_manifest(closed, self.coordinator_key, header, self.files(f"r/{number}/up"), length)
        self.store[names.burnt(number) if verdict.burnt else names.manifest(number)] = verdict.data
        if verdict.burnt:
            return verdict
        manifest = closed.read_manifest(verdict.data, number)
        for i in acking:
            self.store[names.ack(number, self.roster.names[i])] = make_ack(self.party(i), verdict.data)
        for i in revealing:
            held = {dealer: shares[number - 1] for dealer, shares in self.held[i].items()}
            acks = self.files(f"r/{number}/ack")
            reveal = make_reveal(self.party(i), closed, manifest, verdict.data, acks, held)
            self.store[names.reveal(number, self.roster.names[i])] = reveal
        return verdict

    def unmask(self, closed: ClosedSet, number: int, length: int) -> np.ndarray:
        data = self.store[names.manifest(number)]
        total, refused = coordinator.unmask(
            closed,
            closed.read_manifest(data, number),
            manifest_hash(data),
            self.files(f"r/{number}/up"),
            self.files(f"r/{number}/reveal"),
            length,
        )
        assert not refused
        return total
