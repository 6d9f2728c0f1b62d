"""What agency and coordinator both know of a session, and the checks that both make on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fl_tasks.contracts.base import canonical_json
from fl_tasks.contracts.roster import Roster
from fl_tasks.secagg.errors import (
    BadKey,
    DuplicateKey,
    KeysWithheld,
    MalformedMessage,
    RosterChanged,
    SharesWithheld,
    TooFewAgencies,
    UnknownMember,
    WrongSession,
)
from fl_tasks.secagg.hybrid import HybridKeys, HybridReady, check_kem_key
from fl_tasks.secagg.messages import (
    Ack,
    Close,
    KeyList,
    Keys,
    Manifest,
    Ready,
    check_upload_signature,
)
from fl_tasks.secagg.wire import Header, digest

_FIELD = 2**255 - 19
# The canonical u-coordinates whose order divides 8, on the curve or its twist: https://cr.yp.to/ecdh.html
_LOW_ORDER = frozenset(
    (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _FIELD - 1,
    )
)


@dataclass(frozen=True)
class Setting:
    """A session of one roster: the ground that every check stands on."""

    roster: Roster
    session: bytes

    @property
    def hybrid(self) -> bool:
        """Whether pair secrets take a key encapsulation beside X25519; see hybrid.py."""
        return self.roster.secagg.kem is not None

    @property
    def n(self) -> int:
        """Agencies of the roster (ids are 0..n-1)."""
        return len(self.roster.members)

    def member_key(self, member: int) -> bytes:
        """An agency's Ed25519 key; raises UnknownMember."""
        if not 0 <= member < self.n:
            raise UnknownMember(f"id {member} is not in the roster, which has ids 0 to {self.n - 1}")
        return bytes.fromhex(self.roster.members[member].protocol_key)

    @property
    def coordinator_key(self) -> bytes:
        """The coordinator's Ed25519 key."""
        return bytes.fromhex(self.roster.coordinator_key)

    @cached_property
    def roster_sha256(self) -> bytes:
        """The roster's hash, computed once a session: every S1 is held against it."""
        return self.roster.sha256

    def same_session(self, session: bytes, label: str) -> None:
        """Check that a message belongs here; raises WrongSession."""
        if session != self.session:
            raise WrongSession(f"message {label}: of session {session.hex()}, this is {self.session.hex()}")

    def enough(self, ids: tuple[int, ...] | frozenset[int], step: str) -> None:
        """Check that t agencies are left; raises TooFewAgencies."""
        if len(ids) < self.roster.t:
            raise TooFewAgencies(
                f"{step}: {len(ids)} agencies are left, {self.roster.t} are needed; see which were lost and why in "
                "the report, then start a new run"
            )

    def read_keys(self, data: bytes) -> Keys:
        """Read and check one S1."""
        kind = HybridKeys if self.hybrid else Keys
        keys = kind.decode(data, lambda message: self.member_key(message.sender), self.roster.r_max)
        self.same_session(keys.session, Keys.LABEL)
        self.same_roster(keys.roster, f"message keys of id {keys.sender}")
        check_points(keys)
        if isinstance(keys, HybridKeys):
            check_kem_key(keys)
        return keys

    def same_roster(self, sha256: bytes, what: str) -> None:
        """Check that t, N and all other parameters are still those of the session; raises RosterChanged."""
        if sha256 != self.roster_sha256:
            raise RosterChanged(f"{what}: made for another roster than {self.roster_sha256.hex()}; start a new run")

    def read_list(self, data: bytes) -> KeyList:
        """Read and check the coordinator's list; raises UnknownMember if it names a stranger."""
        listed = KeyList.decode(data, lambda _: self.coordinator_key, self.n)
        self.same_session(listed.session, KeyList.LABEL)
        for member, _ in listed.entries:
            self.member_key(member)
        self.enough(tuple(member for member, _ in listed.entries), "list")
        return listed

    def read_listed_keys(self, list_data: bytes, files: Mapping[int, bytes]) -> dict[int, Keys]:
        """Read every S1 that a list names; the files must be exactly those that it names.

        Raises:
            KeysWithheld: If a listed file is missing or has another hash.
        """
        keys = {}
        for member, sha in self.read_list(list_data).entries:
            if member not in files or file_hash(files[member]) != sha:
                raise KeysWithheld(f"the keys of id {member} are missing or not those of the coordinator's list")
            keys[member] = self.read_keys(files[member])
            if keys[member].sender != member:
                raise UnknownMember(f"the keys listed for id {member} are those of id {keys[member].sender}")
        shared = sharing_a_key(keys)
        if shared:
            raise DuplicateKey(f"ids {sorted(shared)} have a public key in common; none of them may be in the list")
        return keys

    def read_ready(self, data: bytes, h1: bytes) -> Ready:
        """Read and check one S3."""
        kind = HybridReady if self.hybrid else Ready
        ready = kind.decode(data, lambda message: self.member_key(message.sender), self.n)
        self.same_session(ready.session, Ready.LABEL)
        if ready.h1 != h1:
            raise WrongSession(f"message ready of id {ready.sender}: made under another list of keys")
        if isinstance(ready, HybridReady) and ready.rounds != self.roster.r_max:
            raise MalformedMessage(f"message ready of id {ready.sender}: not one sealed part a round")
        return ready


@dataclass(frozen=True)
class ClosedSet:
    """A session after S4: its set A, everybody's keys, and H2, which binds them."""

    setting: Setting
    h2: bytes
    ids: tuple[int, ...]
    keys: Mapping[int, Keys]
    sealed: Mapping[int, HybridReady] = field(default_factory=dict)
    """Of a hybrid roster: owner -> its S3, which holds the smaller ids' contributions, sealed under its secrets."""

    def header(self, round_: int, model: bytes) -> Header:
        """The header of one round's messages."""
        return Header(self.setting.session, round_, self.h2, model)

    def same_round(self, header: Header, round_: int, label: str) -> None:
        """Check that a header is this session's, this set's and this round's; raises WrongSession."""
        if (header.session, header.round, header.h2) != (self.setting.session, round_, self.h2):
            raise WrongSession(f"message {label}: of another session, closed set or round than round {round_} here")

    def member(self, sender: int) -> bytes:
        """The Ed25519 key of a member of A; raises UnknownMember."""
        if sender not in self.ids:
            raise UnknownMember(f"id {sender} is not in the closed set of this session")
        return self.setting.member_key(sender)

    def read_manifest(self, data: bytes, round_: int) -> Manifest:
        """Read a manifest and check the signature of *every* member's upload under its header.

        A coordinator that closed different sets at different agencies cannot show uploads of one under the
        header of another.
        """
        manifest = Manifest.decode(data, lambda _: self.setting.coordinator_key, self.setting.n)
        self.same_round(manifest.header, round_, Manifest.LABEL)
        for sender, payload_sha, signature in manifest.members:
            check_upload_signature(self.member(sender), signature, manifest.header, sender, payload_sha)
        self.setting.enough(manifest.ids, f"round {round_}, manifest")
        return manifest

    def read_ack(self, data: bytes) -> Ack:
        """Read one ack of a member of A."""
        return Ack.decode(data, lambda message: self.member(message.sender), 0)


def check_points(keys: Keys) -> None:
    """Check an agency's X25519 keys: each a point of its own, of large order, in its one canonical form.

    Two encodings of one point would pass for two keys.

    Raises:
        BadKey: If a key is of low order, or not canonical.
        DuplicateKey: If one key stands twice: revealing a lost round's key would unmask another round.
    """
    points = (keys.encryption_key, *keys.round_keys)
    for point in points:
        value = int.from_bytes(point, "little")
        if value >= _FIELD or value in _LOW_ORDER:
            raise BadKey(f"message keys of id {keys.sender}: a public key is of low order or not in canonical form")
    if len(set(points)) != len(points):
        raise DuplicateKey(f"message keys of id {keys.sender}: one public key stands for two rounds")


def sharing_a_key(keys: Mapping[int, Keys]) -> dict[int, frozenset[int]]:
    """Return whoever has a public key in common with others (a copy, or a cloned machine), each with those others."""
    owners: dict[bytes, set[int]] = {}
    for member, own in keys.items():
        for point in (own.encryption_key, *own.round_keys):
            owners.setdefault(point, set()).add(member)
    shared: dict[int, frozenset[int]] = {}
    for members in owners.values():
        if len(members) > 1:
            for member in members:
                shared[member] = shared.get(member, frozenset()) | (members - {member})
    return shared


def manifest_hash(data: bytes) -> bytes:
    """H(manifest), which acks sign."""
    return digest("H-manifest", data)


def list_hash(data: bytes) -> bytes:
    """H1, which binds S2 to S4 to one list of keys."""
    return digest("H1", data)


def file_hash(data: bytes) -> bytes:
    """The hash by which list and close name a message."""
    return digest("file", data)


def survivor_key(model: bytes, interval: tuple[str, str]) -> str:
    """What a survivor set must never change under: the model and the data interval."""
    return digest("differencing", model, canonical_json(list(interval))).hex()


def rows_key(request: bytes, rows: bytes) -> str:
    """What a survivor set must never change under in a survey: the request and the very rows that it sums."""
    return digest("differencing", request, rows).hex()


def check_close(
    setting: Setting, list_data: bytes, close_data: bytes, files: Mapping[int, bytes], readies: Mapping[int, bytes]
) -> ClosedSet:
    """Check a close against the list and every member's S1 and S3, as each agency and the coordinator do.

    Args:
        setting: The session.
        list_data: The list that was accepted.
        close_data: The close.
        files: id -> S1, of all listed.
        readies: id -> S3, at least of all members of A.

    Raises:
        SharesWithheld: If a file is not the one that the close names, or A is not covered pairwise.
        TooFewAgencies: If A has fewer than t members.
    """
    keys = setting.read_listed_keys(list_data, files)
    h1 = list_hash(list_data)
    close = Close.decode(close_data, lambda _: setting.coordinator_key, setting.n)
    setting.same_session(close.session, Close.LABEL)
    if close.h1 != h1:
        raise WrongSession("message close: made under another list of keys")
    setting.enough(close.ids, "close")
    sealed: dict[int, HybridReady] = {}
    for member, keys_sha, ready_sha in close.members:
        if member not in keys or file_hash(files[member]) != keys_sha:
            raise SharesWithheld(f"the close names other keys of id {member} than the list")
        if member not in readies or file_hash(readies[member]) != ready_sha:
            raise SharesWithheld(f"the close names a ready message of id {member} that is not there")
        ready = setting.read_ready(readies[member], h1)
        if ready.sender != member or not ready.covers >= set(close.ids):
            raise SharesWithheld(f"id {member} did not open the shares of everyone in the closed set")
        if isinstance(ready, HybridReady):
            sealed[member] = ready
    h2 = digest("H2", setting.roster_sha256, close_data)
    return ClosedSet(setting, h2, close.ids, {member: keys[member] for member in close.ids}, sealed)
