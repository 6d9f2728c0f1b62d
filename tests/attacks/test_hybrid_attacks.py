"""Attacks on a hybrid roster: 23 what is sealed in it forged or withheld, 24 a swapped encapsulation key."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fl_tasks.secagg import agency, hybrid, messages, names, quantize, wire
from fl_tasks.secagg.agency import Party, decode_held, unseal
from fl_tasks.secagg.errors import BadKey, BadShare, BadSignature, CountMismatch, KeysWithheld, MalformedMessage
from fl_tasks.secagg.hybrid import HybridReady, HybridShares
from fl_tasks.secagg.messages import Shares
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.quantize import encode_update
from fl_tasks.secagg.session import list_hash
from tests.attacks.attacked import COLLUDER, LENGTH, VICTIM, Attacked, Secrets
from tests.secagg.federation import NOT_AFTER, secagg_config

PEERS = (1, 2, 3)


@pytest.fixture
def federation(memory) -> Attacked:
    """Four agencies with ML-KEM keys beside their X25519 keys; nothing was sent yet."""
    return Attacked(memory, 4, config=secagg_config(4, n_c=1, kem="ml-kem-768"))


def _keyed(federation: Attacked) -> dict[int, bytes]:
    for i in range(4):
        with federation.member(i) as one:
            one.begin("run", NOT_AFTER)
            federation.send(one.keys())
    return federation.by_id("setup/keys/")


def _dealt(federation: Attacked) -> None:
    """Set up to S2."""
    federation.store[names.LIST] = federation.list_of(_keyed(federation).items())
    for i in range(4):
        with federation.member(i) as one:
            federation.send(one.shares(federation.store[names.LIST], federation.key_files()))


# --- 23: the ciphertexts of a hybrid roster forged or withheld


def _lost_with_forged_contributions(federation: Attacked, monkeypatch) -> None:
    """The colluder seals zeros in place of the contributions that it was given, and is lost before its upload."""
    real = agency._sealed

    def sealed(party: Party, *args) -> bytes:
        parts = real(party, *args)
        return bytes(len(parts)) if party.me == COLLUDER else parts

    monkeypatch.setattr(agency, "_sealed", sealed)
    federation.set_up()
    for i in (0, 1, 2):
        delta = np.full(LENGTH - len(SLOTS), 0.25 * (i + 1))
        federation.upload(i, 1, encode_update(delta, 100, (1.0, 0.0), 4, federation.config, bytes(32)))
    federation.manifest(1, LENGTH)
    federation.open_round(1, (0, 1, 2))


def test_attack_23_forged_contribution_shown(federation, monkeypatch):
    """The mean of 0.25, 0.5 and 0.75 comes out as anything: three pair masks of the lost colluder stay in the sum."""
    _lost_with_forged_contributions(federation, monkeypatch)
    monkeypatch.setattr(quantize, "_check_count", lambda *_: None)
    opened = quantize.decode_sum(federation.unmask(1, LENGTH), 3, 4, federation.config)
    assert not np.any(np.isclose(opened.mean_delta, 0.5, atol=0.1))


def test_attack_23_forged_contribution_refused(federation, monkeypatch):
    _lost_with_forged_contributions(federation, monkeypatch)
    outcome = federation.process("coordinator", "aggregate", round_=1)
    assert (outcome.exit, outcome.code) == (10, CountMismatch.__name__)


def test_attack_23_withheld_contributions_refused(federation):
    """Who seals them for one round of two is left out, and an agency refuses a close that counts on it."""
    federation.set_up()
    name = names.ready("agency_003")
    ready = HybridReady.decode(federation.store[name], lambda _: federation.setting.member_key(COLLUDER), 4)
    half = dataclasses.replace(ready, rounds=1, sealed=ready.sealed[: len(ready.sealed) // 2])
    federation.store[name] = half.encode(federation.keys[COLLUDER])
    asked = {**federation.store, names.CLOSE: federation.close_of(range(4))}
    federation.process(VICTIM, "close", asked).must_refuse("close", MalformedMessage)
    del federation.store[names.CLOSE]
    outcome = federation.process("coordinator", "close")
    assert outcome.exit == 0
    assert "left out: 3 MalformedMessage" in outcome.text


@pytest.mark.parametrize(
    ("how", "error"),
    [("forged by its dealer", BadShare), ("flipped on its way", BadSignature), ("withheld", MalformedMessage)],
)
def test_attack_23_encapsulated_secret_forged_or_withheld_refused(federation, how, error):
    """The dealer is left out: nobody falls back to X25519 alone."""
    _dealt(federation)
    name = names.shares("agency_003", "agency_000")
    message = HybridShares.decode(federation.store[name], lambda _: federation.setting.member_key(3), federation.r_max)
    flipped = bytes([message.kem_ciphertext[0] ^ 1]) + message.kem_ciphertext[1:]
    forged = dataclasses.replace(message, kem_ciphertext=flipped)
    plain = {field: value for field, value in vars(message).items() if field != "kem_ciphertext"}
    federation.store[name] = {
        "forged by its dealer": forged.encode(federation.keys[COLLUDER]),
        "flipped on its way": forged.encode(federation.coordinator_key),
        "withheld": Shares(**plain).encode(federation.keys[COLLUDER]),
    }[how]
    outcome = federation.process(VICTIM, "ready")
    assert outcome.exit == 0
    assert outcome.refusals == [("ready", error.__name__)]
    ready = HybridReady.decode(
        outcome.sent[names.ready("agency_000")], lambda _: federation.setting.member_key(VICTIM), 4
    )
    assert ready.covers == {0, 1, 2}


# --- 24: an encapsulation key swapped for the coordinator's own


def _swapped(federation: Attacked, keys: dict[int, bytes], seed: bytes) -> dict[int, bytes]:
    """The peers' keys as the coordinator shows them to the victim: X25519 as it was, ML-KEM its own, signed by it."""
    shown = dict(keys)
    for i in PEERS:
        own = dataclasses.replace(federation.setting.read_keys(keys[i]), kem_key=hybrid.kem_public_key(seed))
        shown[i] = own.encode(federation.coordinator_key)
    return shown


def _opened_later(federation: Attacked, listed: bytes, dealt: dict[str, bytes], seed: bytes) -> Secrets:
    """What who recorded the victim's share files, and breaks X25519 years later, gets out of them."""
    secrets = Secrets(federation.roster.t)
    own = federation.setting.read_keys(federation.store[names.keys("agency_000")])
    for i in PEERS:
        message = HybridShares.decode(
            dealt[names.shares("agency_000", federation.roster.names[i])],
            lambda _: federation.setting.member_key(VICTIM),
            federation.r_max,
        )
        broken = federation.vault(i).encryption_key[:32]
        kem_secret = hybrid.decapsulate(seed, message.kem_ciphertext)
        party = Party(federation.setting, i, federation.keys[i])
        key, aad = agency._share_key(party, broken, own, list_hash(listed), VICTIM, i, kem_secret)
        held = decode_held(unseal(key, message, aad), contributions=True)
        secrets.add_held(i, {VICTIM: held[0]})
    return secrets


def test_attack_24_swapped_encapsulation_key_shown(federation, monkeypatch):
    """ML-KEM protects nothing any more: the victim's secrets come out of what it dealt, once X25519 is broken."""
    keys, seed = _keyed(federation), hybrid.new_kem_seed()
    for module in (wire, messages):
        monkeypatch.setattr(module, "verify", lambda *_: None)
    shown = _swapped(federation, keys, seed)
    listed = federation.list_of(shown.items())
    with federation.member(VICTIM) as one:
        dealt = one.shares(listed, shown)
    found, own = _opened_later(federation, listed, dealt, seed), federation.vault(VICTIM).round_secret(1)
    assert (found.secret("k", VICTIM), found.secret("b", VICTIM)) == (own.k, own.b)


def test_attack_24_without_the_swap_a_broken_x25519_opens_nothing(federation):
    keys = _keyed(federation)
    listed = federation.list_of(keys.items())
    with federation.member(VICTIM) as one:
        dealt = one.shares(listed, keys)
    with pytest.raises(BadShare):
        _opened_later(federation, listed, dealt, hybrid.new_kem_seed())


@pytest.mark.parametrize(
    ("how", "error"),
    [("by the coordinator", BadSignature), ("beside the listed one", KeysWithheld), ("for no key", BadKey)],
)
def test_attack_24_swapped_encapsulation_key_refused(federation, how, error):
    keys = _keyed(federation)
    shown = _swapped(federation, keys, hybrid.new_kem_seed())
    listed = federation.list_of((keys if how == "beside the listed one" else shown).items())
    if how == "for no key":
        none = dataclasses.replace(federation.setting.read_keys(keys[COLLUDER]), kem_key=b"\xff" * hybrid.KEM_KEY_BYTES)
        shown = keys | {COLLUDER: none.encode(federation.keys[COLLUDER])}
        listed = federation.list_of(shown.items())
    files = {names.keys(federation.roster.names[i]): data for i, data in shown.items()}
    asked = {**federation.store, names.LIST: listed, **files}
    federation.process(VICTIM, "shares", asked).must_refuse("shares", error)
