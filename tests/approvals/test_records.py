"""An officer's records are written once, signed, and each kind is read as that kind alone."""

from __future__ import annotations

import datetime as dt
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.approvals.errors import RecordAltered, RecordConflict
from fl_tasks.approvals.places import record_path
from fl_tasks.approvals.records import decisions_on, find_record, read_records, write_record
from fl_tasks.contracts.plan import Decision, Revocation, Standing
from tests.approvals.site import AGENCY, MARCH, NOW

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
DAY = dt.timedelta(days=1)


def decision(number, **changes):
    body = {"agency": AGENCY, "verdict": "approved", "run_id": MARCH, "plan_sha256": "0" * 64, "job": MARCH}
    span = {"interval_end": NOW, "at": NOW, "not_after": NOW + DAY}
    return Decision(id=f"{number:032x}", files={}, **{**body, **span, **changes})


def standing(number):
    span = {"interval_end": NOW, "at": NOW, "not_after": NOW + DAY, "max_runs": 1}
    return Standing(id=f"{number:032x}", agency=AGENCY, terms_sha256="0" * 64, first_run=MARCH, **span)


def revocation(number):
    return Revocation(id=f"{number:032x}", agency=AGENCY, at=NOW)


@pytest.mark.parametrize("make", [decision, standing, revocation])
def test_a_record_is_read_as_it_was_written(tmp_path, make):
    for number in (2, 1):
        write_record(tmp_path, KEY, make(number))
    kind = type(make(1))
    assert read_records(tmp_path, kind, PUBLIC) == [make(1), make(2)]
    assert find_record(tmp_path, kind, make(2).id, PUBLIC) == make(2)
    assert find_record(tmp_path, kind, make(3).id, PUBLIC) is None


def test_the_same_record_may_be_written_again_and_another_one_of_its_id_may_not(tmp_path):
    path = write_record(tmp_path, KEY, decision(1))
    assert write_record(tmp_path, KEY, decision(1)) == path
    with pytest.raises(RecordConflict, match="never changed"):
        write_record(tmp_path, KEY, decision(1, verdict="rejected"))
    assert read_records(tmp_path, Decision, PUBLIC) == [decision(1)]


def test_records_are_ordered_by_their_time(tmp_path):
    for number, days in ((1, 2), (2, 1)):
        write_record(tmp_path, KEY, revocation(number).model_copy(update={"at": NOW + days * DAY}))
    assert [record.id[-1] for record in read_records(tmp_path, Revocation, PUBLIC)] == ["2", "1"]


def test_everyone_may_read_records_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        path = write_record(tmp_path, KEY, decision(1))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert {place.stat().st_mode & 0o777 for place in path.parents[:2]} == {0o755}


def test_a_record_of_one_kind_is_none_of_another(tmp_path):
    path = write_record(tmp_path, KEY, revocation(1))
    other = record_path(tmp_path, "standing", revocation(1).id)
    other.parent.mkdir()
    path.rename(other)
    with pytest.raises(RecordAltered):
        find_record(tmp_path, Standing, revocation(1).id, PUBLIC)


def test_a_record_under_another_ones_name_is_refused(tmp_path):
    path = write_record(tmp_path, KEY, decision(1))
    path.rename(path.with_name(f"{decision(2).id}.json"))
    for read in (lambda: read_records(tmp_path, Decision, PUBLIC), lambda: decisions_on(tmp_path, MARCH, PUBLIC)):
        with pytest.raises(RecordAltered, match="holds the record"):
            read()


def test_every_byte_of_a_record_counts(tmp_path):
    path = write_record(tmp_path, KEY, revocation(1))
    data = path.read_bytes()
    for altered in (data + b"\n", b" " + data, data.replace(b":", b": ", 1), data[:-1]):
        path.write_bytes(altered)
        with pytest.raises(RecordAltered):
            read_records(tmp_path, Revocation, PUBLIC)


def test_a_damaged_record_of_another_run_is_passed_over_and_one_of_unknown_run_is_not(tmp_path):
    write_record(tmp_path, KEY, decision(1))
    other = write_record(tmp_path, Ed25519PrivateKey.generate(), decision(2, run_id=f"{MARCH}x"))
    assert decisions_on(tmp_path, MARCH, PUBLIC) == [decision(1)]
    with pytest.raises(RecordAltered):
        read_records(tmp_path, Decision, PUBLIC)
    for damage in (b"{}", b"[]", b"\xff", b'{"body": {"run_id": 3}}'):
        other.write_bytes(damage)
        with pytest.raises(RecordAltered):
            decisions_on(tmp_path, MARCH, PUBLIC)


def test_half_a_write_is_no_record(tmp_path):
    path = write_record(tmp_path, KEY, decision(1))
    path.with_name(f".{decision(2).id}.json.tmp").write_bytes(b"{")
    (path.parent / ".x.json").write_bytes(b"{")
    assert read_records(tmp_path, Decision, PUBLIC) == [decision(1)]


def test_a_folder_in_a_records_place_is_refused_with_what_to_do(tmp_path):
    record_path(tmp_path, "revoked", revocation(1).id).mkdir(parents=True)
    with pytest.raises(RecordAltered, match="must be able to read"):
        find_record(tmp_path, Revocation, revocation(1).id, PUBLIC)
