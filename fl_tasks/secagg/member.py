"""An agency's state machine: the pure steps, held to the protocol's rules by journal and vault.

    begin -> keys -> shares -> ready -> close
        round r:  upload -> ack -> reveal       (or burnt)

Every method returns messages that are already journaled, by name; sending them is the caller's part. A second
call gives the same bytes or raises. Secrets are deleted as soon as the rules allow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.secagg import names
from fl_tasks.secagg.agency import (
    Party,
    RoundSecret,
    make_ack,
    make_keys,
    make_reveal,
    make_shares,
    mask_update,
    open_shares,
)
from fl_tasks.secagg.errors import (
    CloseConflict,
    DifferencingRefused,
    KeysWithheld,
    ManifestConflict,
    ModelMismatch,
    NotAcknowledged,
    ProtocolError,
    ResendConflict,
    RoundBurnt,
    RoundClosed,
    SessionOver,
    SharesWithheld,
    UnsafeThreshold,
    UploadAfterManifest,
    UploadAltered,
    WrongSession,
)
from fl_tasks.secagg.heads import check_posted, make_head
from fl_tasks.secagg.journal import Entry, Journal
from fl_tasks.secagg.masking import Ring
from fl_tasks.secagg.messages import Burnt, Manifest, RoundModel, Upload
from fl_tasks.secagg.parameters import checked_threshold
from fl_tasks.secagg.session import ClosedSet, check_close, list_hash, manifest_hash, rows_key, survivor_key
from fl_tasks.secagg.vault import Vault

Outbox = dict[str, bytes]
# Of a session, from its begin at an agency: what a monthly run may take at most.
MOST_DAYS = 31


class Member:
    """One agency in one session, with its journal open (and so locked)."""

    def __init__(self, party: Party, journal: Journal, vault: Vault, interval: tuple[str, str]) -> None:
        """`interval` is the run's data interval as ISO times: survivor sets are fixed per model and interval."""
        self.party = party
        self._journal = journal
        self._vault = vault
        self._interval = interval
        self._session = party.setting.session.hex()
        self._name = party.setting.roster.names[party.me]

    @contextmanager
    def refusals(self, step: str) -> Iterator[None]:
        """Journal every refusal that is raised inside; what is only not there yet is none."""
        try:
            yield
        except FLError as error:
            if not error.retryable:
                self._journal.append("refused", self._session, step=step, code=error.code)
                error.journaled = True
            raise

    def begin(self, run_id: str, not_after: datetime) -> None:
        """Open the session in the journal; a session is only ever opened for one run and one roster.

        Its secrets are kept until not_after, and MOST_DAYS from now at most, whatever the coordinator asks.

        Raises:
            UnsafeThreshold: If the roster admits sums that could be one agency's, whoever approved it.
        """
        roster = self.party.setting.roster
        try:
            checked_threshold(len(roster.members), roster.secagg)
        except ConfigError as error:
            raise UnsafeThreshold(str(error)) from error
        known = self._journal.find("session", self._session)
        if not known:
            end = min(not_after, datetime.now(UTC) + timedelta(days=MOST_DAYS))
            facts = {"run_id": run_id, "not_after": end.isoformat(), "roster": roster.sha256.hex()}
            self._vault.keep_until(end)
            self._journal.append("session", self._session, **facts)
        elif known[0].facts["run_id"] != run_id:
            raise WrongSession(f"session {self._session} belongs to run {known[0].facts['run_id']}")

    def resume(self, posted: Iterable[bytes]) -> None:
        """Start work on a session: check that it may go on, and delete what the rules say must be gone by now.

        Args:
            posted: This agency's journal heads in the exchange.

        Raises:
            JournalRolledBack: If a posted head is not in the journal.
            WrongSession: If the session was never opened here; RosterChanged, SessionOver.
        """
        now = datetime.now(UTC)
        self._vault.forget_expired(now)
        check_posted(self.party, self._journal, posted)
        known = self._journal.find("session", self._session)
        if not known:
            raise WrongSession(f"session {self._session} was never opened at this agency, or its journal was lost")
        if now > datetime.fromisoformat(known[0].facts["not_after"]):
            raise SessionOver(f"session {self._session} ended at {known[0].facts['not_after']}; start a new run")
        self.party.setting.same_roster(bytes.fromhex(known[0].facts["roster"]), f"session {self._session}")
        self._forget_ended()

    def keys(self) -> Outbox:
        """S1."""

        def make() -> Outbox:
            message, encryption_key, rounds = make_keys(self.party)
            self._vault.put_setup(encryption_key, rounds)
            return {names.keys(self._name): message}

        return self._send("keys", make)

    def shares(self, list_data: bytes, files: Mapping[int, bytes]) -> Outbox:
        """S2, one message a peer."""
        self._once("list", list_hash(list_data), KeysWithheld("another list of keys was accepted in this session"))

        def make() -> Outbox:
            own = self._vault.message(names.keys(self._name))
            dealt, own_shares = make_shares(
                self.party, list_data, files, own, self._vault.encryption_key, self._rounds()
            )
            self._vault.put_own_shares(own_shares)
            roster = self.party.setting.roster.names
            return {names.shares(self._name, roster[holder]): data for holder, data in dealt.items()}

        return self._send("shares", make)

    def ready(self, list_data: bytes, files: Mapping[int, bytes], share_files: Mapping[int, bytes]) -> Outbox:
        """S3; a dealer whose share file does not open is journaled and left out."""
        self._once("list", list_hash(list_data), KeysWithheld("another list of keys was accepted in this session"))

        def make() -> Outbox:
            message, held, refused = open_shares(
                self.party, list_data, files, self._vault.encryption_key, share_files, self._rounds()
            )
            for dealer, error in refused.items():
                self._journal.append("refused", self._session, step="ready", dealer=dealer, code=error.code)
            held[self.party.me] = self._vault.own_shares
            self._vault.put_held(held, self.party.setting.roster.r_max)
            return {names.ready(self._name): message}

        outbox = self._send("ready", make)
        self._forget_ended()
        return outbox

    def close(
        self, list_data: bytes, close_data: bytes, files: Mapping[int, bytes], readies: Mapping[int, bytes]
    ) -> ClosedSet:
        """Accept S4, the same one for the whole session."""
        setting = self.party.setting
        closed = check_close(setting, list_data, close_data, files, readies)
        if self.party.me in closed.ids:
            if not self._sent("ready") or self._vault.message(names.ready(self._name)) != readies[self.party.me]:
                raise SharesWithheld("the close counts on a ready message that this agency did not send")
            opened = setting.read_ready(readies[self.party.me], list_hash(list_data))
            if not opened.covers >= set(closed.ids):
                raise SharesWithheld("the close counts on share files that this agency did not open")
        self._once("close", closed.h2, CloseConflict("another close was accepted in this session"))
        if self.party.me not in closed.ids:
            for round_ in range(1, setting.roster.r_max + 1):
                self._vault.forget_round(round_)  # no round of this session will ask for it
        return closed

    def upload(self, closed: ClosedSet, round_: int, model_data: bytes, make_update: Callable[[bytes], Ring]) -> Outbox:
        """Step 1: train and mask, once a round.

        Args:
            closed: The session's closed set, this agency among it.
            round_: From 1.
            model_data: The coordinator's signed model hash of this round.
            make_update: Model hash -> encoded update, shape (d + slots,), which is overwritten. Called only if nothing
                was sent yet.
        """
        model = self._read_model(round_, model_data)
        self._once("model", model, ModelMismatch(f"round {round_}: another model was named before"), round=round_)
        self._forget_ended()

        def make() -> Outbox:
            self._still_open(round_)
            self._not_decided(round_)
            secret = self._vault.round_secret(round_)
            held = self._vault.held(round_)
            header = closed.header(round_, model)
            masked = mask_update(self.party, closed, header, make_update(model), secret, held)
            return {names.upload(round_, self._name): masked}

        return self._send(f"up-{round_}", make)

    def ack(self, closed: ClosedSet, round_: int, manifest_data: bytes) -> Outbox:
        """Step 2a: accept one manifest, ever, in this round."""
        conflict = ManifestConflict(f"round {round_}: another manifest was accepted before")
        if not self._sent(f"ack-{round_}"):
            self._still_open(round_)
            manifest = closed.read_manifest(manifest_data, round_)
            self._check_own(closed, manifest)
            self._fix_survivors(manifest)
        self._once("manifest", manifest_hash(manifest_data), conflict, round=round_)
        outbox = self._send(
            f"ack-{round_}", lambda: {names.ack(round_, self._name): make_ack(self.party, manifest_data)}
        )
        self._forget_ended()
        return outbox

    def left_out(self, round_: int) -> bool:
        """Whether the manifest that this agency acknowledged leaves out the update that it had sent."""
        return bool(self._journal.find("left_out", self._session, round=round_))

    def reveal(self, closed: ClosedSet, round_: int, manifest_data: bytes, acks: Mapping[int, bytes]) -> Outbox:
        """Step 2b, after t equal acks."""
        wanted = manifest_hash(manifest_data)
        if not self._sent(f"ack-{round_}"):
            raise NotAcknowledged(f"round {round_}: this agency acknowledged no manifest")
        self._once(
            "manifest", wanted, ManifestConflict(f"round {round_}: another manifest was accepted before"), round=round_
        )

        def make() -> Outbox:
            self._still_open(round_)
            manifest = closed.read_manifest(manifest_data, round_)
            held = self._vault.held(round_)
            return {
                names.reveal(round_, self._name): make_reveal(self.party, closed, manifest, manifest_data, acks, held)
            }

        outbox = self._send(f"reveal-{round_}", make)
        self._forget_ended()
        return outbox

    def burnt(self, closed: ClosedSet, round_: int, burnt_data: bytes) -> None:
        """Take note of a round's verdict `burnt`; its secrets go."""
        verdict = Burnt.decode(burnt_data, lambda _: self.party.setting.coordinator_key, 0)
        closed.same_round(verdict.header, round_, Burnt.LABEL)
        self._not_acknowledged(round_)
        self._once("burnt", verdict.header.model, ManifestConflict(f"round {round_}: burnt twice"), round=round_)
        self._forget_ended()

    def _read_model(self, round_: int, model_data: bytes) -> bytes:
        message = RoundModel.decode(model_data, lambda _: self.party.setting.coordinator_key, 0)
        self.party.setting.same_session(message.session, RoundModel.LABEL)
        if message.round != round_:
            raise WrongSession(f"message model: of round {message.round}, this is round {round_}")
        return message.model

    def _still_open(self, round_: int) -> None:
        for entry in self._journal.find("manifest", self._session):
            if entry.facts["round"] > round_:
                raise RoundClosed(f"round {round_} is over: round {entry.facts['round']} was acknowledged")
        if self._journal.find("burnt", self._session, round=round_):
            raise RoundBurnt(f"round {round_} is burnt; the next one starts from the last model")

    def _not_decided(self, round_: int) -> None:
        """Refuse a new update in a round whose survivors are fixed: peers are revealing this agency's key."""
        if self._journal.find("manifest", self._session, round=round_):
            raise UploadAfterManifest(f"round {round_}: its manifest was accepted without an update of this agency")

    def _not_acknowledged(self, round_: int) -> None:
        """Refuse to burn a round with a manifest: any t of A finish it, and need its shares."""
        if self._journal.find("manifest", self._session, round=round_):
            raise ManifestConflict(f"round {round_}: has a manifest and cannot be burnt")

    def _forget_ended(self) -> None:
        """Delete what no step needs any more by what the journal says, so that a crash in between is made good.

        Set-up ends with the own S3. A round ends with the own reveal, its verdict `burnt`, or a later round's
        signed model or manifest.
        """
        if self._sent("ready"):
            self._vault.forget_setup()
        later = [entry.facts["round"] for kind in ("model", "manifest") for entry in self._entries(kind)]
        ended = set(range(1, max(later, default=0)))
        ended.update(entry.facts["round"] for entry in self._entries("burnt"))
        ended.update(round_ for round_ in later if self._sent(f"reveal-{round_}"))
        for round_ in sorted(ended):
            self._vault.forget_round(round_)

    def _rounds(self) -> list[RoundSecret]:
        """This agency's secrets of all rounds, while the session is set up."""
        return [self._vault.round_secret(r) for r in range(1, self.party.setting.roster.r_max + 1)]

    def _entries(self, kind: str) -> list[Entry]:
        return self._journal.find(kind, self._session)

    def _check_own(self, closed: ClosedSet, manifest: Manifest) -> None:
        """The manifest has to hold this agency's own upload, or to leave it out, which is journaled."""
        round_ = manifest.header.round
        trained = self._journal.find("model", self._session, round=round_)
        if trained and closed.header(round_, bytes.fromhex(trained[0].facts["value"])) != manifest.header:
            raise ModelMismatch(f"round {round_}: the manifest names another model than the one trained on")
        listed = {member: sha for member, sha, _ in manifest.members}.get(self.party.me)
        if not self._sent(f"up-{round_}"):
            if listed is not None:
                raise UploadAltered(f"round {round_}: the manifest holds an upload that this agency never sent")
            return
        if listed is None:
            self._journal.append("left_out", self._session, round=round_)
            return
        stored = self._vault.message(names.upload(round_, self._name))
        if hashlib.sha256(memoryview(stored)[Upload.HEAD_BYTES :]).digest() != listed:
            raise UploadAltered(f"round {round_}: the manifest holds another upload of this agency than it sent")

    def bind_rows(self, request: bytes, rows: bytes) -> None:
        """Fix which rows a survey's answer is about, before it is made.

        Two answers to one request and interval with other rows would tell, by subtraction, the rows that changed; and
        under the same rows no second survivor set is admitted, whatever interval they are said to be of.

        Args:
            request: The request's hash, which stands in place of a model's.
            rows: Hash of the rows, 32 bytes.

        Raises:
            DifferencingRefused: If this request was answered for this interval with other rows.
        """
        key = survivor_key(request, self._interval)
        known = {entry.facts["value"] for entry in self._journal.find("rows", key=key)}
        if rows.hex() not in known:
            if len(known) > len(self._journal.find("lifted", key=key)):
                raise DifferencingRefused(
                    "this survey was answered for the same data interval with other rows; the difference of two sums "
                    f"would tell the rows that changed. If that is intended: fl agency lift {request.hex()}"
                )
            self._journal.append("rows", self._session, key=key, value=rows.hex())
        self._journal.append("bound", self._session, value=rows.hex(), request=request.hex())

    def _fix_survivors(self, manifest: Manifest) -> None:
        """Across sessions: under one model and data interval no second survivor set, or sums would be subtracted.

        In a survey, under the same rows neither: a table may be the same in every interval.
        """
        roster, model = self.party.setting.roster.names, manifest.header.model
        survivors = [roster[member] for member in manifest.ids]
        interval_key = survivor_key(model, self._interval)
        bound = self._journal.find("bound", self._session, request=model.hex())
        keys = [interval_key, *(rows_key(model, bytes.fromhex(entry.facts["value"])) for entry in bound[-1:])]
        lifted = len(self._journal.find("lifted", key=interval_key))
        new = []
        for key in keys:
            known = [entry.facts["survivors"] for entry in self._journal.find("survivors", key=key)]
            if survivors in known:
                continue
            if len(known) > lifted:
                raise DifferencingRefused(
                    f"round {manifest.header.round}: another set of agencies was summed under the same model and data "
                    "interval, or over the same rows; the difference of two sums would tell one agency's update. If "
                    f"that is intended: fl agency lift {model.hex()}"
                )
            new.append(key)
        for key in new:
            self._journal.append("survivors", self._session, key=key, survivors=survivors)

    def _once(self, kind: str, value: bytes, conflict: ProtocolError, **facts: int) -> None:
        """Journal a fact of the session that must never differ."""
        known = self._journal.find(kind, self._session, **facts)
        if not known:
            self._journal.append(kind, self._session, value=value.hex(), **facts)
        elif known[0].facts["value"] != value.hex():
            raise conflict

    def _sent(self, step: str) -> bool:
        return self._sent_entry(step) is not None

    def _sent_entry(self, step: str) -> Entry | None:
        known = self._journal.find("sent", self._session, step=step)
        return known[0] if known else None

    def _send(self, step: str, make: Callable[[], Outbox]) -> Outbox:
        """Give the messages of a step: the stored ones if it was done before, else new ones, journaled.

        The journal's head as of this step goes first: whoever sees the messages can see it.
        """
        known = self._sent_entry(step)
        if known is None:
            outbox = make()
            for name, data in outbox.items():
                self._vault.put_message(name, data)
            files = {name: hashlib.sha256(data).hexdigest() for name, data in outbox.items()}
            known = self._journal.append("sent", self._session, step=step, files=files)
        else:
            outbox = {name: self._stored(name, sha256) for name, sha256 in known.facts["files"].items()}
        return {names.head(self._name, known.number): make_head(self.party, known), **outbox}

    def _stored(self, name: str, sha256: str) -> bytes:
        """A message exactly as it was sent; raises ResendConflict."""
        data = self._vault.message(name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ResendConflict(f"{name}: the stored message is not the one that was sent; it was altered")
        return data
