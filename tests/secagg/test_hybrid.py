"""A roster with `kem`: the same exact sums, and pair masks that X25519 alone does not open."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fl_tasks.secagg import hybrid, names
from fl_tasks.secagg.agency import round_private
from fl_tasks.secagg.coordinator import make_list, open_sum
from fl_tasks.secagg.errors import BadKey, BadSignature, CountMismatch, MalformedMessage
from fl_tasks.secagg.hybrid import HybridKeys, HybridReady, HybridShares
from fl_tasks.secagg.masking import add_streams, mask_keys
from fl_tasks.secagg.messages import Keys, Upload
from fl_tasks.secagg.vault import Vault
from tests.secagg.federation import NOT_AFTER, Federation, model_of, secagg_config

KEM = "ml-kem-768"
LENGTH = 1000


def hybrid_federation(folder, n=4, **changes):
    return Federation(folder, n, config=secagg_config(n, kem=KEM), **changes)


def updates_of(n):
    draw = np.random.default_rng(5)
    return {i: draw.integers(0, 2**32, LENGTH, dtype=np.uint32) for i in range(n)}


def run(federation, updates, lost_at):
    """One round; gives the opened sum and the plain one."""
    plain = np.zeros(LENGTH, dtype=np.uint32)
    members = federation.closed().ids
    for i in members:
        if lost_at.get(i) != "upload":
            federation.upload(i, 1, updates[i])
            plain += updates[i]
    federation.manifest(1, LENGTH)
    acking = [i for i in members if lost_at.get(i) not in ("upload", "ack")]
    for i in acking:
        federation.ack(i, 1)
    for i in acking:
        if lost_at.get(i) != "reveal":
            federation.reveal(i, 1)
    return federation.unmask(1, LENGTH), plain


@pytest.mark.parametrize("step", ["keys", "shares", "ready", "upload", "ack", "reveal"])
@pytest.mark.parametrize("lost", [0, 2, 5])
def test_the_sum_is_exact_whoever_is_lost(tmp_path, step, lost):
    """The smallest id gave contributions only, the largest only got them, one in the middle did both."""
    federation = hybrid_federation(tmp_path, 6)
    federation.set_up({lost: step})
    found, plain = run(federation, updates_of(6), {lost: step})
    assert np.array_equal(found, plain)


def test_two_lost_at_once_are_opened_by_those_left(tmp_path):
    """Their pair with each other stands in no sum; those with the survivors have to come off both ways."""
    federation = hybrid_federation(tmp_path, 7)
    federation.set_up()
    lost_at = {1: "upload", 5: "upload"}
    found, plain = run(federation, updates_of(7), lost_at)
    assert np.array_equal(found, plain)


def test_who_breaks_x25519_does_not_open_an_update(tmp_path):
    """With every X25519 key of the round and even the self seed, the pair masks stay on without contributions."""
    federation = hybrid_federation(tmp_path)
    federation.set_up()
    vaults = [Vault(federation.folder / f"{i}" / federation.session.hex()) for i in range(4)]
    secrets = [vault.round_secret(1) for vault in vaults]
    held = vaults[1].held(1)
    update = updates_of(4)[1]
    message = Upload.decode(federation.upload(1, 1, update), federation.setting.member_key, 4 * LENGTH)
    closed = federation.closed()
    publics = {i: closed.keys[i].round_keys[0] for i in closed.ids}
    private = round_private(federation.setting, secrets[1].k)
    header = closed.header(1, model_of(1))
    session = federation.session
    given = {peer: hybrid.contribution(secrets[1].k, session, 1, 1, peer) for peer in (2, 3)}

    def opened(contributions):
        known = {peer: contributions.get(peer, b"") for peer in closed.ids}
        add, subtract = mask_keys(private, secrets[1].b, publics, header, 1, known)
        vector = np.frombuffer(message.payload, dtype="<u4").copy()
        add_streams(vector, subtract, add)
        return vector

    assert np.array_equal(opened({0: held[0].contribution} | given), update)
    for partly in ({}, given, {0: held[0].contribution, 2: given[2]}):
        assert np.count_nonzero(opened(partly) == update) < 3


def test_a_public_key_of_a_round_does_not_stand_for_its_secret(tmp_path):
    federation = hybrid_federation(tmp_path)
    federation.set_up()
    secret = Vault(federation.folder / "0" / federation.session.hex()).round_secret(1)
    shown = federation.closed().keys[0].round_keys[0]
    assert X25519PrivateKey.from_private_bytes(secret.k).public_key().public_bytes_raw() != shown
    assert round_private(federation.setting, secret.k).public_key().public_bytes_raw() == shown


def test_contributions_go_with_their_round(tmp_path):
    federation = hybrid_federation(tmp_path)
    federation.set_up()
    run(federation, updates_of(4), {})
    folder = federation.folder / "3" / federation.session.hex()
    assert not (folder / "round-1.held").exists()
    assert (folder / "round-2.held").exists()
    assert not (folder / "encryption.key").exists()


def test_what_was_sealed_opens_under_the_owners_secret_of_that_round_alone():
    part = b"c" * 32
    sealed = hybrid.seal(b"s" * 32, b"0" * 16, 1, 0, 1, part)
    assert sealed != part
    assert hybrid.seal(b"s" * 32, b"0" * 16, 1, 0, 1, sealed) == part
    for other in ((b"t" * 32, b"0" * 16, 1, 0, 1), (b"s" * 32, b"1" * 16, 1, 0, 1), (b"s" * 32, b"0" * 16, 2, 0, 1)):
        assert hybrid.seal(*other, sealed) != part


def test_an_altered_encapsulation_leaves_its_dealer_out(tmp_path):
    federation = hybrid_federation(tmp_path)
    real = federation.share_files

    def altered(holder):
        files = real(holder)
        if holder == 0:
            message = HybridShares.decode(files[3], lambda _: federation.setting.member_key(3), 2)
            flipped = bytes([message.kem_ciphertext[0] ^ 1]) + message.kem_ciphertext[1:]
            files[3] = HybridShares(**vars(message) | {"kem_ciphertext": flipped}).encode(federation.keys[3])
        return files

    federation.share_files = altered
    federation.set_up()
    assert federation.closed().ids == (0, 1, 2)
    with federation.member(0) as member:
        assert member._journal.find("refused", dealer=3)[0].facts["code"] == "BadShare"


def test_keys_without_a_kem_key_are_no_keys_of_a_hybrid_roster(tmp_path):
    federation = hybrid_federation(tmp_path)
    with federation.member(0) as member:
        member.begin("run", NOT_AFTER)
        federation.send(member.keys())
    data = federation.store[names.keys("agency_000")]
    whole = federation.setting.read_keys(data)
    assert isinstance(whole, HybridKeys)
    plain = Keys(**{name: value for name, value in vars(whole).items() if name != "kem_key"})
    with pytest.raises(MalformedMessage):
        federation.setting.read_keys(plain.encode(federation.keys[0]))
    classic = Federation(tmp_path / "classic", 4)
    with pytest.raises(MalformedMessage):
        classic.setting.read_keys(data)


def test_a_ready_message_has_one_sealed_part_a_round(tmp_path):
    federation = hybrid_federation(tmp_path)
    federation.set_up()
    data = federation.store[names.ready("agency_002")]
    ready = HybridReady.decode(data, lambda _: federation.setting.member_key(2), 4)
    assert (ready.rounds, len(ready.sealed)) == (2, 2 * 2 * 32)
    assert ready.sealed_part(1, 2) == ready.sealed[-32:]
    short = HybridReady(**vars(ready) | {"rounds": 1, "sealed": ready.sealed[:64]})
    with pytest.raises(MalformedMessage, match="one sealed part a round"):
        federation.setting.read_ready(short.encode(federation.keys[2]), ready.h1)
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises((MalformedMessage, BadSignature)):
            HybridReady.decode(bytes(changed), lambda _: federation.setting.member_key(2), 4)


def test_a_wrong_contribution_is_a_sum_that_is_not_used(tmp_path):
    """Nobody but the pair knows it, so only the sum's own count tells."""
    federation = hybrid_federation(tmp_path)
    federation.set_up()
    for i in (0, 1, 2):
        federation.upload(i, 1, np.array([7, 1, 100, 0, 5, 5], dtype=np.uint32))
    federation.manifest(1, 6)
    for step in (federation.ack, federation.reveal):
        for i in (0, 1, 2):
            step(i, 1)
    closed = federation.closed()
    manifest = federation.store[names.manifest(1)]
    uploads, reveals = (federation.by_id(f"r/1/{part}/") for part in ("up", "reveal"))
    opened, _ = open_sum(closed, 1, manifest, uploads, reveals, 6)
    assert (opened.members, opened.examples) == (3, 300)
    real = closed.sealed[3]
    closed.sealed[3] = HybridReady(**vars(real) | {"sealed": bytes(32) + real.sealed[32:]})
    with pytest.raises(CountMismatch):
        open_sum(closed, 1, manifest, uploads, reveals, 6)


def test_a_kem_key_that_is_none_leaves_its_owner_out_by_name(tmp_path):
    federation = hybrid_federation(tmp_path)
    for i in range(4):
        with federation.member(i) as member:
            member.begin("run", NOT_AFTER)
            federation.send(member.keys())
    name = names.keys("agency_001")
    real = federation.setting.read_keys(federation.store[name])
    federation.store[name] = HybridKeys(**vars(real) | {"kem_key": b"\xff" * hybrid.KEM_KEY_BYTES}).encode(
        federation.keys[1]
    )
    with pytest.raises(BadKey, match="of id 1: its ML-KEM key is no key"):
        federation.setting.read_keys(federation.store[name])
    everyone, files = frozenset(range(4)), federation.by_id("setup/keys/")
    data, refused = make_list(federation.setting, federation.coordinator_key, everyone, files)
    assert list(refused) == [1]
    assert [member for member, _ in federation.setting.read_list(data).entries] == [0, 2, 3]


def test_a_capsule_opens_for_the_owner_of_the_key_alone(tmp_path):
    federation = hybrid_federation(tmp_path)
    with federation.member(0) as member:
        member.begin("run", NOT_AFTER)
        federation.send(member.keys())
    keys = federation.setting.read_keys(federation.store[names.keys("agency_000")])
    seed = Vault(federation.folder / "0" / federation.session.hex()).encryption_key[32:]
    assert (len(seed), hybrid.kem_public_key(seed)) == (hybrid.KEM_SEED_BYTES, keys.kem_key)
    secret, ciphertext = hybrid.encapsulate(keys)
    assert len(ciphertext) == hybrid.KEM_CIPHERTEXT_BYTES
    assert hybrid.decapsulate(seed, ciphertext) == secret
    assert hybrid.decapsulate(hybrid.new_kem_seed(), ciphertext) != secret
