"""Bytes from outside: every parser and every step refuses damage by name, and allocates no more than it was sent.

Damaged messages are tried twice: as they are, and signed again by their sender, who may be the enemy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.errors import FLError
from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.agency import make_reveal, make_shares, open_shares
from fl_tasks.secagg.errors import MalformedMessage, ProtocolError, TooFewAgencies
from fl_tasks.secagg.heads import Head
from fl_tasks.secagg.messages import Burnt, Close, Reveal, RoundModel, Shares, Upload
from fl_tasks.secagg.session import ClosedSet, check_close, list_hash, manifest_hash
from fl_tasks.secagg.wire import Reader, sign
from tests.secagg import make_vectors
from tests.secagg.flow import Flow
from tests.secagg.mutation import damaged, most_for, peak_of

ROUND, WORDS = 2, 8
# The message that is damaged: agency 2's, or the coordinator's.
NAMES = {
    "keys": "setup/keys/agency_002",
    "list": names.LIST,
    "shares": "setup/shares/agency_002/agency_000",
    "ready": "setup/ready/agency_002",
    "close": names.CLOSE,
    "model": f"r/{ROUND}/model",
    "upload": f"r/{ROUND}/up/agency_002",
    "manifest": f"r/{ROUND}/manifest",
    "burnt": "r/1/burnt",
    "ack": f"r/{ROUND}/ack/agency_002",
    "reveal": f"r/{ROUND}/reveal/agency_002",
    "head": "head/agency_002/1",
}
KINDS = sorted(NAMES)


@functools.cache
def _session() -> tuple[Flow, ClosedSet]:
    """The frozen session of four agencies, with every party's secrets."""
    frozen = json.loads((make_vectors.FOLDER / "session-4.json").read_text(encoding="utf-8"))
    flow = make_vectors.flow_of(frozen["inputs"])
    flow.store = {name: bytes.fromhex(data) for name, data in frozen["values"]["messages"].items()}
    flow.store[NAMES["head"]] = Head(flow.session, 2, 1, b"h" * 32).encode(flow.signing[2])
    for i, agency in enumerate(frozen["inputs"]["agencies"]):
        drawn = dict(make_vectors.drawn_by(agency))
        with drawn["keys"].instead_of_chance():
            flow.keys(i)
        with drawn["shares"].instead_of_chance():
            flow.shares(i)
    for i in range(4):
        flow.ready(i)
    return flow, flow.close()


def _parser(kind: str) -> Callable[[bytes], object]:
    flow, closed = _session()
    setting, head = flow.setting, lambda _: flow.setting.coordinator_key
    return {
        "keys": setting.read_keys,
        "list": setting.read_list,
        "shares": lambda data: Shares.decode(data, lambda m: setting.member_key(m.dealer), flow.roster.r_max),
        "ready": lambda data: setting.read_ready(data, list_hash(flow.store[names.LIST])),
        "close": lambda data: Close.decode(data, head, setting.n),
        "model": lambda data: RoundModel.decode(data, head, 0),
        "upload": lambda data: Upload.decode(data, closed.member, 4 * WORDS),
        "manifest": lambda data: closed.read_manifest(data, ROUND),
        "burnt": lambda data: Burnt.decode(data, head, 0),
        "ack": closed.read_ack,
        "reveal": lambda data: Reveal.decode(data, lambda m: closed.member(m.sender), len(closed.ids)),
        "head": lambda data: Head.decode(data, lambda m: setting.member_key(m.sender), 0),
    }[kind]


def _with(kind: str, data: bytes) -> Flow:
    flow, _ = _session()
    return dataclasses.replace(flow, store=flow.store | {NAMES[kind]: data})


def _deal(flow: Flow, listed: bytes, files: dict[int, bytes]) -> object:
    own = flow.store["setup/keys/agency_000"]
    return make_shares(flow.party(0), listed, files, own, flow.encryption[0], flow.secrets[0])


def _list_and_deal(data: bytes) -> object:
    flow = _with("keys", data)
    flow.list_keys()
    return _deal(flow, flow.store[names.LIST], flow.key_files())


def _open(data: bytes) -> object:
    flow = _with("shares", data)
    listed, files = flow.store[names.LIST], flow.key_files()
    return open_shares(flow.party(0), listed, files, flow.encryption[0], flow.share_files(0), ())


def _close(data: bytes) -> object:
    flow = _with("ready", data)
    listed, files, readies = flow.store[names.LIST], flow.key_files(), flow.files("setup/ready")
    return coordinator.make_close(flow.setting, flow.coordinator_key, listed, files, readies)


def _manifest(data: bytes) -> object:
    flow, closed = _with("upload", data), _session()[1]
    header = closed.read_manifest(flow.store[names.manifest(ROUND)], ROUND).header
    return coordinator.make_manifest(closed, flow.coordinator_key, header, flow.files(f"r/{ROUND}/up"), WORDS)


def _reveal(data: bytes) -> object:
    flow, closed = _with("ack", data), _session()[1]
    signed = flow.store[names.manifest(ROUND)]
    held = {dealer: shares[ROUND - 1] for dealer, shares in flow.held[0].items()}
    acks = flow.files(f"r/{ROUND}/ack")
    return make_reveal(flow.party(0), closed, closed.read_manifest(signed, ROUND), signed, acks, held)


def _unmask(kind: str, data: bytes) -> object:
    flow, closed = _with(kind, data), _session()[1]
    signed = flow.store[names.manifest(ROUND)]
    manifest = closed.read_manifest(signed, ROUND)
    uploads, reveals = flow.files(f"r/{ROUND}/up"), flow.files(f"r/{ROUND}/reveal")
    return coordinator.unmask(closed, manifest, manifest_hash(signed), uploads, reveals, WORDS)


def _check(data: bytes) -> object:
    flow, _ = _session()
    return check_close(flow.setting, flow.store[names.LIST], data, flow.key_files(), flow.files("setup/ready"))


def _step(kind: str, data: bytes) -> object:
    """The step that reads this message, with everything else as it should be."""
    steps: dict[str, Callable[[bytes], object]] = {
        "keys": _list_and_deal,
        "list": lambda data: _deal(_session()[0], data, _session()[0].files("setup/keys")),
        "shares": _open,
        "ready": _close,
        "close": _check,
        "upload": _manifest,
        "ack": _reveal,
        "manifest": lambda data: _unmask("manifest", data),
        "reveal": lambda data: _unmask("reveal", data),
    }
    return steps.get(kind, _parser(kind))(data)


def _signed_again(kind: str, data: bytes) -> bytes:
    """The message as its own sender would sign it."""
    flow, _ = _session()
    by_head = kind in ("list", "close", "model", "manifest", "burnt")
    key: Ed25519PrivateKey = flow.coordinator_key if by_head else flow.signing[2]
    if kind == "upload":
        return data[:92] + sign(key, kind, data[6:92], hashlib.sha256(data[156:]).digest()) + data[156:]
    return data[:-64] + sign(key, kind, data[:-64])


def test_the_undamaged_messages_pass():
    for kind in KINDS:
        data = _session()[0].store[NAMES[kind]]
        assert _signed_again(kind, data) == data
        _parser(kind)(data)
        _step(kind, data)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_message_is_refused_by_name(kind, data):
    good = _session()[0].store[NAMES[kind]]
    bad = data.draw(damaged(good))
    if bad != good:
        with pytest.raises(ProtocolError):
            _parser(kind)(bad)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_message_that_its_sender_signed_stops_no_step_but_by_name(kind, data):
    good = _session()[0].store[NAMES[kind]]
    bad = _signed_again(kind, data.draw(damaged(good)))
    with contextlib.suppress(FLError):
        _step(kind, bad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [-33, -1, 1, 33])
def test_a_message_of_another_length_is_refused_though_its_sender_signed_it(kind, change):
    """One byte, or not quite an entry: whatever a list would make of it."""
    good = _session()[0].store[NAMES[kind]]
    end = len(good) if kind == "upload" else len(good) - 64
    fields = good[:end]
    fields = fields + bytes(change) if change > 0 else fields[:change]
    # How many shares a reveal needs is known only to the step, which is left with two of three.
    read = functools.partial(_unmask, kind) if kind == "reveal" else _parser(kind)
    with pytest.raises(TooFewAgencies if kind == "reveal" else MalformedMessage):
        read(_signed_again(kind, fields + good[end:]))


# Where the list of each message starts, and what one entry takes.
LISTS = {"list": (22, 34), "ready": (56, 34), "close": (54, 66), "manifest": (90, 98)}


@pytest.mark.parametrize("kind", sorted(LISTS))
@pytest.mark.parametrize("order", ["twice", "swapped", "more than the roster"])
def test_a_list_that_is_not_ascending_and_whole_is_refused_though_its_sender_signed_it(kind, order):
    good = _session()[0].store[NAMES[kind]]
    start, size = LISTS[kind]
    entries = [good[at : at + size] for at in range(start, len(good) - 64, size)]
    changed = {
        "twice": [*entries[:1], *entries],
        "swapped": [entries[1], entries[0], *entries[2:]],
        "more than the roster": [i.to_bytes(2, "big") + entries[0][2:] for i in range(5)],
    }[order]
    with pytest.raises(MalformedMessage):
        _parser(kind)(_signed_again(kind, good[:start] + b"".join(changed) + good[-64:]))


@pytest.mark.parametrize("kind", ["keys", "shares", "ready", "upload"])
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_bad_message_of_one_agency_stops_nobody_else(kind, data):
    """t others are there: the step leaves it out and goes on."""
    good = _session()[0].store[NAMES[kind]]
    bad = data.draw(damaged(good))
    _step(kind, bad)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_parser_allocates_more_than_the_message_justifies(kind, data):
    good = _session()[0].store[NAMES[kind]]
    parse = _parser(kind)
    parse(good)
    bad = data.draw(st.one_of(damaged(good), st.binary(max_size=600), st.just(good + bytes(2**20))))
    for message in (bad, _signed_again(kind, bad)):
        assert peak_of(parse, message) <= most_for(message)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=700))
def test_arbitrary_bytes_are_refused_by_name(kind, noise):
    start = _session()[0].store[NAMES[kind]][:6]
    for data in (noise, start + noise, _signed_again(kind, start + noise)):
        with contextlib.suppress(ProtocolError):
            _parser(kind)(data)


def test_a_reader_never_gives_less_than_was_asked():
    reader = Reader(b"abc", "x")
    assert (reader.take(2), reader.left) == (b"ab", 1)
    with pytest.raises(MalformedMessage, match="message x: 3 bytes end inside a field"):
        reader.take(2)
