"""The coordinator's steps as pure functions: verified bytes in, signed bytes or the sum out.

    list -> close -> round: manifest (or burnt) -> open the sum

An agency's bad message leaves that agency out; it cannot stop the others while t are left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.secagg.agency import round_private, round_public, seed_hash
from fl_tasks.secagg.covering import largest_covered_set
from fl_tasks.secagg.errors import DuplicateKey, InconsistentShares, ProtocolError, TooFewAgencies, WrongSession
from fl_tasks.secagg.hybrid import contribution, seal
from fl_tasks.secagg.masking import Ring, add_streams, pair_key, self_key
from fl_tasks.secagg.messages import Burnt, Close, KeyList, Keys, Manifest, Reveal, Upload
from fl_tasks.secagg.quantize import OpenedSum, decode_sum
from fl_tasks.secagg.session import ClosedSet, Setting, file_hash, list_hash, manifest_hash, sharing_a_key
from fl_tasks.secagg.shamir import SECRET_BYTES, combine_values, lagrange_weights, points_off, share_value
from fl_tasks.secagg.wire import Header

Refusals = dict[int, ProtocolError]
_MOST_TOLD = 10  # owners that an error lists


def make_list(
    setting: Setting, signing: Ed25519PrivateKey, cohort: frozenset[int], files: Mapping[int, bytes]
) -> tuple[bytes, Refusals]:
    """S1c: list the valid S1 of the cohort; raises TooFewAgencies below t."""
    valid: dict[int, Keys] = {}
    refused = Refusals()
    for member in sorted(cohort & files.keys()):
        try:
            keys = setting.read_keys(files[member])
            if keys.sender != member:
                raise WrongSession(f"the keys of id {member} were sent by id {keys.sender}")
            valid[member] = keys
        except ProtocolError as error:
            refused[member] = error
    while shared := sharing_a_key(valid):
        # Who has keys of many goes first, or one agency could take all those away whose keys it copied. Of two that
        # share with each other alone, which of them copied cannot be told.
        most = max(len(others) for others in shared.values())
        worst = max(member for member, others in shared.items() if len(others) == most)
        for member in (worst, *shared[worst]) if most == 1 else (worst,):
            refused[member] = DuplicateKey(f"id {member} has a public key in common with another agency")
            del valid[member]
    entries = [(member, file_hash(files[member])) for member in valid]
    setting.enough(tuple(member for member, _ in entries), "keys")
    return KeyList(setting.session, tuple(entries)).encode(signing), refused


def make_close(
    setting: Setting,
    signing: Ed25519PrivateKey,
    list_data: bytes,
    files: Mapping[int, bytes],
    readies: Mapping[int, bytes],
) -> tuple[bytes, Refusals]:
    """S4: close the session over the largest set whose ready messages cover it pairwise."""
    keys = setting.read_listed_keys(list_data, files)
    h1 = list_hash(list_data)
    covers: dict[int, frozenset[int]] = {}
    refused = Refusals()
    for member in sorted(keys.keys() & readies.keys()):
        try:
            ready = setting.read_ready(readies[member], h1)
            if ready.sender != member:
                raise WrongSession(f"the ready message of id {member} was sent by id {ready.sender}")
            covers[member] = ready.covers
        except ProtocolError as error:
            refused[member] = error
    closed = largest_covered_set(covers, setting.roster.t)
    members = tuple((member, file_hash(files[member]), file_hash(readies[member])) for member in closed)
    return Close(setting.session, h1, members).encode(signing), refused


@dataclass(frozen=True)
class Verdict:
    """What step 1s decides: a manifest over the survivors, or burnt."""

    data: bytes
    burnt: bool
    survivors: tuple[int, ...]
    refused: Refusals


def make_manifest(
    closed: ClosedSet,
    signing: Ed25519PrivateKey,
    header: Header,
    uploads: Mapping[int, bytes],
    length: int,
) -> Verdict:
    """Step 1s: verify all uploads, then fix the survivor set, or burn the round below t.

    Args:
        closed: The session's closed set.
        signing: The coordinator's key.
        header: Of this round and its model.
        uploads: id -> upload, of those that arrived in time. May read them when asked: each is looked at once.
        length: Ring elements of an update, d + slots.
    """
    members, refused = [], Refusals()
    for sender in sorted(uploads):
        try:
            upload = Upload.decode(uploads[sender], closed.member, 4 * length)
            closed.same_round(upload.header, header.round, Upload.LABEL)
            if upload.sender != sender or upload.header != header:
                raise WrongSession(f"the upload of id {sender} is another agency's or starts from another model")
            members.append((sender, hashlib.sha256(upload.payload).digest(), upload.signature))
        except ProtocolError as error:
            refused[sender] = _without_frames(error)
    survivors = tuple(sender for sender, _, _ in members)
    if len(survivors) < closed.setting.roster.t:
        return Verdict(Burnt(header).encode(signing), True, survivors, refused)
    return Verdict(Manifest(header, tuple(members)).encode(signing), False, survivors, refused)


def open_sum(
    closed: ClosedSet,
    round_: int,
    manifest_data: bytes,
    uploads: Mapping[int, bytes],
    reveals: Mapping[int, bytes],
    length: int,
) -> tuple[OpenedSum, Refusals]:
    """Step 2s: sum the survivors' updates and take every mask off.

    With uploads that are read when asked for, this takes two vectors of 4 bytes a value: the sum and one upload. (The
    mean that the result gives when asked is another 8 bytes a value.)

    Args:
        closed: The session's closed set.
        round_: The round, from 1.
        manifest_data: The round's manifest.
        uploads: id -> upload, of all survivors; each is looked at once.
        reveals: id -> reveal, of as many members of A as are there.
        length: Ring elements of an update, d + slots.

    Raises:
        TooFewAgencies: If fewer than t valid reveals are there.
        InconsistentShares: If a reconstructed secret is not the one that its owner committed to.
        CountMismatch: If the sum's own count is not that of the survivors.
    """
    manifest = closed.read_manifest(manifest_data, round_)
    total, refused = unmask(closed, manifest, manifest_hash(manifest_data), uploads, reveals, length)
    setting = closed.setting
    return decode_sum(total, len(manifest.ids), setting.n, setting.roster.secagg), refused


def unmask(
    closed: ClosedSet,
    manifest: Manifest,
    wanted: bytes,
    uploads: Mapping[int, bytes],
    reveals: Mapping[int, bytes],
    length: int,
) -> tuple[Ring, Refusals]:
    """Return the plain sum of the survivors' updates in the ring, shape (length,); see open_sum.

    `wanted` is H(manifest), which every reveal has to name.
    """
    total = _sum_uploads(closed, manifest, uploads, length)
    shares, refused = _valid_reveals(closed, manifest, wanted, reveals)
    add_streams(total, *remaining_masks(closed, manifest, shares))
    return total, refused


def _sum_uploads(closed: ClosedSet, manifest: Manifest, uploads: Mapping[int, bytes], length: int) -> Ring:
    """Add up the survivors' masked updates, shape (length,); holds one of them at a time."""
    round_ = manifest.header.round
    total = np.zeros(length, dtype=np.uint32)
    for sender, payload_sha, _ in manifest.members:
        if sender not in uploads:
            raise WrongSession(f"round {round_}: the upload of id {sender} is in the manifest but not there any more")
        _add_upload(total, closed, round_, uploads[sender], sender, payload_sha)
    return total


def _add_upload(total: Ring, closed: ClosedSet, round_: int, data: bytes, sender: int, payload_sha: bytes) -> None:
    upload = Upload.decode(data, closed.member, 4 * total.size)
    if hashlib.sha256(upload.payload).digest() != payload_sha:
        raise WrongSession(f"round {round_}: the upload of id {sender} is not the one in the manifest")
    np.add(total, np.frombuffer(upload.payload, dtype="<u4"), out=total)


def remaining_masks(
    closed: ClosedSet, manifest: Manifest, shares: Mapping[int, tuple[int, ...]]
) -> tuple[list[bytes], list[bytes]]:
    """Return the keys of the streams that have to be added to the survivors' sum, and subtracted, to lay it open.

    Of a survivor that is its self mask; of who was lost, its half of the pair masks with every survivor.

    Args:
        closed: The session's closed set.
        manifest: Of the round.
        shares: holder -> its shares of everyone in A, in the order of A.

    Raises:
        TooFewAgencies: If fewer than t holders revealed.
        InconsistentShares: If a secret is not the one that its owner committed to.
    """
    round_, t = manifest.header.round, closed.setting.roster.t
    if len(shares) < t:
        raise TooFewAgencies(
            f"round {round_}: {len(shares)} agencies revealed, {t} are needed; clear the reveal "
            "tasks of the others, the round stays open for them"
        )
    holders = sorted(shares)[:t]
    weights = lagrange_weights([holder + 1 for holder in holders])
    survivors = set(manifest.ids)
    add: list[bytes] = []
    subtract: list[bytes] = []
    wrong: list[int] = []
    for at, owner in enumerate(closed.ids):
        try:
            secret = combine_values([shares[holder][at] for holder in holders], weights)
        except InconsistentShares:
            wrong.append(owner)
            continue
        if not _committed(closed, manifest, owner, secret):
            wrong.append(owner)
        elif owner in survivors:
            subtract.append(self_key(secret, manifest.header, owner))
        else:
            private = round_private(closed.setting, secret)
            for survivor in manifest.ids:
                # The survivor added its half of the pair's stream if its id is smaller; take that half off.
                side = subtract if survivor < owner else add
                peer_key = closed.keys[survivor].round_keys[round_ - 1]
                added = _contribution(closed, round_, owner, secret, survivor)
                side.append(pair_key(private, peer_key, manifest.header, owner, survivor, added))
    if wrong:
        told = "; ".join(_suspects(closed, manifest, shares, owner) for owner in wrong[:_MOST_TOLD])
        more = "; ..." if len(wrong) > _MOST_TOLD else ""
        raise InconsistentShares(
            f"round {round_}: the shares of {len(wrong)} agencies do not give the secrets that they committed to. "
            f"{told}{more}. Of a pair either the dealer or the holder is at fault: look at both with their operators; "
            "this round cannot be opened, start a new run"
        )
    return add, subtract


def _without_frames(error: ProtocolError) -> ProtocolError:
    """An error that can be kept: its traceback, or its cause's, would hold a whole upload in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _committed(closed: ClosedSet, manifest: Manifest, owner: int, secret: bytes) -> bool:
    """Whether a secret is the one that its owner committed to: b by its hash if it survived, else k by its key."""
    round_, keys = manifest.header.round, closed.keys[owner]
    if owner in manifest.ids:
        return seed_hash(closed.setting, owner, round_, secret) == keys.seed_hashes[round_ - 1]
    return round_public(closed.setting, secret) == keys.round_keys[round_ - 1]


def _contribution(closed: ClosedSet, round_: int, owner: int, secret: bytes, survivor: int) -> bytes:
    """What the smaller id of a pair added to its key, from the secret of the one that was lost; see hybrid.py."""
    session = closed.setting.session
    if not closed.setting.hybrid:
        return b""
    if owner < survivor:
        return contribution(secret, session, round_, owner, survivor)
    return seal(secret, session, round_, survivor, owner, closed.sealed[owner].sealed_part(survivor, round_))


def _suspects(closed: ClosedSet, manifest: Manifest, shares: Mapping[int, tuple[int, ...]], owner: int) -> str:
    """Say which dealer/holder pairs may have altered an owner's shares; never one of the two."""
    at = closed.ids.index(owner)
    t, m = closed.setting.roster.t, len(shares)
    found = points_off({holder + 1: values[at] for holder, values in shares.items()}, t) if m > t else None
    if found is None:
        return f"id {owner}: {m} shares, {t} needed, are too few to tell which are off; dealer {owner} with any holder"
    value, points = found
    if value >= 2 ** (8 * SECRET_BYTES) or not _committed(closed, manifest, owner, value.to_bytes(SECRET_BYTES, "big")):
        return f"id {owner}: the shares agree on another secret; dealer {owner} with every holder"
    return f"id {owner}: suspects (dealer/holder) " + ", ".join(f"{owner}/{point - 1}" for point in points)


def _valid_reveals(
    closed: ClosedSet, manifest: Manifest, wanted: bytes, reveals: Mapping[int, bytes]
) -> tuple[dict[int, tuple[int, ...]], Refusals]:
    """Return holder -> its shares as field elements, in the order of A, and why reveals were refused."""
    shares: dict[int, tuple[int, ...]] = {}
    refused = Refusals()
    for sender, data in sorted(reveals.items()):
        try:
            reveal = Reveal.decode(data, lambda message: closed.member(message.sender), len(closed.ids))
            if (reveal.sender, reveal.header, reveal.manifest) != (sender, manifest.header, wanted):
                raise WrongSession(f"the reveal of id {sender} is another agency's or of another manifest")
            if len(reveal.shares) != len(closed.ids):
                raise WrongSession(f"the reveal of id {sender} has {len(reveal.shares)} shares, not {len(closed.ids)}")
            shares[sender] = tuple(share_value(share) for share in reveal.shares)
        except ProtocolError as error:
            refused[sender] = _without_frames(error)
    return shares, refused
