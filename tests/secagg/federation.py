"""A whole federation in memory for tests: every party's real state machine, and a dictionary as the exchange."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts.config import SecAggConfig
from fl_tasks.contracts.roster import Card, Roster
from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.agency import Party
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.member import Member
from fl_tasks.secagg.messages import RoundModel
from fl_tasks.secagg.parameters import checked_threshold
from fl_tasks.secagg.session import Setting, check_close, manifest_hash
from fl_tasks.secagg.vault import Vault

SESSION = bytes(range(16))
INTERVAL = ("2012-03-01T00:00:00+00:00", "2012-04-01T00:00:00+00:00")
NOT_AFTER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


def model_of(round_: int) -> bytes:
    """Every round starts from another model."""
    return bytes([round_]) * 32


def secagg_config(n: int, **changes) -> SecAggConfig:
    values = {"mode": "active", "n_c": 0, "clip": 4.0, "n_ref": 100, "w_max": 4.0, "max_loss": 10.0, **changes}
    config = SecAggConfig(**values)
    return config.model_copy(update={"t": checked_threshold(n, config)})


@dataclass
class Federation:
    """N agencies and a coordinator; `lost` says at which step an agency stops answering."""

    folder: Path
    n: int
    r_max: int = 2
    config: SecAggConfig | None = None
    session: bytes = SESSION
    store: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.config or secagg_config(self.n)
        self.keys = [Ed25519PrivateKey.from_private_bytes(bytes([i + 1]) * 32) for i in range(self.n)]
        self.coordinator_key = Ed25519PrivateKey.from_private_bytes(b"\xff" * 32)
        cards = tuple(
            Card(name=f"agency_{i:03d}", protocol_key=key.public_key().public_bytes_raw().hex())
            for i, key in enumerate(self.keys)
        )
        self.roster = Roster(
            scenario="test",
            version=1,
            members=cards,
            coordinator_key=self.coordinator_key.public_key().public_bytes_raw().hex(),
            secagg=self.config,
            r_max=self.r_max,
        )
        self.setting = Setting(self.roster, self.session)

    @contextlib.contextmanager
    def member(self, i: int):
        """One agency, as a new process would open it: nothing is kept but its folder."""
        home = self.folder / f"{i}"
        new_session = self.session.hex()
        with open_journal(home / "journal.jsonl", home / "head" / "head.json", new_session=new_session) as journal:
            party = Party(self.setting, i, self.keys[i])
            yield Member(party, journal, Vault(home / self.session.hex()), INTERVAL)

    def send(self, outbox: dict[str, bytes]) -> None:
        for name, data in outbox.items():
            assert self.store.setdefault(name, data) == data

    def by_id(self, prefix: str) -> dict[int, bytes]:
        return {i: self.store[name] for i, a in enumerate(self.roster.names) if (name := prefix + a) in self.store}

    def key_files(self) -> dict[int, bytes]:
        listed = self.setting.read_list(self.store[names.LIST]).entries
        files = self.by_id("setup/keys/")
        return {member: files[member] for member, _ in listed}

    def set_up(self, lost_at: dict[int, str] | None = None) -> None:
        """S1 to S4; agencies in lost_at do not answer from that step on."""
        lost_at = lost_at or {}
        everyone = range(self.n)
        for i in everyone:
            if lost_at.get(i) != "keys":
                with self.member(i) as member:
                    member.begin("run", NOT_AFTER)
                    self.send(member.keys())
        data, _ = coordinator.make_list(
            self.setting, self.coordinator_key, frozenset(everyone), self.by_id("setup/keys/")
        )
        self.store[names.LIST] = data
        for i in self.key_files():
            if lost_at.get(i) != "shares":
                with self.member(i) as member:
                    self.send(member.shares(data, self.key_files()))
        for i in self.key_files():
            if lost_at.get(i) not in ("shares", "ready"):
                with self.member(i) as member:
                    self.send(member.ready(data, self.key_files(), self.share_files(i)))
        close, _ = coordinator.make_close(
            self.setting, self.coordinator_key, data, self.key_files(), self.by_id("setup/ready/")
        )
        self.store[names.CLOSE] = close

    def share_files(self, holder: int) -> dict[int, bytes]:
        name = self.roster.names[holder]
        return {
            dealer: self.store[key]
            for dealer, other in enumerate(self.roster.names)
            if (key := names.shares(other, name)) in self.store
        }

    def closed(self):
        return check_close(
            self.setting,
            self.store[names.LIST],
            self.store[names.CLOSE],
            self.key_files(),
            self.by_id("setup/ready/"),
        )

    def accept_close(self, member: Member):
        return member.close(
            self.store[names.LIST], self.store[names.CLOSE], self.key_files(), self.by_id("setup/ready/")
        )

    def model_message(self, round_: int) -> bytes:
        return RoundModel(self.session, round_, model_of(round_)).encode(self.coordinator_key)

    def upload(self, i: int, round_: int, update: np.ndarray) -> bytes:
        with self.member(i) as member:
            closed = self.accept_close(member)
            self.send(member.upload(closed, round_, self.model_message(round_), lambda _: update.copy()))
        return self.store[names.upload(round_, self.roster.names[i])]

    def manifest(self, round_: int, length: int):
        closed = self.closed()
        verdict = coordinator.make_manifest(
            closed, self.coordinator_key, closed.header(round_, model_of(round_)), self.by_id(f"r/{round_}/up/"), length
        )
        name = names.burnt(round_) if verdict.burnt else names.manifest(round_)
        self.store.setdefault(name, verdict.data)
        return verdict

    def ack(self, i: int, round_: int, manifest: bytes | None = None) -> None:
        with self.member(i) as member:
            closed = self.accept_close(member)
            self.send(member.ack(closed, round_, manifest or self.store[names.manifest(round_)]))

    def reveal(self, i: int, round_: int) -> None:
        with self.member(i) as member:
            closed = self.accept_close(member)
            acks = self.by_id(f"r/{round_}/ack/")
            self.send(member.reveal(closed, round_, self.store[names.manifest(round_)], acks))

    def unmask(self, round_: int, length: int) -> np.ndarray:
        closed = self.closed()
        manifest_data = self.store[names.manifest(round_)]
        manifest = closed.read_manifest(manifest_data, round_)
        total, _ = coordinator.unmask(
            closed,
            manifest,
            manifest_hash(manifest_data),
            self.by_id(f"r/{round_}/up/"),
            self.by_id(f"r/{round_}/reveal/"),
            length,
        )
        return total
