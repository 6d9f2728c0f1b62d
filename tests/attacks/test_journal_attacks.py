"""Attack 16, a journal rolled back, and rules 1 to 3: what an agency remembers across restarts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest

from fl_tasks.contracts.stage import EXIT_RETRY
from fl_tasks.secagg import journal, member, names
from fl_tasks.secagg.errors import JournalBroken, JournalBusy, JournalRolledBack, ManifestConflict, WrongSession
from fl_tasks.secagg.heads import Head
from tests.attacks.attacked import LENGTH, VICTIM, Attacked, forget_answers, vector

UPLOAD = names.upload(1, "agency_000")

# --- 16: a journal rolled back


def _copies(federation: Attacked) -> list:
    home = federation.home(VICTIM)
    return [home / "journal.jsonl", home / "head" / "head.json"]


def _save(federation: Attacked) -> None:
    """Before round 1."""
    for path in _copies(federation):
        shutil.copy(path, federation.folder / path.name)


def _roll_back(federation: Attacked, *, head: bool) -> None:
    for path in _copies(federation)[: 2 if head else 1]:
        shutil.copy(federation.folder / path.name, path)


def _other_upload_has_the_same_masks(federation: Attacked, first: bytes, second: bytes) -> None:
    """The difference of two uploads under one name is that of the two updates."""
    payloads = [
        np.frombuffer(federation.read_upload(VICTIM, data=data).payload, dtype="<u4") for data in (first, second)
    ]
    assert np.array_equal(payloads[1] - payloads[0], vector(7) - vector(VICTIM))


def test_attack_16_journal_rolled_back_shown(federation, monkeypatch):
    _save(federation)
    first = federation.upload(VICTIM, 1, vector(VICTIM))
    _roll_back(federation, head=False)
    monkeypatch.setattr(journal, "_check_head", lambda *_: None)
    federation.hide(VICTIM, UPLOAD)
    _other_upload_has_the_same_masks(federation, first, federation.upload(VICTIM, 1, vector(7)))


@pytest.mark.parametrize("damage", ["missing", "shorter", "forked", "altered"])
def test_attack_16_journal_rolled_back_refused(federation, damage):
    """A broken journal takes no entry; its open sessions are refused, start after start."""
    _save(federation)
    federation.train_all(who=(VICTIM,))
    path = _copies(federation)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "missing":
        path.unlink()
    elif damage == "shorter":
        _roll_back(federation, head=False)
    elif damage == "forked":
        other = federation.copy_to(federation.folder / "fork")
        _roll_back(other, head=True)
        other.hide(VICTIM, UPLOAD)
        other.upload(VICTIM, 1, vector(7))
        shutil.copy(_copies(other)[0], path)
    else:
        path.write_bytes(b"".join([lines[0].replace(b"run", b"ran"), *lines[1:]]))
    before = path.read_bytes() if path.exists() else None
    asked = {name: data for name, data in federation.store.items() if name != UPLOAD}
    for _ in range(2):
        for step in ("upload", "keys"):
            outcome = federation.process(VICTIM, step, asked, round_=1, update=vector(7))
            assert (outcome.exit, outcome.code, outcome.sent) == (10, JournalBroken.__name__, {})
    assert (path.read_bytes() if path.exists() else None) == before


def test_attack_16_both_copies_rolled_back_shown(federation, monkeypatch):
    _save(federation)
    first = federation.upload(VICTIM, 1, vector(VICTIM))
    _roll_back(federation, head=True)
    monkeypatch.setattr(member, "check_posted", lambda *_: None)
    posted = [data for name, data in federation.store.items() if name.startswith("head/agency_000/")]
    federation.hide(VICTIM, UPLOAD)
    with federation.member(VICTIM) as one:
        one.resume(posted)
    _other_upload_has_the_same_masks(federation, first, federation.upload(VICTIM, 1, vector(7)))


@pytest.mark.parametrize("lost", ["both rolled back", "both missing", "forked on"])
def test_attack_16_both_copies_rolled_back_refused(federation, lost):
    """The head that was posted with the upload is not in the journal."""
    _save(federation)
    federation.train_all(who=(VICTIM,))
    if lost == "both missing":
        for path in _copies(federation):
            path.unlink()
    else:
        _roll_back(federation, head=True)
    if lost == "forked on":  # until the journal is longer than what was posted
        for _ in range(10):
            with federation.member(VICTIM) as one, pytest.raises(WrongSession), one.refusals("start"):
                raise WrongSession
    asked = {name: data for name, data in federation.store.items() if name != UPLOAD}
    for step, label in (("upload", "upload-1"), ("ack", "ack-1"), ("keys", "keys-1")):
        outcome = federation.process(VICTIM, step, asked, round_=1, update=vector(7))
        outcome.must_refuse(label, JournalRolledBack)


def test_attack_16_a_head_that_another_forged_stops_nobody(federation):
    """Only its own signature, of this session, counts: else anyone could stop an agency."""
    own = federation.setting.session
    forged = [
        Head(own, VICTIM, 99, bytes(32)).encode(federation.coordinator_key),
        Head(b"o" * 16, VICTIM, 99, bytes(32)).encode(federation.keys[VICTIM]),
        b"no head",
    ]
    view = {**federation.store, **{names.head("agency_000", 90 + i): data for i, data in enumerate(forged)}}
    assert federation.process(VICTIM, "start", view).exit == 0
    real = Head(own, VICTIM, 99, bytes(32)).encode(federation.keys[VICTIM])
    federation.process(VICTIM, "start", {**view, names.head("agency_000", 99): real}).must_refuse(
        "start", JournalRolledBack
    )


# --- rule 1: nothing under one name ever differs; one lock a journal


def test_rule_01_two_attempts_at_once_shown(federation, monkeypatch):
    """Without the lock a retry beside the living first attempt masks another update with the same masks."""
    monkeypatch.setattr(journal, "hold_journal", lambda _: nullcontext())
    uploads = []
    with federation.member(VICTIM) as first, federation.member(VICTIM) as second:
        for one, update in ((first, vector(VICTIM)), (second, vector(7))):
            closed = federation.accept_close(one)
            outbox = one.upload(closed, 1, federation.model_message(1), lambda _, update=update: update)
            uploads.append(outbox[UPLOAD])
    _other_upload_has_the_same_masks(federation, *uploads)


def test_rule_01_two_attempts_at_once_refused(federation):
    """It is tried again: the first attempt will end. A refusal for now is no journal's business."""
    federation.store[names.model(1)] = federation.model_message(1)
    with federation.member(VICTIM):
        outcome = federation.process(VICTIM, "upload", round_=1, update=vector(7))
    assert (outcome.exit, outcome.code, outcome.sent) == (EXIT_RETRY, JournalBusy.__name__, {})
    assert outcome.refusals == []
    assert federation.process(VICTIM, "upload", round_=1, update=vector(7)).exit == 0


def test_rule_01_a_message_is_journaled_before_it_is_sent(federation):
    """A crash after the journal entry: the next start sends what the entry names. And its head goes first."""
    with federation.member(VICTIM) as one:  # never sent
        closed = federation.accept_close(one)
        outbox = one.upload(closed, 1, federation.model_message(1), lambda _: vector(VICTIM))
    federation.store[names.model(1)] = federation.model_message(1)
    entry = federation.journal(VICTIM)[-1]
    assert list(outbox) == [names.head("agency_000", entry["n"] + 1), UPLOAD]
    assert federation.process(VICTIM, "upload", round_=1, update=vector(7)).sent == outbox


@pytest.mark.parametrize("step", ["keys", "shares", "ready", "upload-1", "ack-1", "reveal-1"])
def test_rule_01_a_cleared_task_of_any_step_sends_the_same_bytes(federation, step):
    federation.train_all()
    federation.manifest(1, LENGTH)
    federation.open_round()
    name, _, round_ = step.partition("-")
    own = next(e for e in federation.journal(1) if e["facts"].get("step") == step.replace("upload", "up"))
    files = own["facts"]["files"]
    before = {name: data for name, data in federation.store.items() if name not in files}
    outcome = federation.process(1, name, before, round_=int(round_) if round_ else None, update=vector(7))
    assert outcome.sent == {name: federation.store[name] for name in files}


# --- rule 2: one manifest a round, across restarts


def test_rule_02_one_manifest_a_round_shown(federation, monkeypatch):
    """An agency that forgets says of two manifests that it saw no other: 4 acks each, where only one may have t."""
    federation.train_all()
    acks = {}
    for ids in ((0, 1, 2, 3), (1, 2, 3)):
        manifest = federation.manifest_of(ids)
        for i, name in enumerate(federation.roster.names):
            with federation.member(i) as one:
                acks[ids, i] = one.ack(federation.closed(), 1, manifest)[names.ack(1, name)]
        forget_answers(monkeypatch, federation)
    assert len(set(acks.values())) == 8


def test_rule_02_one_manifest_a_round_refused(federation):
    federation.train_all()
    federation.manifest(1, LENGTH)
    assert federation.process(1, "ack", round_=1).exit == 0
    asked = {**federation.store, names.manifest(1): federation.manifest_of((1, 2, 3))}
    federation.process(1, "ack", asked, round_=1).must_refuse("ack-1", ManifestConflict)


# --- rule 3: the head is posted with every message; a broken journal ends its sessions


def test_rule_03_a_broken_journal_refuses_its_sessions_until_a_new_one_starts(federation):
    federation.train_all(who=(VICTIM,))
    path = _copies(federation)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    outcome = federation.process(VICTIM, "upload", round_=1, update=vector(7))
    assert (outcome.exit, outcome.code) == (10, JournalBroken.__name__)

    new = dataclasses.replace(federation, session=b"n" * 16, store={})
    assert new.process(VICTIM, "keys").exit == 0
    # The old one stays closed, with its posted heads and without.
    outcome = federation.process(VICTIM, "upload", round_=1, update=vector(7))
    outcome.must_refuse("upload-1", JournalRolledBack)
    federation.hide(VICTIM)
    federation.process(VICTIM, "upload", round_=1, update=vector(7)).must_refuse("upload-1", WrongSession)


def test_rule_03_every_message_comes_with_the_journals_head(federation):
    federation.train_all()
    federation.manifest(1, LENGTH)
    federation.open_round()
    for i, name in enumerate(federation.roster.names):
        lines = federation.home(i).joinpath("journal.jsonl").read_bytes().splitlines()
        expected = {
            names.head(name, number): Head(federation.session, i, number, hashlib.sha256(line).digest())
            for number, line in enumerate(lines, start=1)
            if json.loads(line)["kind"] == "sent"
        }
        posted = {key: data for key, data in federation.store.items() if key.startswith(f"head/{name}/")}
        assert len(posted) == 6
        public = federation.setting.member_key(i)
        assert {name: Head.decode(data, lambda _, key=public: key, 0) for name, data in posted.items()} == expected
