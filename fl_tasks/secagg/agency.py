"""The agency's steps as pure functions: verified bytes in, signed bytes out. Nothing is stored here.

keys -> shares -> ready -> (close) -> round: masked update -> ack -> reveal
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fl_tasks.secagg.errors import BadShare, KeysWithheld, NotAcknowledged, ProtocolError, WrongSession
from fl_tasks.secagg.masking import Ring, add_streams, agree, derive, pair_key, self_key
from fl_tasks.secagg.messages import NONCE_BYTES, Ack, Keys, Manifest, Ready, Reveal, Shares, Upload
from fl_tasks.secagg.session import ClosedSet, Setting, file_hash, list_hash, manifest_hash
from fl_tasks.secagg.shamir import SHARE_BYTES, split
from fl_tasks.secagg.wire import Header, digest, u16


@dataclass(frozen=True)
class Party:
    """One agency in one session."""

    setting: Setting
    me: int
    signing: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True)
class RoundSecret:
    """An agency's two secrets of one round: the X25519 key of its pair masks, the seed of its self mask."""

    k: bytes = field(repr=False)
    b: bytes = field(repr=False)


@dataclass(frozen=True)
class HeldShares:
    """One dealer's two shares of one round, at their holder."""

    b: bytes = field(repr=False)
    k: bytes = field(repr=False)


def seed_hash(setting: Setting, owner: int, round_: int, b: bytes) -> bytes:
    """The hash by which an agency commits to the seed of its self mask in S1."""
    return digest("seed", setting.session, u16(owner), round_.to_bytes(4, "big"), b)


def make_keys(party: Party) -> tuple[bytes, bytes, list[RoundSecret]]:
    """S1: fresh keys of all R_max rounds.

    Returns:
        The message, the private encryption key (32 bytes), and the secrets of rounds 1..R_max.
    """
    encryption = X25519PrivateKey.generate()
    rounds = [
        RoundSecret(X25519PrivateKey.generate().private_bytes_raw(), secrets.token_bytes(32))
        for _ in range(party.setting.roster.r_max)
    ]
    message = Keys(
        session=party.setting.session,
        sender=party.me,
        roster=party.setting.roster.sha256,
        encryption_key=encryption.public_key().public_bytes_raw(),
        round_keys=tuple(public_key(secret.k) for secret in rounds),
        seed_hashes=tuple(seed_hash(party.setting, party.me, r, s.b) for r, s in enumerate(rounds, start=1)),
    )
    return message.encode(party.signing), encryption.private_bytes_raw(), rounds


def public_key(private: bytes) -> bytes:
    """Return the X25519 public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


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
    for secret in rounds:
        pairs = zip(*(split(value, party.setting.roster.t, points) for value in (secret.b, secret.k)), strict=True)
        for holder, (b, k) in zip(holders, pairs, strict=True):
            dealt[holder].append(HeldShares(b, k))
    messages = {}
    for holder in holders:
        if holder == party.me:
            continue
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher, aad = _share_cipher(party, encryption_key, keys[holder], h1, party.me, holder)
        ciphertext = cipher.encrypt(nonce, encode_held(dealt[holder]), aad)
        message = Shares(party.setting.session, h1, party.me, holder, nonce, ciphertext)
        messages[holder] = message.encode(party.signing)
    return messages, dealt[party.me]


def open_shares(
    party: Party, list_data: bytes, files: Mapping[int, bytes], encryption_key: bytes, share_files: Mapping[int, bytes]
) -> tuple[bytes, dict[int, list[HeldShares]], dict[int, ProtocolError]]:
    """S3: open what the peers dealt, and say whose shares are held.

    A dealer whose file is missing or does not open is left out; it cannot stop the others.

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
    return Ready(party.setting.session, h1, party.me, opened).encode(party.signing), held, refused


def _open_share(
    party: Party, dealer_keys: Keys, h1: bytes, encryption_key: bytes, dealer: int, data: bytes
) -> list[HeldShares]:
    r_max = party.setting.roster.r_max
    message = Shares.decode(data, lambda shares: party.setting.member_key(shares.dealer), r_max)
    party.setting.same_session(message.session, Shares.LABEL)
    if (message.h1, message.dealer, message.holder) != (h1, dealer, party.me):
        raise WrongSession(f"share file of id {dealer}: made under another list, or for another pair of agencies")
    cipher, aad = _share_cipher(party, encryption_key, dealer_keys, h1, dealer, party.me)
    try:
        return decode_held(cipher.decrypt(message.nonce, message.ciphertext, aad))
    except InvalidTag as error:
        raise BadShare(f"share file of id {dealer}: its content was altered or encrypted for another key") from error


def _share_cipher(
    party: Party, encryption_key: bytes, peer: Keys, h1: bytes, dealer: int, holder: int
) -> tuple[ChaCha20Poly1305, bytes]:
    """The cipher of one direction of one pair, and its associated data; every key encrypts one message."""
    shared = agree(X25519PrivateKey.from_private_bytes(encryption_key), peer.encryption_key)
    ends = (h1, u16(dealer), u16(holder))
    return ChaCha20Poly1305(derive(shared, b"flsa/1/shares", party.setting.session, *ends)), b"".join(ends)


def encode_held(shares: list[HeldShares]) -> bytes:
    """Return 66 bytes a round."""
    return b"".join(share.b + share.k for share in shares)


def decode_held(data: bytes) -> list[HeldShares]:
    """Read what encode_held wrote."""
    size = 2 * SHARE_BYTES
    return [
        HeldShares(data[at : at + SHARE_BYTES], data[at + SHARE_BYTES : at + size]) for at in range(0, len(data), size)
    ]


def mask_update(party: Party, closed: ClosedSet, header: Header, update: Ring, secret: RoundSecret) -> bytes:
    """Step 1: hide an update behind this round's keystreams of everyone in A.

    Args:
        party: This agency, a member of A.
        closed: The session's closed set.
        header: Of this round and model.
        update: Shape (d + slots,), from encode_update.
        secret: This round's secrets; used for this update only.

    Returns:
        The message.
    """
    private = X25519PrivateKey.from_private_bytes(secret.k)
    add = [self_key(secret.b, header, party.me)]
    subtract: list[bytes] = []
    for peer in closed.ids:
        if peer != party.me:
            # Of a pair the smaller id adds, the larger subtracts: in the sum they cancel.
            side = add if party.me < peer else subtract
            side.append(pair_key(private, closed.keys[peer].round_keys[header.round - 1], header, party.me, peer))
    masked = update.copy()
    add_streams(masked, add, subtract)
    return Upload.make(party.signing, header, party.me, masked.astype("<u4").tobytes()).encode()


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
    equal = set()
    for sender, data in acks.items():
        try:
            ack = closed.read_ack(data)
        except ProtocolError:
            continue  # a broken ack is as good as none
        if ack.sender == sender and ack.manifest == wanted:
            equal.add(sender)
    if party.me not in equal or len(equal) < party.setting.roster.t:
        raise NotAcknowledged(
            f"round {manifest.header.round}: {len(equal)} agencies acknowledged this manifest, "
            f"{party.setting.roster.t} are needed, this agency among them"
        )
    survivors = set(manifest.ids)
    shares = tuple(held[member].b if member in survivors else held[member].k for member in closed.ids)
    return Reveal(manifest.header, party.me, wanted, shares).encode(party.signing)
