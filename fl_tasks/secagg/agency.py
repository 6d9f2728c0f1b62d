"""The agency's steps as pure functions: verified bytes in, signed bytes out. Nothing is stored here.

keys -> shares -> ready -> (close) -> round: masked update -> ack -> reveal
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fl_tasks.secagg.errors import BadShare, KeysWithheld, MisdeliveredShare, NotAcknowledged, ProtocolError
from fl_tasks.secagg.hybrid import (
    CONTRIBUTION_BYTES,
    HybridKeys,
    HybridReady,
    HybridShares,
    contribution,
    decapsulate,
    derived_private,
    encapsulate,
    kem_public_key,
    new_kem_seed,
    seal,
)
from fl_tasks.secagg.masking import Ring, add_streams, agree, derive, mask_keys
from fl_tasks.secagg.messages import NONCE_BYTES, POINT_BYTES, Ack, Keys, Manifest, Ready, Reveal, Shares, Upload
from fl_tasks.secagg.session import ClosedSet, Setting, file_hash, list_hash, manifest_hash
from fl_tasks.secagg.shamir import SHARE_BYTES, share_value, split
from fl_tasks.secagg.wire import Header, digest, u16


@dataclass(frozen=True)
class Party:
    """One agency in one session."""

    setting: Setting
    me: int
    signing: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True)
class RoundSecret:
    """An agency's two secrets of one round: behind its pair masks, and the seed of its self mask.

    k is the X25519 key itself; in a hybrid roster that key and the contributions are derived from k.
    """

    k: bytes = field(repr=False)
    b: bytes = field(repr=False)


@dataclass(frozen=True)
class HeldShares:
    """One dealer's two shares of one round, at their holder, and in a hybrid roster a smaller id's contribution."""

    b: bytes = field(repr=False)
    k: bytes = field(repr=False)
    contribution: bytes = field(default=b"", repr=False)


def seed_hash(setting: Setting, owner: int, round_: int, b: bytes) -> bytes:
    """The hash by which an agency commits to the seed of its self mask in S1."""
    return digest("seed", setting.session, u16(owner), round_.to_bytes(4, "big"), b)


def make_keys(party: Party) -> tuple[bytes, bytes, list[RoundSecret]]:
    """S1: fresh keys of all R_max rounds.

    Returns:
        The message, the private encryption key (32 bytes, in a hybrid roster the ML-KEM seed of 64 after them), and
        the secrets of rounds 1..R_max.
    """
    setting = party.setting
    encryption = X25519PrivateKey.generate()
    rounds = [
        RoundSecret(
            secrets.token_bytes(32) if setting.hybrid else X25519PrivateKey.generate().private_bytes_raw(),
            secrets.token_bytes(32),
        )
        for _ in range(setting.roster.r_max)
    ]
    message = Keys(
        session=setting.session,
        sender=party.me,
        roster=setting.roster.sha256,
        encryption_key=encryption.public_key().public_bytes_raw(),
        round_keys=tuple(round_public(setting, secret.k) for secret in rounds),
        seed_hashes=tuple(seed_hash(setting, party.me, r, s.b) for r, s in enumerate(rounds, start=1)),
    )
    if not setting.hybrid:
        return message.encode(party.signing), encryption.private_bytes_raw(), rounds
    seed = new_kem_seed()
    hybrid = HybridKeys(**vars(message), kem_key=kem_public_key(seed))
    return hybrid.encode(party.signing), encryption.private_bytes_raw() + seed, rounds


def public_key(private: bytes) -> bytes:
    """Return the X25519 public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def round_private(setting: Setting, k: bytes) -> X25519PrivateKey:
    """Return the X25519 key that a round's secret k is, or stands for in a hybrid roster."""
    return X25519PrivateKey.from_private_bytes(derived_private(k) if setting.hybrid else k)


def round_public(setting: Setting, k: bytes) -> bytes:
    """Return the public key that S1 shows for a round's secret k."""
    return public_key(derived_private(k) if setting.hybrid else k)


def make_shares(
    party: Party,
    list_data: bytes,
    files: Mapping[int, bytes],
    own_keys: bytes,
    encryption_key: bytes,
    rounds: list[RoundSecret],
) -> tuple[dict[int, bytes], list[HeldShares]]:
    """S2: one encrypted file a peer, with its share of every round's (b, k).

    Args:
        party: This agency.
        list_data: The coordinator's list.
        files: id -> S1, of all listed.
        own_keys: The exact S1 that this agency sent.
        encryption_key: Private key of own_keys.
        rounds: Secrets of own_keys.

    Returns:
        peer -> message, and this agency's own shares, one entry a round.

    Raises:
        KeysWithheld: If the list does not hold this agency's own S1.
    """
    keys = party.setting.read_listed_keys(list_data, files)
    if party.me not in keys or files[party.me] != own_keys:
        raise KeysWithheld("the coordinator's list does not hold this agency's own keys")
    h1 = list_hash(list_data)
    holders = sorted(keys)
    points = [holder + 1 for holder in holders]
    dealt: dict[int, list[HeldShares]] = {holder: [] for holder in holders}
    for round_, secret in enumerate(rounds, start=1):
        pairs = zip(*(split(value, party.setting.roster.t, points) for value in (secret.b, secret.k)), strict=True)
        for holder, (b, k) in zip(holders, pairs, strict=True):
            given = _given(party, secret, round_, holder)
            dealt[holder].append(HeldShares(b, k, given))
    messages = {}
    for holder in holders:
        if holder == party.me:
            continue
        nonce = secrets.token_bytes(NONCE_BYTES)
        peer = keys[holder]
        kem_secret, kem_ciphertext = encapsulate(peer) if isinstance(peer, HybridKeys) else (b"", b"")
        key, aad = _share_key(party, encryption_key, peer, h1, party.me, holder, kem_secret)
        ciphertext = ChaCha20Poly1305(key).encrypt(nonce, encode_held(dealt[holder]), aad)
        message = Shares(party.setting.session, h1, party.me, holder, nonce, ciphertext)
        if party.setting.hybrid:
            message = HybridShares(**vars(message), kem_ciphertext=kem_ciphertext)
        messages[holder] = message.encode(party.signing)
    return messages, dealt[party.me]


def _given(party: Party, secret: RoundSecret, round_: int, peer: int) -> bytes:
    """What this agency adds to its pair's key with a larger id, in a hybrid roster; else nothing."""
    if not party.setting.hybrid or peer <= party.me:
        return b""
    return contribution(secret.k, party.setting.session, round_, party.me, peer)


def open_shares(
    party: Party,
    list_data: bytes,
    files: Mapping[int, bytes],
    encryption_key: bytes,
    share_files: Mapping[int, bytes],
    rounds: Sequence[RoundSecret],
) -> tuple[bytes, dict[int, list[HeldShares]], dict[int, ProtocolError]]:
    """S3: open what the peers dealt, and say whose shares are held.

    A dealer whose file is missing or does not open is left out; it cannot stop the others.

    Args:
        party: This agency.
        list_data: The coordinator's list.
        files: id -> S1, of all listed.
        encryption_key: This agency's, as make_keys gave it.
        share_files: dealer -> S2 for this agency, of those that are there.
        rounds: This agency's secrets, which a hybrid roster seals contributions under.

    Returns:
        The message; dealer -> shares, one entry a round; dealer -> why its file was refused.
    """
    keys = party.setting.read_listed_keys(list_data, files)
    h1 = list_hash(list_data)
    held: dict[int, list[HeldShares]] = {}
    refused: dict[int, ProtocolError] = {}
    for dealer in sorted(keys):
        if dealer == party.me or dealer not in share_files:
            continue
        try:
            held[dealer] = _open_share(party, keys[dealer], h1, encryption_key, dealer, share_files[dealer])
        except ProtocolError as error:
            refused[dealer] = error
    opened = tuple((dealer, file_hash(share_files[dealer])) for dealer in sorted(held))
    message = Ready(party.setting.session, h1, party.me, opened)
    if party.setting.hybrid:
        message = HybridReady(**vars(message), rounds=len(rounds), sealed=_sealed(party, held, rounds))
    return message.encode(party.signing), held, refused


def _sealed(party: Party, held: Mapping[int, list[HeldShares]], rounds: Sequence[RoundSecret]) -> bytes:
    """Put away every contribution under this agency's own secrets, for the case that it is lost."""
    session, me = party.setting.session, party.me
    return b"".join(
        seal(secret.k, session, round_, dealer, me, shares.contribution)
        for dealer in sorted(held)
        if dealer < me
        for round_, (secret, shares) in enumerate(zip(rounds, held[dealer], strict=True), start=1)
    )


def _open_share(
    party: Party, dealer_keys: Keys, h1: bytes, encryption_key: bytes, dealer: int, data: bytes
) -> list[HeldShares]:
    r_max = party.setting.roster.r_max
    kind = HybridShares if party.setting.hybrid else Shares
    message = kind.decode(data, lambda shares: party.setting.member_key(shares.dealer), r_max)
    party.setting.same_session(message.session, Shares.LABEL)
    if (message.h1, message.dealer, message.holder) != (h1, dealer, party.me):
        raise MisdeliveredShare(f"share file of id {dealer}: made under another list, or for another pair of agencies")
    kem_secret = b""
    if isinstance(message, HybridShares):
        kem_secret = decapsulate(encryption_key[POINT_BYTES:], message.kem_ciphertext)
    key, aad = _share_key(party, encryption_key, dealer_keys, h1, dealer, party.me, kem_secret)
    shares = decode_held(unseal(key, message, aad), contributions=party.setting.hybrid and dealer < party.me)
    for share in shares:
        # No field element would make the coordinator refuse the holder's reveal, not the dealer.
        share_value(share.b)
        share_value(share.k)
    return shares


def unseal(key: bytes, message: Shares, aad: bytes) -> bytes:
    """Decrypt a share file and check that it is the one that its dealer encrypted; raises BadShare."""
    try:
        return ChaCha20Poly1305(key).decrypt(message.nonce, message.ciphertext, aad)
    except InvalidTag as error:
        raise BadShare(
            f"share file of id {message.dealer}: its content was altered or encrypted for another key"
        ) from error


def _share_key(
    party: Party, encryption_key: bytes, peer: Keys, h1: bytes, dealer: int, holder: int, kem_secret: bytes
) -> tuple[bytes, bytes]:
    """The key of one direction of one pair, and its associated data; every key encrypts one message."""
    shared = agree(X25519PrivateKey.from_private_bytes(encryption_key[:POINT_BYTES]), peer.encryption_key)
    ends = (h1, u16(dealer), u16(holder))
    return derive(shared + kem_secret, b"flsa/1/shares", party.setting.session, *ends), b"".join(ends)


def encode_held(shares: list[HeldShares]) -> bytes:
    """Return 66 bytes a round, 98 with contributions."""
    return b"".join(share.b + share.k + share.contribution for share in shares)


def decode_held(data: bytes, *, contributions: bool = False) -> list[HeldShares]:
    """Read what encode_held wrote."""
    size = 2 * SHARE_BYTES + (CONTRIBUTION_BYTES if contributions else 0)
    rounds = [data[at : at + size] for at in range(0, len(data), size)]
    return [HeldShares(r[:SHARE_BYTES], r[SHARE_BYTES : 2 * SHARE_BYTES], r[2 * SHARE_BYTES :]) for r in rounds]


def mask_update(
    party: Party,
    closed: ClosedSet,
    header: Header,
    update: Ring,
    secret: RoundSecret,
    held: Mapping[int, HeldShares],
) -> bytes:
    """Step 1: hide an update behind this round's keystreams of everyone in A.

    Args:
        party: This agency, a member of A.
        closed: The session's closed set.
        header: Of this round and model.
        update: Shape (d + slots,), from encode_update; it is overwritten, so that no copy has to be made.
        secret: This round's secrets; used for this update only.
        held: dealer -> what it gave for this round; a hybrid roster takes the smaller ids' contributions from it.

    Returns:
        The message.
    """
    publics = {peer: closed.keys[peer].round_keys[header.round - 1] for peer in closed.ids}
    added = None
    if party.setting.hybrid:
        added = {
            peer: held[peer].contribution if peer < party.me else _given(party, secret, header.round, peer)
            for peer in closed.ids
            if peer != party.me
        }
    private = round_private(party.setting, secret.k)
    add_streams(update, *mask_keys(private, secret.b, publics, header, party.me, added))
    payload = update.astype("<u4", copy=False).data.cast("B")
    return Upload.make(party.signing, header, party.me, payload).encode()


def make_ack(party: Party, manifest_data: bytes) -> bytes:
    """Step 2a: sign H(manifest). The caller has checked the manifest and journaled its hash."""
    return Ack(party.me, manifest_hash(manifest_data)).encode(party.signing)


def make_reveal(
    party: Party,
    closed: ClosedSet,
    manifest: Manifest,
    manifest_data: bytes,
    acks: Mapping[int, bytes],
    held: Mapping[int, HeldShares],
) -> bytes:
    """Step 2b: of each member of A its share of b if it survived, else of k; never both.

    Args:
        party: This agency.
        closed: The session's closed set.
        manifest: What manifest_data says; checked by read_manifest.
        manifest_data: The manifest that this agency acknowledged.
        acks: id -> ack, of as many agencies as are there, the own included.
        held: dealer -> this round's shares, of everyone in A.

    Raises:
        NotAcknowledged: If fewer than t valid acks name this manifest.
    """
    wanted = manifest_hash(manifest_data)
    check_acks(party, closed, manifest.header.round, wanted, acks)
    survivors = set(manifest.ids)
    shares = tuple(held[member].b if member in survivors else held[member].k for member in closed.ids)
    return Reveal(manifest.header, party.me, wanted, shares).encode(party.signing)


def check_acks(party: Party, closed: ClosedSet, round_: int, wanted: bytes, acks: Mapping[int, bytes]) -> None:
    """Check that t agencies, this one among them, acknowledged the same manifest; raises NotAcknowledged.

    With t equal acks and 2t > N + n_c no second manifest can have as many.
    """
    equal = set()
    for sender, data in acks.items():
        try:
            ack = closed.read_ack(data)
        except ProtocolError:
            continue  # a broken ack is as good as none
        if ack.sender == sender and names_manifest(ack, wanted):
            equal.add(sender)
    if party.me not in equal or len(equal) < party.setting.roster.t:
        raise NotAcknowledged(
            f"round {round_}: {len(equal)} agencies acknowledged this manifest, "
            f"{party.setting.roster.t} are needed, this agency among them"
        )


def names_manifest(ack: Ack, wanted: bytes) -> bool:
    """Whether an ack is of this manifest, whose hash binds session, round, closed set and model."""
    return ack.manifest == wanted
