"""What an agency refuses or repeats, each time as a new process that knows only its folder."""

from __future__ import annotations

import datetime as dt
import shutil

import numpy as np
import pytest

from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.errors import (
    BadSignature,
    CloseConflict,
    DifferencingRefused,
    JournalBroken,
    JournalBusy,
    KeysGone,
    ManifestConflict,
    ModelMismatch,
    NotAcknowledged,
    RoundClosed,
    SharesWithheld,
    WrongSession,
)
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.messages import Close, Keys, Manifest, RoundModel
from fl_tasks.secagg.session import list_hash
from tests.secagg.federation import NOT_AFTER, Federation


def _train_all(federation, update, round_=1, who=range(4)):
    for i in who:
        federation.upload(i, round_, update)
    federation.manifest(round_, update.size)


def test_a_retried_train_sends_the_same_bytes_whatever_it_would_train_now(federation, update):
    first = federation.upload(0, 1, update)
    assert federation.upload(0, 1, update + np.uint32(1)) == first


def test_every_step_sends_the_same_bytes_when_its_task_is_cleared(federation, update):
    _train_all(federation, update)
    for step in (federation.ack, federation.reveal):
        for i in range(4):
            step(i, 1)
    before = dict(federation.store)
    with federation.member(0) as member:
        listed = federation.store[names.LIST]
        federation.send(member.keys())
        federation.send(member.shares(listed, federation.key_files()))
        federation.send(member.ready(listed, federation.key_files(), federation.share_files(0)))
    federation.upload(0, 1, update)
    federation.ack(0, 1)
    federation.reveal(0, 1)
    assert federation.store == before


def test_a_retry_while_the_first_attempt_lives_is_refused(federation, update):
    with federation.member(0), pytest.raises(JournalBusy), federation.member(0):
        pass


def test_an_altered_stored_message_is_not_sent_again(federation, update):
    federation.upload(0, 1, update)
    stored = federation.folder / "0" / federation.session.hex() / "messages" / names.upload(1, "agency_000")
    stored.write_bytes(stored.read_bytes()[:-1] + b"\0")
    with pytest.raises(Exception, match="altered"):
        federation.upload(0, 1, update)


def test_another_model_in_a_retried_round_is_refused(federation, update):
    federation.upload(0, 1, update)
    other = RoundModel(federation.session, 1, b"x" * 32).encode(federation.coordinator_key)
    with federation.member(0) as member, pytest.raises(ModelMismatch):
        member.upload(federation.accept_close(member), 1, other, lambda _: update)


def test_a_second_manifest_in_a_round_is_refused_after_a_restart(federation, update):
    _train_all(federation, update)
    federation.ack(0, 1)
    closed = federation.closed()
    full = closed.read_manifest(federation.store[names.manifest(1)], 1)
    smaller = Manifest(full.header, full.members[:3]).encode(federation.coordinator_key)
    with pytest.raises(ManifestConflict):
        federation.ack(0, 1, smaller)


def test_a_reveal_needs_the_own_ack_and_t_equal_acks(federation, update):
    _train_all(federation, update)
    with pytest.raises(NotAcknowledged):
        federation.reveal(0, 1)
    federation.ack(0, 1)
    federation.ack(1, 1)
    with pytest.raises(NotAcknowledged, match="2 agencies acknowledged"):
        federation.reveal(0, 1)
    federation.ack(2, 1)
    federation.reveal(0, 1)


def test_an_ack_of_a_later_round_closes_the_earlier_one(federation, update):
    _train_all(federation, update, 1)
    for i in range(4):
        federation.ack(i, 1)
    _train_all(federation, update, 2)
    federation.ack(0, 2)
    with pytest.raises(RoundClosed):
        federation.reveal(0, 1)


def test_another_survivor_set_under_one_model_is_refused_in_another_session(tmp_path, update):
    """The difference of the two sums would be one agency's update."""
    first = Federation(tmp_path, 4)
    first.set_up()
    _train_all(first, update)
    first.ack(0, 1)
    second = Federation(tmp_path, 4, session=b"s" * 16)
    second.set_up()
    _train_all(second, update, who=(0, 1, 2))
    with pytest.raises(DifferencingRefused, match="fl agency lift"):
        second.ack(0, 1)


def test_a_second_close_of_a_session_is_refused(federation, update):
    federation.upload(0, 1, update)
    listed = federation.store[names.LIST]
    members = Close.decode(federation.store[names.CLOSE], lambda _: federation.setting.coordinator_key, 4).members
    federation.store[names.CLOSE] = Close(federation.session, list_hash(listed), members[:3]).encode(
        federation.coordinator_key
    )
    with federation.member(0) as member, pytest.raises(CloseConflict):
        federation.accept_close(member)


def test_a_close_over_shares_that_were_withheld_is_refused(tmp_path):
    """Without this rule an agency would mask towards colluders only, and its vector could be recovered."""
    federation = Federation(tmp_path, 4)
    hidden = names.shares("agency_001", "agency_000")
    real_share_files = federation.share_files
    federation.share_files = lambda holder: {
        dealer: data for dealer, data in real_share_files(holder).items() if (dealer, holder) != (1, 0)
    }
    federation.set_up()
    assert hidden in federation.store
    assert federation.closed().ids == (0, 2, 3)
    listed = federation.store[names.LIST]
    readies = federation.by_id("setup/ready/")
    every = tuple(
        (i, coordinator.file_hash(federation.key_files()[i]), coordinator.file_hash(readies[i])) for i in range(4)
    )
    federation.store[names.CLOSE] = Close(federation.session, list_hash(listed), every).encode(
        federation.coordinator_key
    )
    with federation.member(0) as member, pytest.raises(SharesWithheld):
        federation.accept_close(member)


def test_an_upload_that_the_coordinator_altered_is_refused_by_every_agency(federation, update):
    _train_all(federation, update)
    closed = federation.closed()
    full = closed.read_manifest(federation.store[names.manifest(1)], 1)
    forged = (full.members[0], (1, b"h" * 32, full.members[1][2]), *full.members[2:])
    with pytest.raises(BadSignature):
        federation.ack(3, 1, Manifest(full.header, forged).encode(federation.coordinator_key))


def test_messages_of_another_session_are_refused(federation, update):
    other = RoundModel(b"o" * 16, 1, b"m" * 32).encode(federation.coordinator_key)
    with federation.member(0) as member, pytest.raises(WrongSession):
        member.upload(federation.accept_close(member), 1, other, lambda _: update)


@pytest.mark.parametrize("damage", ["missing", "shorter", "altered"])
def test_a_journal_that_was_rolled_back_refuses_its_session(federation, update, damage):
    federation.upload(0, 1, update)
    journal = federation.folder / "0" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    if damage == "missing":
        journal.unlink()
    elif damage == "shorter":
        journal.write_bytes(b"".join(lines[:-1]))
    else:
        journal.write_bytes(b"".join([lines[0].replace(b"run", b"ran"), *lines[1:]]))
    with pytest.raises(JournalBroken):
        federation.upload(0, 1, update)


def test_a_crash_in_the_middle_of_a_journal_line_loses_nothing(federation, update):
    first = federation.upload(0, 1, update)
    with (federation.folder / "0" / "journal.jsonl").open("ab") as file:
        file.write(b'{"facts":{"fi')
    assert federation.upload(0, 1, update) == first


def test_a_journal_finds_what_it_holds_in_order_before_and_after_a_restart(tmp_path):
    path, head = tmp_path / "journal.jsonl", tmp_path / "head" / "head.json"
    deeds = [(kind, session, {"round": r}) for r in (1, 2) for session in ("a", "b") for kind in ("model", "manifest")]

    def found(journal, *args, **facts):
        return [(entry.kind, entry.session, entry.facts) for entry in journal.find(*args, **facts)]

    def check(journal):
        assert found(journal, "model") == [deed for deed in deeds if deed[0] == "model"]
        assert found(journal, "manifest", "b") == [deed for deed in deeds if deed[:2] == ("manifest", "b")]
        assert found(journal, "model", "a", round=2) == [("model", "a", {"round": 2})]
        assert found(journal, "model", round=3) == found(journal, "model", "c") == found(journal, "other") == []
        assert [entry.number for entry in journal.find("model")] == [1, 3, 5, 7]

    with open_journal(path, head) as journal:
        for kind, session, facts in deeds:
            journal.append(kind, session, **facts)
        check(journal)
    with open_journal(path, head) as journal:
        check(journal)


def test_secrets_are_deleted_once_their_step_is_journaled(federation, update):
    folder = federation.folder / "0" / federation.session.hex()
    assert not (folder / "encryption.key").exists()
    assert not (folder / "own.shares").exists()
    _train_all(federation, update)
    for step in (federation.ack, federation.reveal):
        for i in range(4):
            step(i, 1)
    assert not (folder / "round-1.secret").exists()
    assert not (folder / "round-1.held").exists()
    assert (folder / "round-2.secret").exists()


def test_an_agency_outside_the_closed_set_deletes_what_it_holds(tmp_path):
    federation = Federation(tmp_path, 4)
    federation.set_up({3: "ready"})
    folder = federation.folder / "3" / federation.session.hex()
    assert (folder / "round-1.secret").exists()
    with federation.member(3) as member:
        assert 3 not in federation.accept_close(member).ids
    assert not list(folder.glob("round-*"))


def test_secrets_are_kept_a_month_at_most_whatever_the_coordinator_asks(federation):
    with federation.member(0) as member:
        [opened] = member._journal.find("session")
    end = dt.datetime.fromisoformat(opened.facts["not_after"])
    assert dt.timedelta(days=30) < end - dt.datetime.now(dt.UTC) <= dt.timedelta(days=31)
    kept = (federation.folder / "0" / federation.session.hex() / "not_after").read_text()
    assert dt.datetime.fromisoformat(kept) == end


def test_who_copies_many_agencies_keys_is_left_out_alone(tmp_path):
    federation = Federation(tmp_path, 7)
    for i in range(7):
        with federation.member(i) as member:
            member.begin("run", NOT_AFTER)
            federation.send(member.keys())
    files = federation.by_id("setup/keys/")
    keys = [federation.setting.read_keys(files[i]) for i in range(7)]
    copied = {
        "encryption_key": keys[0].encryption_key,
        "round_keys": (keys[1].round_keys[0], keys[2].round_keys[0]),
    }
    files[4] = Keys(**vars(keys[4]) | copied).encode(federation.keys[4])
    everyone = frozenset(range(7))
    data, refused = coordinator.make_list(federation.setting, federation.coordinator_key, everyone, files)
    assert list(refused) == [4]
    assert [member for member, _ in federation.setting.read_list(data).entries] == [0, 1, 2, 3, 5, 6]
    files[4] = Keys(**vars(keys[4]) | {"encryption_key": keys[0].encryption_key}).encode(federation.keys[4])
    _, refused = coordinator.make_list(federation.setting, federation.coordinator_key, everyone, files)
    assert set(refused) == {0, 4}


def test_without_its_secrets_a_round_is_refused_not_masked_anew(federation, update):
    folder = federation.folder / "0" / federation.session.hex()
    (folder / "round-1.secret").unlink()
    with pytest.raises(KeysGone):
        federation.upload(0, 1, update)


def test_secret_files_are_readable_by_the_owner_only(federation):
    folder = federation.folder / "0" / federation.session.hex()
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
