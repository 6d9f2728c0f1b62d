"""Attacks on values: 5 inconsistent shares, 6 wrong form and NaN, 7 overflow and weight."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fl_tasks.secagg import coordinator, member, names, quantize
from fl_tasks.secagg.agency import HeldShares, make_shares
from fl_tasks.secagg.errors import (
    CountMismatch,
    InconsistentShares,
    MalformedMessage,
    NotFinite,
    RingOverflow,
    WeightTooLarge,
)
from fl_tasks.secagg.messages import Upload
from fl_tasks.secagg.parameters import SLOTS, FixedPoint
from fl_tasks.secagg.quantize import encode_update
from tests.attacks.attacked import COLLUDER, LENGTH, VICTIM, Attacked, vector
from tests.secagg.federation import model_of

SIZE = LENGTH - len(SLOTS)
KEY = bytes(32)

# --- 5: a dealer's shares are not of what it committed to


def _inconsistent(fresh: Attacked, monkeypatch) -> None:
    """Agency 3 deals shares of another seed than the one whose hash it sent; the round runs to its end."""

    def dealing(party, list_data, files, own_keys, encryption_key, rounds):
        if party.me == COLLUDER:
            rounds = [dataclasses.replace(secret, b=bytes(32)) for secret in rounds]
        return make_shares(party, list_data, files, own_keys, encryption_key, rounds)

    monkeypatch.setattr(member, "make_shares", dealing)
    fresh.set_up()
    fresh.train_all()
    fresh.manifest(1, LENGTH)
    fresh.open_round()


def test_attack_05_inconsistent_shares_shown(fresh, monkeypatch):
    """A wrong sum comes out: no value of it is that of the plain sum."""
    _inconsistent(fresh, monkeypatch)
    monkeypatch.setattr(coordinator, "_committed", lambda *_: True)
    assert not np.any(fresh.unmask(1, LENGTH) == sum(vector(i) for i in range(4)))


def test_attack_05_inconsistent_shares_refused(fresh, monkeypatch):
    """The refusal names the dealer with its holders, never one culprit; the coordinator keeps no journal."""
    _inconsistent(fresh, monkeypatch)
    outcome = fresh.process("coordinator", "aggregate", round_=1)
    assert (outcome.exit, outcome.code) == (10, InconsistentShares.__name__)
    assert "dealer 3 with every holder" in outcome.text


def test_attack_05_one_wrong_holder_is_found_where_shares_are_left_over(memory):
    """Seven agencies, t = 5: one share off the polynomial is found, and named with its dealer."""
    seven = Attacked(memory, 7)
    seven.set_up()
    vault = seven.vault(2)
    held = vault.held(1)
    held[4] = HeldShares(b=bytes(33), k=held[4].k)
    vault.put_held({dealer: [shares] for dealer, shares in held.items()}, 1)
    seven.train_all()
    seven.manifest(1, LENGTH)
    seven.open_round()
    outcome = seven.process("coordinator", "aggregate", round_=1)
    assert (outcome.exit, outcome.code) == (10, InconsistentShares.__name__)
    assert "suspects (dealer/holder) 4/2" in outcome.text


# --- 6: wrong length, dtype, byte order; NaN or infinity


def _encoded(fresh: Attacked, delta, examples: int = 100, loss: float = 1.0) -> np.ndarray:
    values = np.asarray(delta, dtype=np.float64)
    return encode_update(values, examples, (loss, 0.0), fresh.n, fresh.config, KEY)


def test_attack_06_infinite_loss_shown(fresh, monkeypatch):
    """A training that diverged passes for one with the largest loss that there is."""
    monkeypatch.setattr(quantize, "_check_finite", lambda *_: None)
    total = sum(_encoded(fresh, np.ones(SIZE), loss=np.inf) for _ in range(4))
    assert quantize.decode_sum(total, 4, 4, fresh.config).mean_loss == pytest.approx(fresh.config.max_loss)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("where", ["delta", "loss"])
def test_attack_06_nan_or_infinity_refused(federation, bad, where):
    federation.store[names.model(1)] = federation.model_message(1)
    delta = np.ones(SIZE)
    if where == "delta":
        delta[1] = bad
    elif bad == 1e300:
        bad = -1.0  # a loss below zero
    update = {"delta": delta, "examples": 100, "loss": 1.0 if where == "delta" else bad}
    outcome = federation.process(VICTIM, "upload", round_=1, update=update)
    outcome.must_refuse("upload-1", NotFinite)


def _big_endian(federation: Attacked) -> None:
    """Agency 1 sends what it should, in the other byte order, signed."""
    delta = [np.full(SIZE, 0.25 * (i + 1)) for i in range(4)]
    plain = {i: _encoded(federation, delta[i]) for i in range(4)}
    for i in range(4):
        federation.upload(i, 1, plain[i])
    name = names.upload(1, "agency_001")
    upload = federation.read_upload(1)
    swapped = np.frombuffer(upload.payload, dtype="<u4").astype(">u4").tobytes()
    federation.store[name] = Upload.make(federation.keys[1], upload.header, 1, swapped).encode()
    federation.manifest(1, LENGTH)
    federation.open_round(1, (0, 2, 3))


def test_attack_06_other_byte_order_shown(federation, monkeypatch):
    """The mean of 0.25, 0.5, 0.75 and 1 comes out as anything."""
    _big_endian(federation)
    monkeypatch.setattr(quantize, "_check_count", lambda *_: None)
    total = federation.unmask(1, LENGTH)
    opened = quantize.decode_sum(total, 4, 4, federation.config)
    assert not np.any(np.isclose(opened.mean_delta, 0.625, atol=0.1))


def test_attack_06_other_byte_order_refused(federation):
    _big_endian(federation)
    outcome = federation.process("coordinator", "aggregate", round_=1)
    assert (outcome.exit, outcome.code) == (10, CountMismatch.__name__)


@pytest.mark.parametrize("change", [-4, -1, 1, 4])
def test_attack_06_wrong_length_refused(federation, change):
    """The upload is left out, by name; its agency, which kept what it sent, sees it in the manifest."""
    federation.train_all()
    header = federation.closed().header(1, model_of(1))
    payload = (vector(1).tobytes() + bytes(4))[: 4 * LENGTH + change]
    asked = {
        **federation.store,
        names.upload(1, "agency_001"): Upload.make(federation.keys[1], header, 1, payload).encode(),
    }
    outcome = federation.process("coordinator", "manifest", asked, round_=1)
    assert outcome.exit == 0
    assert "left out: 1 MalformedMessage" in outcome.text


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.uint64, ">u4"])
def test_attack_06_wrong_dtype_refused(federation, dtype):
    federation.store[names.model(1)] = federation.model_message(1)
    outcome = federation.process(VICTIM, "upload", round_=1, update=vector(VICTIM).astype(dtype))
    outcome.must_refuse("upload-1", MalformedMessage)


# --- 7: ring overflow, weight over w_max


def test_attack_07_weight_over_the_maximum_shown(fresh, monkeypatch):
    """One agency claims 10,000 times the others' examples: the mean of four is its own delta."""
    monkeypatch.setattr(quantize, "_check_weight", lambda *_: None)
    honest = sum(_encoded(fresh, np.full(SIZE, 1e-6)) for _ in range(3))
    greedy = _encoded(fresh, np.full(SIZE, -1e-6), examples=1_000_000, loss=0.0)
    opened = quantize.decode_sum(honest + greedy, 4, 4, fresh.config)
    assert opened.mean_delta == pytest.approx(np.full(SIZE, -1e-6), rel=0.01)


def test_attack_07_weight_over_the_maximum_refused(federation):
    federation.store[names.model(1)] = federation.model_message(1)
    most = int(federation.config.w_max * federation.config.n_ref)
    update = {"delta": np.ones(SIZE), "examples": most + 1, "loss": 1.0}
    outcome = federation.process(VICTIM, "upload", round_=1, update=update)
    outcome.must_refuse("upload-1", WeightTooLarge)


@pytest.fixture
def tight(monkeypatch):
    """A scale that leaves room for values up to 1 only, as if clip and weight did not bound them."""
    monkeypatch.setattr(quantize, "delta_encoding", lambda n, _config: FixedPoint(n, 1.0))


def test_attack_07_ring_overflow_shown(fresh, tight, monkeypatch):
    """Four agencies each add 1.1 times what a quarter of the ring admits: the sum of 4.4 comes out as -3.6."""
    monkeypatch.setattr(quantize, "_check_range", lambda *_: None)
    total = sum(_encoded(fresh, np.full(SIZE, 1.1)) for _ in range(4))
    opened = quantize.decode_sum(total, 4, 4, fresh.config)
    assert opened.mean_delta == pytest.approx(np.full(SIZE, (4.4 - 8) / 4), abs=1e-6)


@pytest.mark.parametrize("value", [1.1, -1.1, 1.000001])
def test_attack_07_ring_overflow_refused(fresh, tight, value):
    """Clip and weight keep every value below this; the check stands behind them."""
    with pytest.raises(RingOverflow):
        _encoded(fresh, np.full(SIZE, value))


def test_attack_07_the_largest_values_do_not_overflow(fresh, tight):
    total = sum(_encoded(fresh, np.full(SIZE, 1.0)) for _ in range(4)).view(np.int32)
    assert total[0] == 4 * FixedPoint(4, 1.0).limit <= 2**31 - 1
