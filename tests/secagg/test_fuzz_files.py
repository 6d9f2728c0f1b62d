"""Damaged files and records: refused by name, and never more memory than they hold.

Records come from outside and are signed; journal, head and vault are an agency's own files on a disk that fails, or
that somebody restored.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.base import Contract, canonical_json
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.roster import CheckBody, CohortBody
from fl_tasks.secagg.agency import HeldShares, RoundSecret
from fl_tasks.secagg.errors import BadSignature, JournalBroken, KeysGone, MalformedMessage
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.records import read_record, sign_record
from fl_tasks.secagg.vault import Vault
from fl_tasks.secagg.wire import sign
from fl_tasks.stages.context import load_roster
from tests.secagg.federation import secagg_config
from tests.secagg.flow import roster_of
from tests.secagg.mutation import MEMORY, damaged, most_for, peak_of

SIGNING = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = SIGNING.public_key().public_bytes_raw()
DAY = dt.datetime(2012, 3, 1, tzinfo=dt.UTC)


# ---- signed records and the roster: JSON

MODEL = {
    "scenario": "traffic",
    "learning": {
        "model": "mlp",
        "units": 4,
        "local_epochs": 1,
        "batch_size": 8,
        "client_optimizer": {"name": "adam", "learning_rate": 0.1},
        "server_optimizer": {"name": "adam", "learning_rate": 0.1},
        "seed": 1,
    },
    "input_shape": [4, 1],
    "output_shape": [2],
    "step_minutes": 15,
    "calendar": [],
}
RECORDS: dict[str, tuple[type[Contract], dict]] = {
    "cohort": (
        CohortBody,
        {
            "schema": 1,
            "session": "ab" * 16,
            "run_id": "traffic__1",
            "scenario": "traffic",
            "data_interval": [DAY.isoformat(), DAY.isoformat()],
            "agencies": ["a", "b", "c"],
            "excluded": {"d": "away"},
            "roster_sha256": "0" * 64,
            "config_sha256": "1" * 64,
            "rounds": 3,
            "parameters": 10,
            "model_sha256": "2" * 64,
            "champion_sha256": None,
            "not_after": DAY.isoformat(),
        },
    ),
    "check": (CheckBody, {"run_id": "traffic__1", "agency": "a", "passed": True, "reason": ""}),
    "champion": (
        ChampionBody,
        {
            "schema": 1,
            "number": 1,
            "action": "promote",
            "scenario": "traffic",
            "version": 1,
            "model_sha256": "3" * 64,
            "model": MODEL,
            "run_id": "traffic__1",
            "data_interval": [DAY.isoformat(), DAY.isoformat()],
            "decided_at": DAY.isoformat(),
        },
    ),
}
LABELS = sorted(RECORDS)
# What a JSON reader may let pass and a canonical form does not have, or what a deep or long value does to a reader.
TOKENS = ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 3000, '{"a":' * 300, '"\\ud800"', "-0", "1e-400", "null"]


def _record(label: str) -> bytes:
    kind, body = RECORDS[label]
    return sign_record(SIGNING, label, kind.model_validate_json(json.dumps(body)))


@st.composite
def _damaged_json(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes damaged anywhere, or one value replaced by a token."""
    if draw(st.booleans()):
        return draw(damaged(data))
    starts = [at for at in range(len(data)) if data[at : at + 1] == b":"]
    at = draw(st.sampled_from(starts)) + 1
    end = at + draw(st.integers(0, 40))
    return data[:at] + draw(st.sampled_from(TOKENS)).encode() + data[end:]


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("label", LABELS)
def test_the_undamaged_records_pass(label):
    kind, _ = RECORDS[label]
    assert isinstance(read_record(_record(label), PUBLIC, label, kind), kind)


@pytest.mark.parametrize("label", LABELS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_record_is_refused_by_name(label, data):
    good = _record(label)
    bad = data.draw(_damaged_json(good))
    kind, _ = RECORDS[label]
    try:
        # What is read after all says what was signed: white space or a key that stands twice change nothing.
        assert read_record(bad, PUBLIC, label, kind) == read_record(good, PUBLIC, label, kind)
    except (MalformedMessage, BadSignature):
        assert bad != good


@pytest.mark.parametrize("token", TOKENS)
def test_a_record_with_what_canonical_json_lacks_is_refused_by_name(token):
    kind, _ = RECORDS["check"]
    data = b'{"body":{"reason":%s},"signature":"%s"}' % (token.encode(), b"0" * 128)
    with pytest.raises((MalformedMessage, BadSignature)):
        read_record(data, PUBLIC, "check", kind)
    assert peak_of(lambda data: read_record(data, PUBLIC, "check", kind), data) <= most_for(data)


@pytest.mark.parametrize("label", LABELS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_record_that_its_sender_signed_is_refused_by_name(label, data):
    kind, body = RECORDS[label]
    field = data.draw(st.sampled_from(sorted(body)) | st.text(max_size=8))
    changed = body | {field: data.draw(_json_values)}
    try:
        signed = canonical_json(changed)
    except ValueError:  # NaN: no canonical form, so nothing that could be signed
        signed = b"{}"
    text = json.dumps({"body": changed, "signature": sign(SIGNING, label, signed).hex()}).encode()
    with contextlib.suppress(MalformedMessage, BadSignature):
        assert isinstance(read_record(text, PUBLIC, label, kind), kind)


ROSTER = json.dumps(roster_of(4, 2, secagg_config(4))[0].model_dump(mode="json", by_alias=True)).encode()


@settings(max_examples=150, deadline=None)
@given(_damaged_json(ROSTER))
def test_a_damaged_roster_is_refused_by_name(data):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "approved" / "test.json"
        path.parent.mkdir()
        path.write_bytes(data)
        with contextlib.suppress(FLError):
            assert load_roster(Path(folder), "test").sha256


# ---- an agency's own files


@functools.cache
def _journal() -> tuple[bytes, bytes]:
    """A journal of four entries and its head."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path, head = Path(folder) / "journal.jsonl", Path(folder) / "head" / "head.json"
        with open_journal(path, head) as journal:
            journal.append("session", "ab" * 16, run_id="run", not_after=DAY.isoformat())
            journal.append("close", "ab" * 16, value="00" * 32)
            journal.append("sent", "ab" * 16, step="up-1", files={"r/1/up/a": "11" * 32})
            journal.append("manifest", "ab" * 16, value="22" * 32, round=1)
        return path.read_bytes(), head.read_bytes()


def _open_damaged(journal: bytes, head: bytes, new_session: str | None = None) -> int:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path, second = Path(folder) / "journal.jsonl", Path(folder) / "head" / "head.json"
        second.parent.mkdir()
        path.write_bytes(journal)
        second.write_bytes(head)
        with open_journal(path, second, new_session=new_session) as opened:
            return len(opened.find("session"))


JSON_LINES = st.one_of(
    st.binary(max_size=120),
    _json_values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(TOKENS).map(lambda token: token.encode()),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("n", "prev", "kind", "session", "facts", "head"), _json_values)
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_journal_is_refused_by_name(data):
    journal, head = _journal()
    damage = st.one_of(damaged(journal), JSON_LINES.map(lambda line: line + b"\n" + journal))
    with contextlib.suppress(JournalBroken):
        _open_damaged(data.draw(damage), head)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_head_is_refused_by_name(data):
    journal, head = _journal()
    with contextlib.suppress(JournalBroken):
        _open_damaged(journal, data.draw(st.one_of(damaged(head), JSON_LINES)))


@pytest.mark.parametrize("count", [-10, -1, 0, 3, 5, 10**30, 1.0, True, None])
def test_a_head_that_counts_other_entries_is_refused_by_name(count):
    journal, head = _journal()
    with pytest.raises(JournalBroken):
        _open_damaged(journal, json.dumps(json.loads(head) | {"n": count}).encode())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_new_session_starts_whatever_became_of_journal_and_head(data):
    journal, head = _journal()
    _open_damaged(data.draw(damaged(journal)), data.draw(st.one_of(damaged(head), JSON_LINES)), new_session="cd" * 16)


SHARES = [HeldShares(bytes([i]) * 33, bytes([i + 1]) * 33) for i in range(2)]
VAULT_READS: dict[str, Callable[[Vault], object]] = {
    "encryption.key": lambda vault: X25519PrivateKey.from_private_bytes(vault.encryption_key),
    "round-1.secret": lambda vault: (X25519PrivateKey.from_private_bytes(vault.round_secret(1).k), vault.held(1)),
    "round-1.held": lambda vault: vault.held(1),
    "own.shares": lambda vault: vault.put_held({0: vault.own_shares}, 1),
}


@pytest.mark.parametrize("name", sorted(VAULT_READS))
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_secret_file_is_refused_by_name(name, data):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        vault = Vault(Path(folder) / "session")
        vault.put_setup(b"e" * 32, [RoundSecret(b"k" * 32, b"b" * 32)])
        vault.put_own_shares(SHARES[:1])
        vault.put_held({0: SHARES[:1], 2: SHARES[1:]}, 1)
        path = Path(folder) / "session" / name
        VAULT_READS[name](vault)
        path.write_bytes(data.draw(damaged(path.read_bytes())))
        with contextlib.suppress(JournalBroken, KeysGone):
            VAULT_READS[name](vault)


@settings(max_examples=60, deadline=None)
@given(damaged(DAY.isoformat().encode()))
def test_a_session_whose_end_cannot_be_read_any_more_is_deleted_and_stops_no_other(date):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        damaged_one, other = Vault(Path(folder) / "a"), Vault(Path(folder) / "b")
        for vault in (damaged_one, other):
            vault.keep_until(DAY)
            vault.put_message("x", b"x")
        (Path(folder) / "a" / "not_after").write_bytes(date)
        other.forget_expired(DAY)
        assert other.message("x") == b"x"
        try:
            expected = dt.datetime.fromisoformat(date.decode()) >= DAY
        except (ValueError, TypeError):
            expected = False
        assert (Path(folder) / "a").exists() == expected


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13, 27])
def test_held_shares_that_were_cut_short_are_refused_by_name(size):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        vault = Vault(Path(folder))
        vault.put_setup(b"e" * 32, [RoundSecret(b"k" * 32, b"b" * 32)])
        vault.put_held({0: SHARES[:1]}, 1)
        path = Path(folder) / "round-1.held"
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(JournalBroken):
            vault.held(1)
