"""Rules 5 to 9: the write-once exchange, verdicts, who was lost takes part again, deletion, no waiting and no leaks."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace

import numpy as np
import pytest

from fl_tasks.contracts.stage import EXIT_RETRY
from fl_tasks.exchange import folder as exchange_folder
from fl_tasks.exchange.folder import ExchangeConflict, FolderExchange
from fl_tasks.secagg import names, session
from fl_tasks.secagg.agency import RoundSecret
from fl_tasks.secagg.errors import DuplicateKey, KeysGone, ManifestConflict, RoundBurnt, SessionOver
from fl_tasks.secagg.member import Member
from fl_tasks.secagg.messages import Burnt
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.vault import Vault
from fl_tasks.stages import manifest as manifest_stage
from tests.attacks.attacked import LENGTH, VICTIM, Attacked, clone_a_key, round_keys, unmask_one, vector
from tests.secagg.federation import model_of

UPLOAD = names.upload(1, "agency_000")

# --- rule 5: nothing in the exchange is ever replaced


def test_rule_05_write_once_exchange_shown(memory, monkeypatch):
    """With a rename that replaces, two agencies read two manifests under one name."""
    monkeypatch.setattr(exchange_folder.os, "link", os.replace)
    exchange, read = FolderExchange(memory), []
    for manifest in (b"over all", b"without the victim"):
        exchange.put(names.manifest(1), manifest)
        read.append(exchange.get(names.manifest(1)))
    assert read == [b"over all", b"without the victim"]


def test_rule_05_write_once_exchange_refused(federation):
    """Somebody lies under the agency's name: nothing is replaced, and the agency says so."""
    federation.store[names.model(1)] = federation.model_message(1)
    asked = {**federation.store, UPLOAD: b"another"}
    outcome = federation.process(VICTIM, "upload", asked, round_=1, update=vector(VICTIM))
    assert (outcome.exit, outcome.code) == (10, ExchangeConflict.__name__)
    assert outcome.refusals == [("upload-1", ExchangeConflict.__name__)]
    assert (federation.folder / "exchange" / UPLOAD).read_bytes() == b"another"
    # An equal object is success: what was journaled is sent as it is.
    federation.store[UPLOAD] = federation.vault(VICTIM).message(UPLOAD)
    assert federation.process(VICTIM, "upload", round_=1, update=vector(7)).exit == 0


# --- rule 6: a round has a manifest or is burnt, never both


def _burnt(federation: Attacked, round_: int = 1) -> bytes:
    return Burnt(federation.closed().header(round_, model_of(round_))).encode(federation.coordinator_key)


def test_rule_06_burnt_after_the_manifest_shown(federation, monkeypatch):
    """The verdict makes all agencies delete their shares: the sum that they acknowledged can never be opened."""
    monkeypatch.setattr(Member, "_not_acknowledged", lambda *_: None)
    federation.train_all()
    federation.manifest(1, LENGTH)
    for i in range(4):
        federation.ack(i, 1)
        with federation.member(i) as one:
            one.burnt(federation.closed(), 1, _burnt(federation))
        with pytest.raises(KeysGone):
            federation.vault(i).held(1)


def test_rule_06_burnt_after_the_manifest_refused(federation):
    """However late: t of A still finish the round."""
    federation.train_all()
    federation.manifest(1, LENGTH)
    for i in range(4):
        federation.ack(i, 1)
    asked = {**federation.store, names.burnt(1): _burnt(federation)}
    for i in (1, 2, 3):
        federation.process(i, "burnt", asked, round_=1).must_refuse("burnt-1", ManifestConflict)
        federation.send(federation.process(i, "reveal", round_=1).sent)
    assert np.array_equal(federation.unmask(1, LENGTH), sum(vector(i) for i in range(4)))


def test_rule_06_a_burnt_round_takes_no_manifest_and_no_new_update(federation):
    """A cleared task of it sends again what it had sent; an agency that had sent nothing sends nothing."""
    federation.train_all(who=(0, 1))
    late = federation.copy_to(federation.folder / "late")
    late.train_all(who=(2, 3))
    federation.store[names.burnt(1)] = _burnt(federation)
    for i in range(4):
        assert federation.process(i, "burnt", round_=1).exit == 0
    again = federation.process(0, "upload", {k: v for k, v in federation.store.items() if k != UPLOAD}, round_=1)
    assert again.sent == {UPLOAD: federation.store[UPLOAD]}
    federation.process(2, "upload", round_=1, update=vector(2)).must_refuse("upload-1", RoundBurnt)
    asked = {**federation.store, names.manifest(1): late.manifest_of(range(4))}
    federation.process(0, "ack", asked, round_=1).must_refuse("ack-1", RoundBurnt)


class StalledExchange(FolderExchange):
    """Stops behind the counting of uploads until it is let go, as a machine may at any point."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.counted, self.go_on = threading.Event(), threading.Event()

    def names(self, folder: str) -> list[str]:
        found = super().names(folder)
        self.counted.set()
        assert self.go_on.wait(60)
        return found


def _verdicts_of_two_tries(federation: Attacked, monkeypatch, patience: float) -> list[str]:
    """The manifest stage counts two uploads and stalls; two more arrive, and its retry starts beside it.

    Only the opening of the session is stood in for.
    """
    federation.train_all()
    stalled, plain = (kind(federation.folder / "exchange") for kind in (StalledExchange, FolderExchange))

    def arrive(*agencies: int) -> None:
        for name in (names.upload(1, federation.roster.names[i]) for i in agencies):
            plain.put(name, federation.store[name])

    def decide(exchange: FolderExchange) -> None:
        desk = SimpleNamespace(
            spec=SimpleNamespace(surveys=False),
            round=1,
            exchange=exchange,
            roster=federation.roster,
            cohort=SimpleNamespace(parameters=LENGTH - len(SLOTS)),
            closed=federation.closed,
            signing_key=lambda: federation.coordinator_key,
            model_sha256=lambda *_: model_of(1).hex(),
            agency_names=lambda ids: tuple(federation.roster.names[i] for i in ids),
        )
        manifest_stage.run(SimpleNamespace(folder=federation.folder / "run", desk=desk))

    monkeypatch.setattr(manifest_stage, "open_desk", lambda spec: spec.desk)
    arrive(0, 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(decide, stalled)
        assert stalled.counted.wait(60)
        arrive(2, 3)
        retry = pool.submit(decide, plain)
        wait([retry], timeout=patience)
        stalled.go_on.set()
        first.result()
        retry.result()
    return [name for name in (names.manifest(1), names.burnt(1)) if plain.find(name) is not None]


def test_rule_06_two_tries_of_one_verdict_shown(federation, monkeypatch):
    """A round with both: some agencies reveal for the manifest, others delete their shares."""
    monkeypatch.setattr(manifest_stage, "locked", lambda _: contextlib.nullcontext())
    assert _verdicts_of_two_tries(federation, monkeypatch, 60) == [names.manifest(1), names.burnt(1)]


def test_rule_06_two_tries_of_one_verdict_refused(federation, monkeypatch):
    """The retry waits, and finds the verdict of the first."""
    assert _verdicts_of_two_tries(federation, monkeypatch, 0.5) == [names.burnt(1)]


# --- rule 7: who is lost in a round takes part in the next, because every round has its own keys


def test_rule_07_one_key_for_two_rounds_shown(fresh, monkeypatch):
    """Lost in round 2, an agency's key is revealed: with one key for both rounds, round 1 is bare."""
    clone_a_key(monkeypatch, fresh, (VICTIM, 1), (VICTIM, 2))
    monkeypatch.setattr(session, "check_points", lambda _: None)
    fresh.set_up()
    fresh.train_all(1)
    fresh.manifest(1, LENGTH)
    fresh.open_round(1)
    closed = fresh.closed()
    seed = fresh.read_reveals(1, {i: range(4) for i in range(4)}, closed).secret("b", VICTIM)
    fresh.train_all(2, (1, 2, 3))
    fresh.manifest(2, LENGTH)
    fresh.open_round(2, (1, 2, 3))
    key = fresh.read_reveals(2, dict.fromkeys(range(4), (1, 2, 3)), closed).secret("k", VICTIM)
    assert np.array_equal(unmask_one(fresh.read_upload(VICTIM), seed, round_keys(closed, 1), own=key), vector(VICTIM))


def test_rule_07_one_key_for_two_rounds_refused(fresh, monkeypatch):
    clone_a_key(monkeypatch, fresh, (VICTIM, 1), (VICTIM, 2))
    for i in range(4):
        with fresh.member(i) as one:
            one.begin("run", dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
            fresh.send(one.keys())
    asked = {**fresh.store, names.LIST: fresh.list_of(fresh.by_id("setup/keys/").items())}
    fresh.process(1, "shares", asked).must_refuse("shares", DuplicateKey)


def test_rule_07_who_was_lost_takes_part_in_the_next_round(federation):
    for round_, present in ((1, (1, 2, 3)), (2, (0, 1, 2, 3))):
        federation.train_all(round_, present)
        federation.manifest(round_, LENGTH)
        federation.open_round(round_, present)
        assert np.array_equal(federation.unmask(round_, LENGTH), sum(vector(i) for i in present))


# --- rule 8: secrets go as soon as nothing needs them


def _files(federation: Attacked, i: int = VICTIM) -> set[str]:
    folder = federation.home(i) / federation.session.hex()
    return {path.name for path in folder.glob("*") if path.suffix in (".secret", ".held", ".key", ".shares")}


ALL = {"round-1.secret", "round-1.held", "round-2.secret", "round-2.held"}
SECOND = {"round-2.secret", "round-2.held"}


def test_rule_08_deletion_shown(federation, monkeypatch):
    """Who takes an agency's disk after the round reads its vector out of the upload."""
    monkeypatch.setattr(Vault, "forget_round", lambda *_: None)
    federation.train_all()
    federation.manifest(1, LENGTH)
    federation.open_round()
    stolen = federation.vault(VICTIM).round_secret(1)
    public = round_keys(federation.closed(), 1)
    assert np.array_equal(unmask_one(federation.read_upload(VICTIM), stolen.b, public, own=stolen.k), vector(VICTIM))


def test_rule_08_deletion_refused(federation):
    """Nothing of the round is left on the disk; a step that would need it is refused, not done anew."""
    federation.train_all()
    federation.manifest(1, LENGTH)
    federation.open_round()
    assert _files(federation) == SECOND
    with pytest.raises(KeysGone):
        federation.vault(VICTIM).round_secret(1)
    message = federation.home(VICTIM) / federation.session.hex() / "messages" / UPLOAD
    message.unlink()
    federation.process(VICTIM, "upload", round_=1, update=vector(7)).must_refuse("upload-1", KeysGone)


@pytest.mark.parametrize("trigger", ["own reveal", "burnt", "a later round's model", "the own ack of a later round"])
def test_rule_08_each_trigger_deletes_and_a_crash_before_is_made_good_at_the_next_start(federation, trigger):
    federation.back_up()
    federation.train_all(1, who=() if trigger == "burnt" else range(4))
    if trigger == "own reveal":
        federation.manifest(1, LENGTH)
        assert _files(federation) == ALL
        federation.open_round()
    elif trigger == "burnt":
        with federation.member(VICTIM) as one:
            one.burnt(federation.closed(), 1, _burnt(federation))
    elif trigger == "a later round's model":
        federation.upload(VICTIM, 2, vector(VICTIM))
    else:
        federation.train_all(2, who=(1, 2, 3))
        federation.manifest(2, LENGTH)
        assert _files(federation) == ALL
        federation.ack(VICTIM, 2)
    assert _files(federation) == SECOND
    # The entry was written, then the power went: the files are there again.
    federation.restore()
    assert _files(federation) == ALL
    assert federation.process(VICTIM, "start").exit == 0
    assert _files(federation) == SECOND


def test_rule_08_the_setups_secrets_go_with_the_own_ready_message(fresh):
    fresh.set_up({1: "ready"})
    assert {"encryption.key", "own.shares"} <= _files(fresh, 1)
    assert _files(fresh, 0) == ALL
    fresh.vault(0).put_own_shares([])
    assert fresh.process(0, "start").exit == 0
    assert _files(fresh, 0) == ALL


@pytest.mark.parametrize("journal", ["as it was", "lost"])
def test_rule_08_not_after_ends_every_session_in_the_folder_at_any_start(federation, journal):
    """The start of another session, of another run, deletes what is past its day, whatever the journal says."""
    federation.vault(VICTIM).keep_until(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    if journal == "lost":
        federation.home(VICTIM).joinpath("journal.jsonl").unlink()
        federation.home(VICTIM).joinpath("head", "head.json").unlink()
    other = dataclasses.replace(federation, session=b"o" * 16, store={})
    assert other.process(VICTIM, "keys").exit == 0
    assert not (federation.home(VICTIM) / federation.session.hex()).exists()
    assert (federation.home(VICTIM) / other.session.hex() / "encryption.key").exists()


def test_rule_08_a_session_past_its_day_is_refused(fresh):
    with fresh.member(VICTIM) as one:
        one.begin("run", dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        one.keys()
    outcome = fresh.process(VICTIM, "shares")
    outcome.must_refuse("shares", SessionOver)
    assert not (fresh.home(VICTIM) / fresh.session.hex()).exists()


# --- rule 9: no step waits for a peer; nothing that is written or said tells a secret


def test_rule_09_secrets_in_what_is_said_shown(monkeypatch):
    """A log line or a traceback with the plain form of a round's secrets holds the key."""
    monkeypatch.setattr(RoundSecret, "__repr__", lambda self: f"RoundSecret(k={self.k.hex()}, b={self.b.hex()})")
    assert "6b" * 32 in f"{RoundSecret(k=b'k' * 32, b=b'b' * 32)}"


def test_rule_09_secrets_in_what_is_said_refused(federation):
    """No journal, head, message or output holds a seed, key, held share or plain vector, in bytes, hex or digits."""
    assert "6b6b" not in f"{RoundSecret(k=b'k' * 32, b=b'b' * 32)!r}"
    vault = federation.vault(VICTIM)
    held = vault.held(1)
    secret = [vault.round_secret(1).k, vault.round_secret(1).b, vector(VICTIM).tobytes()]
    secret += [share for shares in held.values() for share in (shares.b, shares.k)]
    federation.train_all(who=(1, 2, 3))
    outcomes = [federation.process(VICTIM, "upload", round_=1, update=vector(VICTIM))]
    federation.send(outcomes[0].sent)
    asked = {**federation.store, names.manifest(1): federation.manifest_of((0, 1))}
    outcomes.append(federation.process(VICTIM, "ack", asked, round_=1))
    said = b"".join(outcome.text.encode() for outcome in outcomes)
    said += b"".join(path.read_bytes() for path in federation.home(VICTIM).glob("*.json*"))
    said += b"".join(path.read_bytes() for path in federation.home(VICTIM).glob("head/*"))
    said += b"".join(federation.store.values())
    for value in secret:
        assert value not in said
        assert value.hex().encode() not in said
        assert str(int.from_bytes(value, "big")).encode() not in said


@pytest.mark.parametrize("step", ["shares", "ready", "close", "upload", "ack", "reveal"])
def test_rule_09_a_step_whose_input_is_missing_ends_at_once(federation, step):
    """It may be tried again; that is no refusal."""
    name = {"shares": names.LIST, "ready": names.LIST, "close": names.CLOSE, "upload": names.model(1)}
    missing = name.get(step, names.manifest(1))
    asked = {other: data for other, data in federation.store.items() if other != missing}
    started = time.monotonic()
    outcome = federation.process(VICTIM, step, asked, round_=1, update=vector(VICTIM))
    assert (outcome.exit, outcome.code) == (EXIT_RETRY, "MissingInput")
    assert missing in outcome.text
    assert outcome.refusals == []
    assert time.monotonic() - started < 5
