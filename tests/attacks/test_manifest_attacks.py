"""Attacks on a round's manifest: 1 both shares, 2 different survivor sets, 3 replays, 8 too few, 12 altered uploads."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from fl_tasks.secagg import agency, messages, names, session
from fl_tasks.secagg.agency import seed_hash
from fl_tasks.secagg.errors import (
    BadSignature,
    ManifestConflict,
    NotAcknowledged,
    TooFewAgencies,
    UploadAltered,
    WrongSession,
)
from fl_tasks.secagg.messages import Manifest, Upload
from fl_tasks.secagg.session import ClosedSet, Setting
from tests.attacks.attacked import (
    COLLUDER,
    LENGTH,
    VICTIM,
    Attacked,
    Secrets,
    forget_answers,
    round_keys,
    unmask_one,
    vector,
)
from tests.secagg.federation import model_of, secagg_config

# --- 1: the b-share and the k-share of one agency in one round


def _without_answers(store: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in store.items() if "/ack/" not in name and "/reveal/" not in name}


def test_attack_01_both_shares_of_one_agency_shown(federation, monkeypatch):
    federation.train_all()
    federation.manifest(1, LENGTH)
    closed, everyone = federation.closed(), {i: range(4) for i in range(4)}
    federation.back_up()
    federation.open_round()
    secrets = federation.read_reveals(1, everyone, closed)
    federation.restore()
    forget_answers(monkeypatch, federation)
    federation.store = _without_answers(federation.store)
    federation.store[names.manifest(1)] = federation.manifest_of((1, 2, 3))
    federation.open_round()
    secrets.update(federation.read_reveals(1, dict.fromkeys(range(4), (1, 2, 3)), closed))

    k, b = secrets.secret("k", VICTIM), secrets.secret("b", VICTIM)
    found = unmask_one(federation.read_upload(VICTIM), b, round_keys(closed, 1), own=k)
    assert np.array_equal(found, vector(VICTIM))


@pytest.mark.parametrize("how", ["in one request", "in two requests", "after a restored backup"])
def test_attack_01_both_shares_of_one_agency_refused(federation, how):
    federation.train_all()
    federation.manifest(1, LENGTH)
    without = {**federation.store, names.manifest(1): federation.manifest_of((1, 2, 3))}
    if how == "in one request":
        # The ack was of the one manifest, the reveal is asked for with the other.
        for i in range(4):
            federation.ack(i, 1)
        asked = {**federation.store, names.manifest(1): without[names.manifest(1)]}
        federation.process(1, "reveal", asked, round_=1).must_refuse("reveal-1", ManifestConflict)
        return
    federation.back_up()
    federation.open_round()
    if how == "after a restored backup":
        federation.restore()
        federation.process(1, "reveal", without, round_=1).must_refuse("reveal-1", ManifestConflict)
    federation.process(1, "ack", without, round_=1).must_refuse("ack-1", ManifestConflict)


# --- 2: different survivor sets to different agencies

# Six agencies, t = 4, agency 5 colludes. Each of the other five is shown a survivor set of t, so chosen that the
# keys of 2, 3 and 4 and the seeds of 0 and 1 all get t shares.
LEFT_OUT = {0: (2, 3), 1: (2, 3), 2: (2, 4), 3: (3, 4), 4: (4,)}


@pytest.fixture
def six(memory) -> Attacked:
    made = Attacked(memory, 6, config=secagg_config(6, n_c=1, t=4))
    made.set_up()
    made.train_all()
    return made


def _shown(six: Attacked, i: int) -> tuple[int, ...]:
    return tuple(j for j in range(6) if j not in LEFT_OUT[i])


def test_attack_02_different_survivor_sets_shown(six, monkeypatch):
    """A sum over two honest agencies is laid open, where t - n_c = 3 are promised."""
    monkeypatch.setattr(agency, "check_acks", lambda *_: None)
    for i in LEFT_OUT:
        six.store[names.manifest(1)] = six.manifest_of(_shown(six, i))
        six.ack(i, 1)
        six.reveal(i, 1)
    closed = six.closed()
    secrets = six.read_reveals(1, {i: _shown(six, i) for i in LEFT_OUT}, closed)
    secrets.add_held(5, six.vault(5).held(1))

    peers = {i: secrets.secret("k", i) for i in (2, 3, 4)} | {5: six.vault(5).round_secret(1).k}
    public = round_keys(closed, 1)
    parts = [unmask_one(six.read_upload(i), secrets.secret("b", i), public, peers=peers) for i in (0, 1)]
    assert np.array_equal(parts[0] + parts[1], vector(0) + vector(1))


def test_attack_02_different_survivor_sets_refused(six):
    for i in LEFT_OUT:
        six.store[names.manifest(1)] = six.manifest_of(_shown(six, i))
        six.ack(i, 1)
    asked = {**six.store, names.manifest(1): six.manifest_of(_shown(six, 0))}
    six.process(0, "reveal", asked, round_=1).must_refuse("reveal-1", NotAcknowledged)


# --- 3: replays of a round, of a session, of an ack


def _two_rounds(federation: Attacked) -> None:
    """Round 1 is done without agency 0; in round 2 all have sent."""
    federation.train_all(1, (1, 2, 3))
    federation.manifest(1, LENGTH)
    federation.open_round(1, (1, 2, 3))
    federation.train_all(2)


def test_attack_03_replayed_round_shown(federation, monkeypatch):
    """Round 2's seeds are handed out although no manifest of round 2 was ever signed."""
    _two_rounds(federation)
    monkeypatch.setattr(ClosedSet, "same_round", lambda *_: None)
    federation.store[names.manifest(2)] = federation.store[names.manifest(1)]
    federation.open_round(2, (1, 2, 3))
    closed = federation.closed()
    secrets = federation.read_reveals(2, dict.fromkeys((1, 2, 3), (1, 2, 3)), closed)
    for owner in (1, 2, 3):
        seed = secrets.secret("b", owner)
        assert seed_hash(federation.setting, owner, 2, seed) == closed.keys[owner].seed_hashes[1]


def test_attack_03_replayed_round_refused(federation):
    _two_rounds(federation)
    asked = {**federation.store, names.manifest(2): federation.store[names.manifest(1)]}
    federation.process(1, "ack", asked, round_=2).must_refuse("ack-2", WrongSession)


def test_attack_03_replayed_session_shown(federation, monkeypatch):
    """An agency trains on, and answers under, a model that was signed for another session."""
    monkeypatch.setattr(Setting, "same_session", lambda *_: None)
    federation.model_message = lambda round_: federation.model(round_, b"o" * 32, session=b"o" * 16)
    federation.upload(VICTIM, 1, vector(VICTIM))
    assert federation.read_upload(VICTIM).header.model == b"o" * 32


def test_attack_03_replayed_session_refused(federation):
    asked = {**federation.store, names.model(1): federation.model(1, b"o" * 32, session=b"o" * 16)}
    outcome = federation.process(VICTIM, "upload", asked, round_=1, update=vector(VICTIM))
    outcome.must_refuse("upload-1", WrongSession)


def _one_ack_of_round_2(federation: Attacked) -> dict[str, bytes]:
    _two_rounds(federation)
    federation.manifest(2, LENGTH)
    federation.ack(1, 2)
    old = {i: federation.store[names.ack(1, federation.roster.names[i])] for i in (2, 3)}
    return {**federation.store, **{names.ack(2, federation.roster.names[i]): data for i, data in old.items()}}


def test_attack_03_replayed_ack_shown(federation, monkeypatch):
    """One agency has seen the manifest, and reveals as if t had: what attack 2 needs."""
    federation.store = _one_ack_of_round_2(federation)
    monkeypatch.setattr(agency, "names_manifest", lambda *_: True)
    federation.reveal(1, 2)
    assert names.reveal(2, federation.roster.names[1]) in federation.store


def test_attack_03_replayed_ack_refused(federation):
    asked = _one_ack_of_round_2(federation)
    federation.process(1, "reveal", asked, round_=2).must_refuse("reveal-2", NotAcknowledged)


# --- 8: fewer than t uploads, fewer than t reveals


def test_attack_08_fewer_than_t_uploads_shown(federation, monkeypatch):
    """A sum over the victim and a colluder, minus what the colluder knows, is the victim's vector."""
    federation.train_all()
    monkeypatch.setattr(Setting, "enough", lambda *_: None)
    federation.store[names.manifest(1)] = federation.manifest_of((VICTIM, COLLUDER))
    federation.open_round()
    assert np.array_equal(federation.unmask(1, LENGTH) - vector(COLLUDER), vector(VICTIM))


def test_attack_08_fewer_than_t_uploads_refused(federation):
    federation.train_all(who=(VICTIM, COLLUDER))
    asked = {**federation.store, names.manifest(1): federation.manifest_of((VICTIM, COLLUDER))}
    federation.process(VICTIM, "ack", asked, round_=1).must_refuse("ack-1", TooFewAgencies)
    honest = federation.process("coordinator", "manifest", round_=1)
    assert honest.exit == 0
    assert list(honest.sent) == [names.burnt(1)]


def test_attack_08_fewer_than_t_reveals_refused(federation):
    federation.train_all()
    federation.manifest(1, LENGTH)
    federation.open_round(1, (0, 1, 2))
    del federation.store[names.reveal(1, federation.roster.names[2])]
    outcome = federation.process("coordinator", "aggregate", round_=1)
    assert (outcome.exit, outcome.code) == (10, TooFewAgencies.__name__)


# --- 12: the coordinator alters an upload


def _altered(federation: Attacked, i: int) -> tuple[Upload, bytes]:
    """Agency i's upload with 1000 added to its first value, and a manifest that names it."""
    upload = federation.read_upload(i)
    changed = np.frombuffer(upload.payload, dtype="<u4").copy()
    changed[0] += 1000
    forged = dataclasses.replace(upload, payload=changed.tobytes())
    full = Manifest.decode(federation.manifest_of(range(4)), lambda _: federation.setting.coordinator_key, 4)
    members = list(full.members)
    members[i] = (i, hashlib.sha256(forged.payload).digest(), upload.signature)
    return forged, Manifest(full.header, tuple(members)).encode(federation.coordinator_key)


def test_attack_12_altered_upload_shown(federation, monkeypatch):
    """The wrong sum is opened; it is off by exactly what the coordinator added."""
    federation.train_all()
    monkeypatch.setattr(session, "check_upload_signature", lambda *_: None)
    monkeypatch.setattr(messages, "check_upload_signature", lambda *_: None)
    forged, manifest = _altered(federation, 1)
    federation.store[names.upload(1, federation.roster.names[1])] = forged.encode()
    federation.store[names.manifest(1)] = manifest
    federation.open_round(1, (0, 2, 3))
    wrong = federation.unmask(1, LENGTH) - sum(vector(i) for i in range(4))
    assert wrong[0] == 1000
    assert not wrong[1:].any()


def test_attack_12_altered_upload_refused(federation):
    federation.train_all()
    _, manifest = _altered(federation, 1)
    asked = {**federation.store, names.manifest(1): manifest}
    for i in (1, 2):
        federation.process(i, "ack", asked, round_=1).must_refuse("ack-1", BadSignature)


def test_attack_12_another_upload_under_the_agencys_own_key_refused(federation):
    """A stolen key is not enough: the agency knows what it sent."""
    federation.train_all()
    header = federation.closed().header(1, model_of(1))
    name = names.upload(1, federation.roster.names[1])
    stolen = Upload.make(federation.keys[1], header, 1, vector(7).tobytes()).encode()
    forged = {**federation.store, name: stolen}
    federation.store, real = forged, federation.store
    manifest = federation.manifest_of(range(4))
    federation.store = real
    asked = {**real, names.manifest(1): manifest}
    federation.process(1, "ack", asked, round_=1).must_refuse("ack-1", UploadAltered)


def test_attack_12_an_upload_left_out_is_journaled(federation):
    federation.train_all()
    asked = {**federation.store, names.manifest(1): federation.manifest_of((0, 2, 3))}
    outcome = federation.process(1, "ack", asked, round_=1)
    assert outcome.exit == 0
    assert [entry["facts"] for entry in outcome.journal if entry["kind"] == "left_out"] == [{"round": 1}]
    with federation.member(1) as one, federation.member(0) as other:
        assert one.left_out(1)
        assert not one.left_out(2)
        assert not other.left_out(1)


def test_collected_shares_need_t(federation):
    """The attacker's tools do not open what they should not."""
    secrets = Secrets(3)
    secrets.add_held(COLLUDER, federation.vault(COLLUDER).held(1))
    assert secrets.count("b", VICTIM) == 1
    with pytest.raises(AssertionError, match="1 of 3 shares"):
        secrets.secret("b", VICTIM)
