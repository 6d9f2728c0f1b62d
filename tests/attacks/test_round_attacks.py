"""Attacks on a round: 9 different models, 13 another delta, 14 a late upload, 17 withheld shares, 19 and 22
differencing, 21 two closes.
"""

from __future__ import annotations

import numpy as np
import pytest

from fl_tasks.secagg import masking, names, session
from fl_tasks.secagg.errors import (
    BadSignature,
    CloseConflict,
    DifferencingRefused,
    KeysGone,
    ManifestConflict,
    ModelMismatch,
    ResendConflict,
    RoundClosed,
    SharesWithheld,
    UploadAfterManifest,
)
from fl_tasks.secagg.member import Member
from fl_tasks.secagg.messages import Ready
from fl_tasks.secagg.session import ClosedSet
from fl_tasks.secagg.wire import Header, digest
from tests.attacks.attacked import COLLUDER, LENGTH, VICTIM, Attacked, round_keys, unmask_one, vector
from tests.secagg.federation import model_of

CRAFTED = b"c" * 32

# --- 9: different models to different agencies in one round


def _dead_models(federation: Attacked) -> None:
    """The victim gets a model of its own; all others one on which no unit answers, so that their update is zero."""
    real = federation.model_message
    federation.model_message = lambda round_: federation.model(round_, CRAFTED)
    federation.upload(VICTIM, 1, vector(VICTIM))
    federation.model_message = real
    for i in (1, 2, 3):
        federation.upload(i, 1, np.zeros(LENGTH, dtype=np.uint32))
    federation.store[names.model(1)] = real(1)


def test_attack_09_different_models_in_one_round_shown(federation, monkeypatch):
    """Without the model in the header, the sum of the round is the victim's update exactly."""
    real = ClosedSet.header
    monkeypatch.setattr(ClosedSet, "header", lambda self, round_, _model: real(self, round_, bytes(32)))
    _dead_models(federation)
    federation.manifest(1, LENGTH)
    federation.open_round()
    assert np.array_equal(federation.unmask(1, LENGTH), vector(VICTIM))


def test_attack_09_different_models_in_one_round_refused(federation):
    _dead_models(federation)
    honest = federation.process("coordinator", "manifest", round_=1)
    assert "left out: 0 WrongSession" in honest.text
    asked = {**federation.store, names.manifest(1): federation.manifest_of(range(4))}
    federation.process(1, "ack", asked, round_=1).must_refuse("ack-1", BadSignature)
    federation.process(VICTIM, "ack", asked, round_=1).must_refuse("ack-1", BadSignature)
    without = {**federation.store, names.manifest(1): federation.manifest_of((1, 2, 3))}
    federation.process(VICTIM, "ack", without, round_=1).must_refuse("ack-1", ModelMismatch)


def test_attack_09_another_model_after_a_restart_refused(federation):
    federation.train_all(who=(VICTIM,))
    asked = {**federation.store, names.model(1): federation.model(1, CRAFTED)}
    outcome = federation.process(VICTIM, "upload", asked, round_=1, update=vector(VICTIM))
    outcome.must_refuse("upload-1", ModelMismatch)


# --- 13: a retry after retraining, with another delta


def test_attack_13_retry_with_another_delta_shown(federation, monkeypatch):
    """Both uploads have the same masks: their difference is that of the two deltas."""
    first = federation.read_upload(VICTIM, data=federation.upload(VICTIM, 1, vector(VICTIM)))
    real = Member._sent_entry
    monkeypatch.setattr(Member, "_sent_entry", lambda self, step: None if step == "up-1" else real(self, step))
    federation.store.pop(names.upload(1, "agency_000"))
    second = federation.read_upload(VICTIM, data=federation.upload(VICTIM, 1, vector(7)))
    payloads = [np.frombuffer(upload.payload, dtype="<u4") for upload in (first, second)]
    assert np.array_equal(payloads[1] - payloads[0], vector(7) - vector(VICTIM))


def test_attack_13_retry_with_another_delta_refused(federation):
    """A retry, a cleared task and a second process send the stored bytes, or nothing."""
    federation.train_all(who=(VICTIM,))
    name = names.upload(1, "agency_000")
    before = {other: data for other, data in federation.store.items() if other != name}
    again = federation.process(VICTIM, "upload", before, round_=1, update=vector(7))
    assert again.exit == 0
    assert again.sent == {name: federation.store[name]}

    stored = federation.home(VICTIM) / federation.session.hex() / "messages" / name
    stored.write_bytes(federation.store[name][:-1] + b"?")
    retry = federation.process(VICTIM, "upload", round_=1, update=vector(7))
    retry.must_refuse("upload-1", ResendConflict)
    stored.unlink()
    federation.process(VICTIM, "upload", round_=1, update=vector(7)).must_refuse("upload-1", KeysGone)


# --- 14: an upload after the manifest


def _late(federation: Attacked) -> bytes:
    """The peers give the victim's key away, because it is lost; then its update comes. Returns that key."""
    federation.train_all(who=(1, 2, 3))
    federation.manifest(1, LENGTH)
    federation.open_round(1, (1, 2, 3))
    secrets = federation.read_reveals(1, dict.fromkeys((1, 2, 3), (1, 2, 3)), federation.closed())
    federation.upload(VICTIM, 1, vector(VICTIM))
    return secrets.secret("k", VICTIM)


def test_attack_14_upload_after_the_manifest_shown(federation, monkeypatch):
    """Without the self mask the revealed key opens it."""
    monkeypatch.setattr(masking, "self_key", lambda *_: bytes(32))
    monkeypatch.setattr("tests.attacks.attacked.self_key", lambda *_: bytes(32))
    key = _late(federation)
    public = round_keys(federation.closed(), 1)
    assert np.array_equal(unmask_one(federation.read_upload(VICTIM), b"", public, own=key), vector(VICTIM))


def test_attack_14_upload_after_the_manifest_refused(federation):
    """The self mask stays on: its seed is never revealed. An agency that knows the manifest sends nothing."""
    key = _late(federation)
    public = round_keys(federation.closed(), 1)
    found = unmask_one(federation.read_upload(VICTIM), bytes(32), public, own=key)
    assert not np.any(found == vector(VICTIM))
    # A manifest for the late update, beside the one of before:
    asked = {**federation.store, names.manifest(1): federation.manifest_of((0, 1, 2))}
    federation.process(1, "ack", asked, round_=1).must_refuse("ack-1", ManifestConflict)


def test_attack_14_upload_after_the_own_ack_refused(federation):
    federation.train_all(who=(1, 2, 3))
    federation.manifest(1, LENGTH)
    federation.ack(VICTIM, 1)
    outcome = federation.process(VICTIM, "upload", round_=1, update=vector(VICTIM))
    outcome.must_refuse("upload-1", UploadAfterManifest)


# --- 17: S2 of some peers withheld from one agency only


def _without_s4(self: Member, list_data: bytes, _close: bytes, files: dict, _readies: dict) -> ClosedSet:
    """The protocol without S4: an agency's set is those whose share files it got; H2 binds list and roster only."""
    keys = self.party.setting.read_listed_keys(list_data, files)
    own = self._vault.message(names.ready(self._name))
    ids = sorted(Ready.decode(own, lambda _: self.party.setting.member_key(self.party.me), 4).covers)
    h2 = digest("H2", self.party.setting.roster.sha256, session.list_hash(list_data))
    return ClosedSet(self.party.setting, h2, tuple(ids), {i: keys[i] for i in ids})


@pytest.fixture
def withheld(fresh) -> Attacked:
    """The victim did not get the share file of agency 2; all others got everything."""
    real = fresh.share_files
    fresh.share_files = lambda holder: {
        dealer: data for dealer, data in real(holder).items() if (dealer, holder) != (2, VICTIM)
    }
    fresh.set_up()
    fresh.store[names.CLOSE] = fresh.close_of(range(4))
    return fresh


def test_attack_17_shares_withheld_from_one_agency_shown(withheld, monkeypatch):
    """The victim masks towards agencies 1 and 3 only: one is lost, the other colludes, and its vector is bare."""
    colluder = withheld.vault(COLLUDER).round_secret(1).k
    monkeypatch.setattr(Member, "close", _without_s4)
    withheld.train_all(who=(0, 2, 3))
    with withheld.member(2) as one:
        closed = withheld.accept_close(one)
    withheld.closed = lambda: closed
    withheld.store[names.manifest(1)] = withheld.manifest_of((0, 2, 3))
    for step in (withheld.ack, withheld.reveal):
        for i in (1, 2, 3):
            step(i, 1)
    secrets = withheld.read_reveals(1, dict.fromkeys((1, 2, 3), (0, 2, 3)), closed)
    peers = {1: secrets.secret("k", 1), COLLUDER: colluder}
    upload = withheld.read_upload(VICTIM)
    found = unmask_one(upload, secrets.secret("b", VICTIM), round_keys(closed, 1), peers=peers)
    assert np.array_equal(found, vector(VICTIM))


def test_attack_17_shares_withheld_from_one_agency_refused(withheld):
    for i in (VICTIM, 1):
        withheld.process(i, "close").must_refuse("close", SharesWithheld)
    del withheld.store[names.CLOSE]
    honest = withheld.process("coordinator", "close")
    withheld.send(honest.sent)
    assert withheld.closed().ids == (0, 1, 3)


# --- 19: two survivor sets under one model that differ by one agency


def _second_session(first: Attacked) -> Attacked:
    """The same agencies, journals, model and interval; the victim is lost in the second run."""
    second = Attacked(first.folder, 4, config=first.config, session=b"s" * 16)
    second.set_up()
    second.train_all(who=(1, 2, 3))
    second.manifest(1, LENGTH)
    return second


def _first_session(federation: Attacked) -> np.ndarray:
    federation.train_all()
    federation.manifest(1, LENGTH)
    federation.open_round()
    return federation.unmask(1, LENGTH)


def test_attack_19_two_survivor_sets_under_one_model_shown(federation, monkeypatch):
    """The difference of the two sums is the victim's vector: the same model and data give the same updates."""
    monkeypatch.setattr(Member, "_fix_survivors", lambda *_: None)
    total = _first_session(federation)
    second = _second_session(federation)
    second.open_round(1, (1, 2, 3))
    assert np.array_equal(total - second.unmask(1, LENGTH), vector(VICTIM))


def test_attack_19_two_survivor_sets_under_one_model_refused(federation):
    _first_session(federation)
    second = _second_session(federation)
    second.process(1, "ack", round_=1).must_refuse("ack-1", DifferencingRefused)


def test_attack_19_two_survivor_sets_on_either_side_of_a_broken_journal_refused(federation):
    """A new run starts a new chain; what was acknowledged before is still remembered."""
    _first_session(federation)
    path = federation.home(1) / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    second = _second_session(federation)
    assert [entry["kind"] for entry in second.journal(1)][:3] == ["past session", "survivors", "session"]
    second.process(1, "ack", round_=1).must_refuse("ack-1", DifferencingRefused)


# --- 21: two closes to different agencies under one manifest


def _two_closes(federation: Attacked) -> tuple[bytes, Header]:
    """The victim closes over 0, 1, 3, all others over all; agency 1 is lost. Returns the victim's close."""
    real, to_victim = federation.store[names.CLOSE], federation.close_of((0, 1, 3))
    federation.store[names.CLOSE] = to_victim
    header = federation.closed().header(1, model_of(1))
    federation.upload(VICTIM, 1, vector(VICTIM))
    federation.store[names.CLOSE] = real
    federation.train_all(who=(1, 2, 3))
    federation.store[names.manifest(1)] = federation.manifest_of((0, 2, 3))
    return to_victim, header


def test_attack_21_two_closes_under_one_manifest_shown(federation, monkeypatch):
    """The victim has masks with 1 and 3 only: the key of the lost one and the colluder's own lay its vector bare."""
    colluder = federation.vault(COLLUDER).round_secret(1).k
    monkeypatch.setattr(session, "check_upload_signature", lambda *_: None)
    _two_closes(federation)
    federation.open_round(1, (1, 2, 3))
    closed = federation.closed()
    secrets = federation.read_reveals(1, dict.fromkeys((1, 2, 3), (0, 2, 3)), closed)
    peers = {1: secrets.secret("k", 1), COLLUDER: colluder}
    upload = federation.read_upload(VICTIM)
    found = unmask_one(upload, secrets.secret("b", VICTIM), round_keys(closed, 1), peers=peers)
    assert np.array_equal(found, vector(VICTIM))


def test_attack_21_two_closes_under_one_manifest_refused(federation):
    to_victim, header = _two_closes(federation)
    for i in (1, 2):
        federation.process(i, "ack", round_=1).must_refuse("ack-1", BadSignature)
    # Nor under the victim's close: its peers' signatures are not of that header, and they know another close.
    asked = {
        **federation.store,
        names.CLOSE: to_victim,
        names.manifest(1): federation.manifest_of((0, 1, 3), header=header),
    }
    federation.process(VICTIM, "ack", asked, round_=1).must_refuse("ack-1", BadSignature)
    federation.process(2, "ack", asked, round_=1).must_refuse("ack-1", CloseConflict)


# --- 22: ack r, ack r + 1, reveal r, reveal r + 1 under one model


def _one_model_twice(federation: Attacked) -> None:
    """The coordinator holds round 1 back, names the same model in round 2, and has all acks of both.

    The secrets of round 1, which are deleted by then, are still in a backup.
    """
    federation.back_up()
    federation.train_all(1)
    federation.manifest(1, LENGTH)
    federation.model_message = lambda round_: federation.model(round_, model_of(1))
    for i in range(4):
        federation.ack(i, 1)
    for i in range(4):  # a new round has new rounding and batch order
        federation.upload(i, 2, vector(i) + np.uint32(i))
    federation.store[names.manifest(2)] = federation.manifest_of(
        range(4), 2, federation.closed().header(2, model_of(1))
    )
    for i in range(4):
        federation.ack(i, 2)
    federation.restore()


def test_attack_22_two_rounds_open_under_one_model_shown(federation, monkeypatch):
    """One training is released twice: the two sums differ by what the second draw added, 0 + 1 + 2 + 3."""
    monkeypatch.setattr(Member, "_still_open", lambda *_: None)
    _one_model_twice(federation)
    for i in range(4):
        federation.reveal(i, 1)
    federation.restore()
    for i in range(4):
        federation.reveal(i, 2)
    assert np.array_equal(federation.unmask(2, LENGTH) - federation.unmask(1, LENGTH), np.full(LENGTH, 6))


def test_attack_22_two_rounds_open_under_one_model_refused(federation):
    _one_model_twice(federation)
    federation.process(1, "reveal", round_=1).must_refuse("reveal-1", RoundClosed)
    assert federation.process(1, "reveal", round_=2).exit == 0


def test_attack_22_another_survivor_set_in_the_next_round_refused(federation):
    federation.train_all(1)
    federation.manifest(1, LENGTH)
    federation.ack(1, 1)
    federation.model_message = lambda round_: federation.model(round_, model_of(1))
    federation.train_all(2, (1, 2, 3))
    header = federation.closed().header(2, model_of(1))
    asked = {**federation.store, names.manifest(2): federation.manifest_of((1, 2, 3), 2, header)}
    federation.process(1, "ack", asked, round_=2).must_refuse("ack-2", DifferencingRefused)
