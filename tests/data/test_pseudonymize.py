"""Pseudonyms: the same within a run, never across runs or agencies; identifiers that nobody declared are found."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.data.pseudonymize import agency_secret, looks_like, normalise, pseudonyms, run_key

SECRET = bytes(range(32))
KEY = run_key(SECRET, "traffic", "traffic__june")
PLATE = "京A12345"
# Examples that are printed everywhere, with a right check digit.
RESIDENT = "11010519491231002X"
CREDIT = "91350100M000100Y43"


def test_every_way_of_writing_a_plate_has_one_pseudonym():
    # Middle dots of three scripts, a hyphen, an en dash, spaces, full width, lower case, a zero-width space.
    ways = [PLATE, "京A·12345", "京A・12345", "京A•12345", "京A-12345", "京A\u201312345", " 京 A 12345 "]
    ways += ["京\uff21\uff11\uff12\uff13\uff14\uff15", "京a12345", "京A\u200b12345", "京A\u300012345"]
    assert len(set(pseudonyms(ways, KEY))) == 1
    assert normalise(ways[7]) == PLATE
    assert len(set(pseudonyms([PLATE, "京A12346", "津A12345"], KEY))) == 3


def test_a_pseudonym_is_an_hmac_of_the_normal_form():
    assert pseudonyms(["京a 12345"], KEY) == [hmac.new(KEY, PLATE.encode(), hashlib.sha256).hexdigest()]


def test_pseudonyms_of_two_runs_scenarios_or_agencies_do_not_link():
    keys = [
        KEY,
        run_key(SECRET, "traffic", "traffic__july"),
        run_key(SECRET, "traffic_districts", "traffic__june"),
        run_key(SECRET, "traffi", "ctraffic__june"),
        run_key(bytes(32), "traffic", "traffic__june"),
    ]
    assert len({pseudonyms([PLATE], key)[0] for key in keys}) == len(keys)
    assert run_key(SECRET, "traffic", "traffic__june") == KEY


def test_what_is_missing_stays_missing():
    assert pseudonyms(["", "  ", "NA", "null", " - "], KEY) == [""] * 5


@example("C\u00b8")  # a cedilla that stands alone is, by NFKC, a space and one that does not
@given(st.text())
def test_a_normal_form_is_its_own_normal_form(text):
    assert normalise(normalise(text)) == normalise(text)


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "keys" / "pseudonym.key"
    found = []
    makers = [threading.Thread(target=lambda: found.append(agency_secret(path))) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(found) == 8
    assert set(found) == {path.read_bytes()}
    assert len(path.read_bytes()) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert agency_secret(tmp_path / "other" / "pseudonym.key") != found[0]


def test_a_secret_that_another_stage_made_in_between_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "pseudonym.key"

    def overtaken(size):
        path.write_bytes(SECRET)
        path.chmod(0o600)
        return os.urandom(size)

    monkeypatch.setattr("fl_tasks.data.pseudonymize.secrets.token_bytes", overtaken)
    assert agency_secret(path) == path.read_bytes() == SECRET
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_that_is_damaged_or_open_to_others_is_refused(tmp_path):
    path = tmp_path / "pseudonym.key"
    secret = agency_secret(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        agency_secret(path)
    path.chmod(0o600)
    path.write_bytes(secret[:-1])
    with pytest.raises(ConfigError, match="31 bytes, 32 are needed"):
        agency_secret(path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (PLATE, "a vehicle's plate"),
        ("粤B·D12345 passed twice", "a vehicle's plate"),  # new energy, small
        ("沪A12345F", "a vehicle's plate"),  # new energy, large
        ("粤Z1234港", "a vehicle's plate"),
        ("seen: 川\uff21 1A2B3, lane 2", "a vehicle's plate"),
        ("13812345678", "a mobile number"),
        ("call +86 138-1234-5678", "a mobile number"),
        ("\uff11\uff13\uff18\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", "a mobile number"),
        (RESIDENT, "a resident id"),
        ("id 11010519491231002x", "a resident id"),
        (CREDIT, "a unified social credit code"),
        (f"of {CREDIT} or others", "a unified social credit code"),
        ("lane 2 13812345678 3", "a mobile number"),
        (f"7 {RESIDENT} 7", "a resident id"),
    ],
)
def test_identifiers_are_found_amid_other_text(text, kind):
    assert looks_like(["lane 1", text, ""]) == kind


@pytest.mark.parametrize(
    "text",
    [
        "773869",
        "lane_1",
        "zone 17",
        "I-94 westbound",
        "2018-06-01 00:05:00",
        "京津高速",
        "110105194912310021",  # a resident id's form, its check digit is wrong
        "110105194913310025",  # there is no 13th month
        "91350100M000100Y44",  # a credit code's form, its check digit is wrong
        "12812345678",
        "138123456789",
        "",
    ],
)
def test_names_of_sensors_roads_and_times_are_no_identifiers(text):
    assert looks_like([text, text]) is None


def test_two_harmless_texts_are_not_read_as_one():
    assert looks_like(["138123", "45678"]) is None
