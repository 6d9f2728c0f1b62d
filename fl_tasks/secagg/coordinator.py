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
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fl_tasks.secagg.agency import public_key, seed_hash
from fl_tasks.secagg.errors import InconsistentShares, ProtocolError, TooFewAgencies, WrongSession
from fl_tasks.secagg.masking import Ring, add_streams, pair_key, self_key
from fl_tasks.secagg.messages import Burnt, Close, KeyList, Manifest, Reveal, Upload
from fl_tasks.secagg.quantize import OpenedSum, decode_sum
from fl_tasks.secagg.session import ClosedSet, Setting, file_hash, list_hash, manifest_hash
from fl_tasks.secagg.shamir import combine, lagrange_weights, share_value
from fl_tasks.secagg.wire import Header

Refusals = dict[int, ProtocolError]


def make_list(
    setting: Setting, signing: Ed25519PrivateKey, cohort: frozenset[int], files: Mapping[int, bytes]
) -> tuple[bytes, Refusals]:
    """S1c: list the valid S1 of the cohort; raises TooFewAgencies below t."""
    entries, refused = [], Refusals()
    for member in sorted(cohort & files.keys()):
        try:
            keys = setting.read_keys(files[member])
            if keys.sender != member:
                raise WrongSession(f"the keys of id {member} were sent by id {keys.sender}")
            entries.append((member, file_hash(files[member])))
        except ProtocolError as error:
            refused[member] = error
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


def largest_covered_set(covers: Mapping[int, frozenset[int]], t: int) -> tuple[int, ...]:
    """Return the largest set of ids that cover each other pairwise; of several the lowest.

    Leaves out 0, 1, 2, ... ids until the rest agrees: every pair that disagrees must lose one of its two.

    Raises:
        TooFewAgencies: If no such set has t members.
    """
    ids = tuple(sorted(covers))

    def leave_out(left: tuple[int, ...], budget: int) -> tuple[int, ...] | None:
        for i in left:
            for j in left:
                if i < j and not (j in covers[i] and i in covers[j]):
                    if budget == 0:
                        return None
                    # Without the larger id first: ties go to the lowest ids.
                    tries = (leave_out(tuple(x for x in left if x != lost), budget - 1) for lost in (j, i))
                    found = [candidate for candidate in tries if candidate is not None]
                    return min(found) if found else None
        return left

    for budget in range(len(ids) - t + 1):
        found = leave_out(ids, budget)
        if found is not None:
            return found
    raise TooFewAgencies(
        f"close: {len(ids)} agencies are ready, but no {t} of them hold each other's shares; see the agencies' "
        "refusals, then start a new run"
    )


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
        uploads: id -> upload, of those that arrived in time.
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
            refused[sender] = error
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

    Args:
        closed: The session's closed set.
        round_: The round, from 1.
        manifest_data: The round's manifest.
        uploads: id -> upload, of all survivors.
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
    round_ = manifest.header.round
    total = np.zeros(length, dtype=np.uint32)
    for sender, payload_sha, _ in manifest.members:
        if sender not in uploads:
            raise WrongSession(f"round {round_}: the upload of id {sender} is in the manifest but not there any more")
        upload = Upload.decode(uploads[sender], closed.member, 4 * length)
        if hashlib.sha256(upload.payload).digest() != payload_sha:
            raise WrongSession(f"round {round_}: the upload of id {sender} is not the one in the manifest")
        np.add(total, np.frombuffer(upload.payload, dtype="<u4"), out=total)

    shares, refused = _valid_reveals(closed, manifest, wanted, reveals)
    if len(shares) < closed.setting.roster.t:
        raise TooFewAgencies(
            f"round {round_}: {len(shares)} agencies revealed, {closed.setting.roster.t} are needed; clear the reveal "
            "tasks of the others, the round stays open for them"
        )
    holders = sorted(shares)[: closed.setting.roster.t]
    weights = dict(zip(holders, lagrange_weights([holder + 1 for holder in holders]), strict=True))
    add: list[bytes] = []
    subtract: list[bytes] = []
    survivors = set(manifest.ids)
    for at, owner in enumerate(closed.ids):
        secret = combine({holder: shares[holder][at] for holder in holders}, weights)
        if owner in survivors:
            if seed_hash(closed.setting, owner, round_, secret) != closed.keys[owner].seed_hashes[round_ - 1]:
                raise InconsistentShares(
                    f"round {round_}: the shares of id {owner}'s seed do not give what it "
                    f"committed to; dealer {owner} or one of the holders {holders} is at fault"
                )
            subtract.append(self_key(secret, manifest.header, owner))
            continue
        if public_key(secret) != closed.keys[owner].round_keys[round_ - 1]:
            raise InconsistentShares(
                f"round {round_}: the shares of id {owner}'s key do not give what it "
                f"published; dealer {owner} or one of the holders {holders} is at fault"
            )
        private = X25519PrivateKey.from_private_bytes(secret)
        for survivor in manifest.ids:
            # The survivor added its half of the pair's stream if its id is smaller; take that half off.
            side = subtract if survivor < owner else add
            peer_key = closed.keys[survivor].round_keys[round_ - 1]
            side.append(pair_key(private, peer_key, manifest.header, owner, survivor))
    add_streams(total, add, subtract)
    return total, refused


def _valid_reveals(
    closed: ClosedSet, manifest: Manifest, wanted: bytes, reveals: Mapping[int, bytes]
) -> tuple[dict[int, tuple[bytes, ...]], Refusals]:
    shares: dict[int, tuple[bytes, ...]] = {}
    refused = Refusals()
    for sender, data in sorted(reveals.items()):
        try:
            reveal = Reveal.decode(data, lambda message: closed.member(message.sender), len(closed.ids))
            if (reveal.sender, reveal.header, reveal.manifest) != (sender, manifest.header, wanted):
                raise WrongSession(f"the reveal of id {sender} is another agency's or of another manifest")
            if len(reveal.shares) != len(closed.ids):
                raise WrongSession(f"the reveal of id {sender} has {len(reveal.shares)} shares, not {len(closed.ids)}")
            for share in reveal.shares:
                share_value(share)
            shares[sender] = reveal.shares
        except ProtocolError as error:
            refused[sender] = error
    return shares, refused
