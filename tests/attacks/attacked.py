"""A federation under attack, and what a coordinator with its colluders can compute from what it sees."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.stage import EXIT_FINAL
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg import member, names
from fl_tasks.secagg.agency import HeldShares, Party, make_keys, public_key
from fl_tasks.secagg.journal import Journal
from fl_tasks.secagg.masking import add_streams, pair_key, self_key
from fl_tasks.secagg.messages import Close, KeyList, Keys, Manifest, Reveal, RoundModel, Upload
from fl_tasks.secagg.session import ClosedSet, file_hash, list_hash
from fl_tasks.secagg.shamir import combine, lagrange_weights
from fl_tasks.secagg.vault import Vault
from fl_tasks.secagg.wire import Header
from tests.secagg.federation import INTERVAL, Federation, model_of

REPOSITORY = Path(__file__).parents[2]
LENGTH = 9
VICTIM, COLLUDER = 0, 3


def vector(i: int) -> np.ndarray:
    """Agency i's update: any ring elements."""
    return np.random.default_rng(1000 + i).integers(0, 2**32, LENGTH, dtype=np.uint32)


@dataclass(frozen=True)
class Outcome:
    """How a step in a process of its own ended."""

    exit: int
    code: str
    text: str
    sent: dict[str, bytes]
    journal: list[dict]

    @property
    def refusals(self) -> list[tuple[str, str]]:
        return [(e["facts"]["step"], e["facts"]["code"]) for e in self.journal if e["kind"] == "refused"]

    def must_refuse(self, step: str, error: type[FLError]) -> None:
        """Final, by name, journaled, and nothing left the agency."""
        assert (self.exit, self.code) == (EXIT_FINAL, error.__name__), self.text
        assert self.refusals[-1:] == [(step, error.__name__)]
        assert self.sent == {}


class FreshProcesses:
    """Runs agency_process.py, one process a step; they share nothing with the tests but what lies on the disk."""

    def __init__(self) -> None:
        self._server: subprocess.Popen | None = None

    def run(self, arguments: list[str], folder: Path) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        if self._server is None:
            command = [sys.executable, "-m", "tests.attacks.agency_process", "--serve"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._server = subprocess.Popen(command, cwd=REPOSITORY, text=True, bufsize=1, **pipes)
        out, err = folder / "out", folder / "err"
        self._server.stdin.write(json.dumps([arguments, str(out), str(err)]) + "\n")
        return int(self._server.stdout.readline()), out.read_text(), err.read_text()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stdin.close()
            self._server.wait(timeout=10)
            self._server.stdout.close()
            self._server = None


FRESH = FreshProcesses()


class Attacked(Federation):
    """Each agency's folder holds all that it knows, so that a fresh process can go on from it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.write_folders()

    def write_folders(self) -> None:
        for name, key, home in [
            *((self.roster.names[i], key, self.home(i)) for i, key in enumerate(self.keys)),
            ("coordinator", self.coordinator_key, self.folder / "coordinator"),
        ]:
            home.mkdir(parents=True, exist_ok=True)
            home.joinpath("name").write_text(name)
            home.joinpath("protocol.key").write_bytes(key.private_bytes_raw())
            home.joinpath("roster.json").write_text(self.roster.model_dump_json(by_alias=True))

    def home(self, i: int) -> Path:
        return self.folder / f"{i}"

    def vault(self, i: int) -> Vault:
        return Vault(self.home(i) / self.session.hex())

    def back_up(self) -> None:
        """Keep a copy of all agencies' secrets, as a backup that covers them would."""
        for i in range(self.n):
            shutil.copytree(self.home(i) / self.session.hex(), self.folder / f"backup-{i}")

    def restore(self) -> None:
        """Bring deleted secrets back; the journal is as it is."""
        for i in range(self.n):
            shutil.copytree(self.folder / f"backup-{i}", self.home(i) / self.session.hex(), dirs_exist_ok=True)

    def hide(self, i: int, *messages: str) -> None:
        """The coordinator hides what it was sent: an agency's posted heads, and these messages."""
        heads = [name for name in self.store if name.startswith(f"head/{self.roster.names[i]}/")]
        for name in (*heads, *messages):
            del self.store[name]

    def copy_to(self, folder: Path) -> Attacked:
        """The same federation in another folder, to be attacked there."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        made = copy.copy(self)
        made.folder, made.store = folder, dict(self.store)
        return made

    def process(
        self,
        who: int | str,
        step: str,
        view: Mapping[str, bytes] | None = None,
        *,
        round_: int | None = None,
        update: np.ndarray | dict | None = None,
    ) -> Outcome:
        """Do one step as a new process, whose exchange holds the view (by default what was really sent)."""
        view = self.store if view is None else view
        exchange = self.folder / "exchange"
        shutil.rmtree(exchange, ignore_errors=True)
        for name, data in view.items():
            exchange.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            exchange.joinpath(name).write_bytes(data)
        home = self.folder / str(who)
        arguments = [str(home), str(exchange), step, self.session.hex()]
        arguments += ["--length", str(LENGTH), "--interval", *INTERVAL]
        if round_ is not None:
            arguments += ["--round", str(round_)]
        if update is not None:
            np.savez(self.folder / "update.npz", **(update if isinstance(update, dict) else {"ring": update}))
            arguments += ["--update", str(self.folder / "update.npz")]
        exit_code, out, err = FRESH.run(arguments, self.folder)
        found = FolderExchange(exchange)
        sent = {name: found.get(name) for name in found.names() if name not in view}
        code = err.split(":")[1].strip() if err.startswith("error: ") else ""
        return Outcome(exit_code, code, out + err, sent, self.journal(who))

    def journal(self, who: int | str) -> list[dict]:
        path = self.folder / str(who) / "journal.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def train_all(self, round_: int = 1, who: Iterable[int] | None = None) -> None:
        for i in range(self.n) if who is None else who:
            self.upload(i, round_, vector(i))
        self.store[names.model(round_)] = self.model_message(round_)

    def open_round(self, round_: int = 1, who: Iterable[int] | None = None) -> None:
        """Acks, then reveals, of the manifest in the store."""
        everyone = list(range(self.n) if who is None else who)
        for step in (self.ack, self.reveal):
            for i in everyone:
                step(i, round_)

    def list_of(self, entries: Iterable[tuple[int, bytes]]) -> bytes:
        """A list that only the coordinator vouches for."""
        return KeyList(self.session, tuple((i, file_hash(data)) for i, data in entries)).encode(self.coordinator_key)

    def close_of(self, ids: Iterable[int], store: Mapping[str, bytes] | None = None) -> bytes:
        """A close over any ids."""
        store = self.store if store is None else store
        members = tuple(
            (i, file_hash(store[names.keys(name)]), file_hash(store[names.ready(name)]))
            for i, name in enumerate(self.roster.names)
            if i in set(ids)
        )
        return Close(self.session, list_hash(store[names.LIST]), members).encode(self.coordinator_key)

    def model(self, round_: int, model: bytes, session: bytes | None = None) -> bytes:
        """A signed model hash, of any session."""
        return RoundModel(session or self.session, round_, model).encode(self.coordinator_key)

    def manifest_of(self, ids: Iterable[int], round_: int = 1, header: Header | None = None) -> bytes:
        """A manifest over any of the uploads in the store, signed by the coordinator, under any header."""
        uploads = {i: self.read_upload(i, round_) for i in ids}
        header = header or self.closed().header(round_, model_of(round_))
        members = tuple((i, file_sha(upload.payload), upload.signature) for i, upload in sorted(uploads.items()))
        return Manifest(header, members).encode(self.coordinator_key)

    def read_upload(self, i: int, round_: int = 1, data: bytes | None = None) -> Upload:
        data = data or self.store[names.upload(round_, self.roster.names[i])]
        return Upload.decode(data, self.setting.member_key, 4 * LENGTH)

    def read_reveals(
        self, round_: int, survivors: Mapping[int, Iterable[int]], closed: ClosedSet, t: int | None = None
    ) -> Secrets:
        """Shares by owner and kind, from every reveal in the store; survivors: holder -> the U that it was shown."""
        found = Secrets(t or self.roster.t)
        for holder, data in self.by_id(f"r/{round_}/reveal/").items():
            reveal = Reveal.decode(data, lambda message: self.setting.member_key(message.sender), len(closed.ids))
            for owner, share in zip(closed.ids, reveal.shares, strict=True):
                found.add("b" if owner in set(survivors[holder]) else "k", owner, holder, share)
        return found


class Secrets:
    """Shares that the attacker has collected: t of a kind and owner give the secret."""

    def __init__(self, t: int) -> None:
        self._t = t
        self._shares: dict[tuple[str, int], dict[int, bytes]] = {}

    def add(self, kind: str, owner: int, holder: int, share: bytes) -> None:
        self._shares.setdefault((kind, owner), {})[holder] = share

    def add_held(self, holder: int, held: Mapping[int, HeldShares]) -> None:
        """All that a colluder holds."""
        for owner, shares in held.items():
            self.add("b", owner, holder, shares.b)
            self.add("k", owner, holder, shares.k)

    def update(self, other: Secrets) -> None:
        for (kind, owner), shares in other._shares.items():
            for holder, share in shares.items():
                self.add(kind, owner, holder, share)

    def count(self, kind: str, owner: int) -> int:
        return len(self._shares.get((kind, owner), {}))

    def secret(self, kind: str, owner: int) -> bytes:
        """The secret, from exactly t shares."""
        shares = self._shares[kind, owner]
        assert len(shares) >= self._t, f"{len(shares)} of {self._t} shares of {kind} of {owner}"
        points = {holder + 1: shares[holder] for holder in sorted(shares)[: self._t]}
        return combine(points, dict(zip(points, lagrange_weights(list(points)), strict=True)))


def file_sha(payload: bytes) -> bytes:
    """The hash of a payload, as uploads are signed and manifests list them."""
    return hashlib.sha256(payload).digest()


def unmask_one(
    upload: Upload,
    b: bytes,
    public: Mapping[int, bytes],
    *,
    peers: Mapping[int, bytes] | None = None,
    own: bytes | None = None,
) -> np.ndarray:
    """Take masks off one upload: its self mask, and those that it shares with peers.

    Args:
        upload: The victim's.
        b: Its seed.
        public: id -> public round key, the victim's and its peers'.
        peers: peer -> the peer's private key. Of a pair either end can make the key.
        own: The victim's private key, in place of all its peers'.
    """
    me = upload.sender
    private = peers if own is None else {peer: own for peer in public if peer != me}
    add, subtract = [], [self_key(b, upload.header, me)]
    for peer, key in private.items():
        other_end = public[me] if own is None else public[peer]
        pair = pair_key(X25519PrivateKey.from_private_bytes(key), other_end, upload.header, me, peer)
        (subtract if me < peer else add).append(pair)
    plain = np.frombuffer(upload.payload, dtype="<u4").astype(np.uint32)
    add_streams(plain, add, subtract)
    return plain


def forget_answers(monkeypatch, federation: Attacked) -> None:
    """Patch the journal's memory: what an agency answered to manifests until now is gone."""
    real, before = Journal.find, max(len(federation.journal(i)) for i in range(federation.n))

    def find(self, kind, session=None, **facts):
        step = facts.get("step", "")
        answers = kind in ("manifest", "survivors") or step.startswith(("ack-", "reveal-"))
        return [entry for entry in real(self, kind, session, **facts) if not answers or entry.number > before]

    monkeypatch.setattr(Journal, "find", find)


def clone_a_key(monkeypatch, federation: Attacked, source: tuple[int, int], copy: tuple[int, int]) -> None:
    """Give agency and round `copy` the round key of agency and round `source`, as a cloned machine would."""
    real, made = make_keys, {}

    def cloning(party: Party):
        message, encryption_key, rounds = real(party)
        made[party.me] = rounds
        owner, round_ = copy
        if party.me == owner:
            rounds[round_ - 1] = replace(rounds[round_ - 1], k=made[source[0]][source[1] - 1].k)
            keys = Keys.decode(message, lambda _: party.setting.member_key(owner), federation.r_max)
            public = tuple(public_key(secret.k) for secret in rounds)
            message = replace(keys, round_keys=public).encode(party.signing)
        return message, encryption_key, rounds

    monkeypatch.setattr(member, "make_keys", cloning)


def round_keys(closed: ClosedSet, round_: int) -> dict[int, bytes]:
    return {i: keys.round_keys[round_ - 1] for i, keys in closed.keys.items()}
