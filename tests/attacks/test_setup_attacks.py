"""Attacks on the set-up: 4 share files, 10 duplicates, 11 forged keys, 15 changed parameters, 20 a small cohort."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from fl_tasks.contracts.roster import Card, Roster
from fl_tasks.secagg import agency, coordinator, member, messages, names, session, wire
from fl_tasks.secagg.agency import Party, decode_held, make_keys, make_shares, open_shares
from fl_tasks.secagg.errors import (
    BadKey,
    BadShare,
    BadSignature,
    CloseConflict,
    DuplicateKey,
    MalformedMessage,
    MisdeliveredShare,
    RosterChanged,
    SharesWithheld,
    TooFewAgencies,
    UnknownMember,
    UnsafeThreshold,
    WrongSession,
)
from fl_tasks.secagg.messages import Keys, Ready, Shares
from fl_tasks.secagg.session import file_hash, list_hash
from tests.attacks.attacked import (
    COLLUDER,
    LENGTH,
    VICTIM,
    Attacked,
    Secrets,
    clone_a_key,
    round_keys,
    unmask_one,
    vector,
)
from tests.secagg.federation import NOT_AFTER, secagg_config

# --- 4: a share file flipped, swapped, from another session


def _dealt(fresh: Attacked) -> None:
    """Set up to S2."""
    for i in range(4):
        with fresh.member(i) as one:
            one.begin("run", NOT_AFTER)
            fresh.send(one.keys())
    fresh.store[names.LIST] = fresh.list_of(fresh.by_id("setup/keys/").items())
    for i in range(4):
        with fresh.member(i) as one:
            fresh.send(one.shares(fresh.store[names.LIST], fresh.key_files()))


def _flipped(fresh: Attacked, dealer: int, holder: int, *, resign: bool) -> bytes:
    """A share file with one bit of the ciphertext flipped; only the dealer itself can sign that."""
    data = fresh.store[names.shares(fresh.roster.names[dealer], fresh.roster.names[holder])]
    if not resign:
        return data[:120] + bytes([data[120] ^ 1]) + data[121:]
    message = Shares.decode(data, lambda _: fresh.setting.member_key(dealer), fresh.r_max)
    ciphertext = bytes([message.ciphertext[0], message.ciphertext[1] ^ 1]) + message.ciphertext[2:]
    return dataclasses.replace(message, ciphertext=ciphertext).encode(fresh.keys[dealer])


def _unchecked_unseal(key: bytes, message: Shares, _aad: bytes) -> bytes:
    """ChaCha20 alone, as RFC 8439 runs it inside the AEAD: from block 1 on, without the tag."""
    cipher = Cipher(algorithms.ChaCha20(key, (1).to_bytes(4, "little") + message.nonce), None)
    return cipher.decryptor().update(message.ciphertext[:-16])


def test_attack_04_flipped_share_shown(fresh, monkeypatch):
    """Agency 0 says that it holds a share which it does not hold: the flipped bit is in what it stored."""
    _dealt(fresh)
    share_files = fresh.share_files(0) | {COLLUDER: _flipped(fresh, COLLUDER, 0, resign=True)}
    with fresh.member(0) as one:
        honest = open_shares(
            one.party,
            fresh.store[names.LIST],
            fresh.key_files(),
            fresh.vault(0).encryption_key,
            fresh.share_files(0),
            (),
        )[1]
    monkeypatch.setattr(agency, "unseal", _unchecked_unseal)
    with fresh.member(0) as one:
        outbox = one.ready(fresh.store[names.LIST], fresh.key_files(), share_files)
    ready = Ready.decode(outbox[names.ready("agency_000")], lambda _: fresh.setting.member_key(0), 4)
    assert COLLUDER in ready.covers
    stored, dealt = fresh.vault(0).held(1)[COLLUDER].b, honest[COLLUDER][0].b
    assert bytes(a ^ b for a, b in zip(stored, dealt, strict=True)) == b"\0\1" + bytes(31)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("flipped by its dealer", BadShare),
        ("flipped on its way", BadSignature),
        ("dealt to another holder", MisdeliveredShare),
        ("of another session", WrongSession),
    ],
)
def test_attack_04_flipped_or_swapped_share_refused(fresh, memory, how, error):
    """The dealer is left out, and a close that counts on its file is refused."""
    _dealt(fresh)
    own = names.shares("agency_003", "agency_000")
    if how == "of another session":
        other = Attacked(memory / "other", 4, config=fresh.config, session=b"o" * 16)
        _dealt(other)
        file = other.store[own]
    elif how == "dealt to another holder":
        file = fresh.store[names.shares("agency_003", "agency_001")]
    else:
        file = _flipped(fresh, COLLUDER, 0, resign=how == "flipped by its dealer")
    outcome = fresh.process(0, "ready", {**fresh.store, own: file})
    assert outcome.exit == 0
    assert outcome.refusals == [("ready", error.__name__)]
    fresh.send(outcome.sent)
    for i in (1, 2, 3):
        with fresh.member(i) as one:
            fresh.send(one.ready(fresh.store[names.LIST], fresh.key_files(), fresh.share_files(i)))
    asked = {**fresh.store, names.CLOSE: fresh.close_of(range(4))}
    fresh.process(0, "close", asked).must_refuse("close", SharesWithheld)


# --- 10: duplicate keys, ids, uploads


def test_attack_10_two_agencies_with_one_key_shown(fresh, monkeypatch):
    """Agency 1 is lost and its key revealed: it takes the masks off agency 0, whose key is the same."""
    clone_a_key(monkeypatch, fresh, (0, 1), (1, 1))
    monkeypatch.setattr(session, "sharing_a_key", lambda _: {})
    monkeypatch.setattr(coordinator, "sharing_a_key", lambda _: {})
    fresh.set_up()
    fresh.train_all(who=(0, 2, 3))
    fresh.manifest(1, LENGTH)
    fresh.open_round(1, (0, 2, 3))
    closed = fresh.closed()
    secrets = fresh.read_reveals(1, dict.fromkeys((0, 2, 3), (0, 2, 3)), closed)
    key, seed = secrets.secret("k", 1), secrets.secret("b", VICTIM)
    assert np.array_equal(unmask_one(fresh.read_upload(VICTIM), seed, round_keys(closed, 1), own=key), vector(VICTIM))


def test_attack_10_two_agencies_with_one_key_refused(fresh, monkeypatch):
    clone_a_key(monkeypatch, fresh, (0, 1), (1, 1))
    with pytest.raises(TooFewAgencies):  # the honest coordinator leaves both out, and 2 of 4 are no cohort
        fresh.set_up()
    listed = fresh.list_of(fresh.by_id("setup/keys/").items())
    outcome = fresh.process(2, "shares", {**fresh.store, names.LIST: listed})
    outcome.must_refuse("shares", DuplicateKey)


def test_attack_10_duplicate_id_refused(fresh, federation):
    for i in range(4):
        fresh.send(fresh.process(i, "keys").sent)
    files = fresh.by_id("setup/keys/")
    listed = fresh.list_of([(0, files[0]), (1, files[1]), (1, files[1]), (2, files[2])])
    fresh.process(0, "shares", {**fresh.store, names.LIST: listed}).must_refuse("shares", MalformedMessage)

    federation.train_all()
    twice = messages.Manifest(
        federation.closed().header(1, bytes([1]) * 32),
        tuple((i, bytes(32), bytes(64)) for i in (0, 1, 1, 2)),
    ).encode(federation.coordinator_key)
    asked = {**federation.store, names.manifest(1): twice}
    federation.process(0, "ack", asked, round_=1).must_refuse("ack-1", MalformedMessage)


def test_attack_10_duplicate_upload_refused(federation):
    """One agency's upload under another's name."""
    federation.train_all()
    federation.store[names.upload(1, "agency_001")] = federation.store[names.upload(1, "agency_000")]
    outcome = federation.process("coordinator", "manifest", round_=1)
    assert outcome.exit == 0
    assert "left out: 1 WrongSession" in outcome.text


# --- 11: forged, unknown and low-order keys


def test_attack_11_forged_keys_shown(fresh, monkeypatch):
    """A coordinator that stands for all peers of one agency holds every share and every pair key of it."""
    for verify in (wire, messages):
        monkeypatch.setattr(verify, "verify", lambda *_: None)
    fakes = {i: Party(fresh.setting, i, fresh.coordinator_key) for i in (1, 2, 3)}
    made = {i: make_keys(party) for i, party in fakes.items()}
    with fresh.member(VICTIM) as one:
        one.begin("run", NOT_AFTER)
        fresh.send(one.keys())
    files = fresh.by_id("setup/keys/") | {i: message for i, (message, _, _) in made.items()}
    listed = fresh.list_of(files.items())
    with fresh.member(VICTIM) as one:
        dealt = one.shares(listed, files)
    secrets, readies, to_victim = Secrets(3), {}, {}
    for i, party in fakes.items():
        _, encryption_key, rounds = made[i]
        to_all, own = make_shares(party, listed, files, files[i], encryption_key, rounds)
        to_victim[i] = to_all[VICTIM]
        mine = dealt[names.shares("agency_000", fresh.roster.names[i])]
        _, held, _ = open_shares(party, listed, files, encryption_key, {VICTIM: mine}, ())
        secrets.add_held(i, {VICTIM: held[VICTIM][0]})
        opened = tuple((j, file_hash(mine)) for j in range(4) if j != i)
        readies[i] = Ready(fresh.session, list_hash(listed), i, opened).encode(fresh.coordinator_key)
        assert own
    with fresh.member(VICTIM) as one:
        readies[VICTIM] = one.ready(listed, files, to_victim)[names.ready("agency_000")]
    members = tuple((i, file_hash(files[i]), file_hash(readies[i])) for i in range(4))
    close = messages.Close(fresh.session, list_hash(listed), members).encode(fresh.coordinator_key)
    with fresh.member(VICTIM) as one:
        closed = one.close(listed, close, files, readies)
        data = one.upload(closed, 1, fresh.model_message(1), lambda _: vector(VICTIM))[names.upload(1, "agency_000")]
    peers = {i: rounds[0].k for i, (_, _, rounds) in made.items()}
    upload = fresh.read_upload(VICTIM, data=data)
    found = unmask_one(upload, secrets.secret("b", VICTIM), round_keys(closed, 1), peers=peers)
    assert np.array_equal(found, vector(VICTIM))


@pytest.mark.parametrize(
    ("how", "error"),
    [("forged", BadSignature), ("unknown", UnknownMember), ("low order", BadKey), ("not canonical", BadKey)],
)
def test_attack_11_forged_unknown_or_low_order_keys_refused(fresh, how, error):
    for i in range(4):
        fresh.send(fresh.process(i, "keys").sent)
    files = fresh.by_id("setup/keys/")
    last = COLLUDER
    if how == "forged":
        files[last] = make_keys(Party(fresh.setting, last, fresh.coordinator_key))[0]
    elif how == "unknown":
        last = 7
        files[last] = files.pop(COLLUDER)
    else:
        keys = Keys.decode(files[last], lambda _: fresh.setting.member_key(last), fresh.r_max)
        # 2^255 - 19 + 9 is another encoding of the base point 9.
        point = bytes(32) if how == "low order" else (2**255 - 10).to_bytes(32, "little")
        changed = dataclasses.replace(keys, round_keys=(keys.round_keys[0], point))
        files[last] = changed.encode(fresh.keys[last])
    listed = fresh.list_of(sorted(files.items()))
    asked = {**fresh.store, names.LIST: listed, names.keys("agency_003"): files[last]}
    fresh.process(VICTIM, "shares", asked).must_refuse("shares", error)


# --- 15: t, N or A changed in mid-session


def _lower_t(federation: Attacked, t: int = 2) -> None:
    federation.roster = federation.roster.model_copy(update={"secagg": federation.config.model_copy(update={"t": t})})
    federation.setting = session.Setting(federation.roster, federation.session)
    federation.write_folders()


def test_attack_15_t_lowered_in_mid_session_shown(federation, monkeypatch):
    """With t = 2 from round 1 on, a sum over the victim and a colluder is opened."""
    approved = federation.roster.sha256
    federation.train_all()
    monkeypatch.setattr(Roster, "sha256", property(lambda _: approved))
    _lower_t(federation)
    federation.store[names.manifest(1)] = federation.manifest_of((VICTIM, COLLUDER))
    federation.open_round()
    closed = federation.closed()
    # The polynomials are still those of the set-up.
    secrets = federation.read_reveals(1, dict.fromkeys(range(4), (VICTIM, COLLUDER)), closed, t=3)
    lost, public = {i: secrets.secret("k", i) for i in (1, 2)}, round_keys(closed, 1)
    plain = sum(
        unmask_one(federation.read_upload(i), secrets.secret("b", i), public, peers=lost) for i in (VICTIM, COLLUDER)
    )
    assert np.array_equal(plain - vector(COLLUDER), vector(VICTIM))


@pytest.mark.parametrize("what", ["t", "N"])
def test_attack_15_t_or_n_changed_in_mid_session_refused(federation, what):
    federation.train_all()
    if what == "t":
        _lower_t(federation)
    else:
        stranger = Card(name="agency_004", protocol_key="ab" * 32)
        federation.roster = federation.roster.model_copy(update={"members": (*federation.roster.members, stranger)})
        federation.write_folders()
    federation.process(0, "ack", round_=1).must_refuse("ack-1", RosterChanged)


def test_attack_15_a_changed_in_mid_session_refused(federation):
    federation.train_all(who=(0,))
    asked = {**federation.store, names.CLOSE: federation.close_of((0, 1, 2))}
    federation.process(0, "upload", asked, round_=1, update=vector(0)).must_refuse("upload-1", CloseConflict)


# --- 20: a cohort of one victim and colluders


def _small(folder) -> Attacked:
    """A roster with t = 2 and one colluder admitted, which a coordinator may propose."""
    return Attacked(folder, 4, config=secagg_config(4, n_c=1).model_copy(update={"t": 2}))


def test_attack_20_cohort_of_a_victim_and_a_colluder_shown(memory, monkeypatch):
    monkeypatch.setattr(member, "checked_threshold", lambda *_: None)
    federation = _small(memory)
    federation.set_up({1: "keys", 2: "keys"})
    federation.train_all(who=(VICTIM, COLLUDER))
    federation.manifest(1, LENGTH)
    federation.open_round(1, (VICTIM, COLLUDER))
    assert np.array_equal(federation.unmask(1, LENGTH) - vector(COLLUDER), vector(VICTIM))


def test_attack_20_cohort_of_a_victim_and_a_colluder_refused(memory, fresh):
    _small(memory / "small").process(VICTIM, "keys").must_refuse("keys", UnsafeThreshold)
    for i in (VICTIM, COLLUDER):
        fresh.send(fresh.process(i, "keys").sent)
    asked = {**fresh.store, names.LIST: fresh.list_of(fresh.by_id("setup/keys/").items())}
    fresh.process(VICTIM, "shares", asked).must_refuse("shares", TooFewAgencies)


def test_every_share_of_a_file_is_read(fresh):
    """The unchecked cipher above reads what the real one reads."""
    _dealt(fresh)
    message = Shares.decode(
        fresh.store[names.shares("agency_003", "agency_000")], lambda _: fresh.setting.member_key(3), fresh.r_max
    )
    party = Party(fresh.setting, 0, fresh.keys[0])
    keys = fresh.setting.read_keys(fresh.by_id("setup/keys/")[3])
    key, aad = agency._share_key(party, fresh.vault(0).encryption_key, keys, message.h1, 3, 0, b"")
    assert decode_held(_unchecked_unseal(key, message, aad)) == decode_held(agency.unseal(key, message, aad))
