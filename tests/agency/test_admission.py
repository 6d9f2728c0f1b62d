"""The coordinator's commands: let in is an agency whose card its operator vouches for, no longer than wanted."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from fl_tasks.exchange.admitted import admit as let_in
from fl_tasks.exchange.admitted import admitted, jwks_path
from fl_tasks.stages.enrol import init_agency, load_card
from tests.attacks.agency_site import AGENCIES, AGENCY, SCENARIO
from tests.exchange.federated_server import now


def card(host) -> tuple[str, str]:
    path, fingerprint = host.done("card").out.split()
    return path, fingerprint


def test_nobody_is_admitted_without_the_fingerprint_that_its_operator_told(coordinator, joined):
    path, fingerprint = card(joined)
    asked = coordinator.fl("coordinator", "admit", path)
    assert asked.code == 10
    assert f"card of {AGENCY}, fingerprint {fingerprint}" in asked.out
    assert f"ask the operator of {AGENCY}, by another way than the card took" in asked.error
    other = coordinator.fl("coordinator", "admit", path, "--fingerprint", "0" * 64)
    assert other.code == 10
    assert f"has fingerprint {fingerprint}, its operator told {'0' * 64}" in other.error
    assert admitted(coordinator.home) == {}


def test_an_admitted_agencys_airflow_key_is_in_the_key_set_until_it_is_revoked(coordinator, joined, admit):
    admit(joined)
    (key,) = json.loads(jwks_path(coordinator.home).read_text())["keys"]
    assert key["kid"].startswith(f"{AGENCY}.")
    assert coordinator.fl("coordinator", "revoke", AGENCY).code == 0
    assert json.loads(jwks_path(coordinator.home).read_text())["keys"] == []
    said = joined.agency("init", "--scenario", SCENARIO)
    assert said.code == 10
    assert f"AgencyRevoked: the admission of {AGENCY} was taken back" in said.error


def test_a_revoked_agency_is_let_in_again_by_its_card(coordinator, joined, admit):
    admit(joined)
    coordinator.fl("coordinator", "revoke", AGENCY)
    admit(joined)
    joined.done("init", "--scenario", SCENARIO)


def test_an_agency_that_approves_over_the_server_is_told_whose_approval_is_missing(coordinator, joined, admit):
    admit(joined)
    joined.done("init", "--scenario", SCENARIO)
    others = [agency for agency in AGENCIES if agency != AGENCY]
    for agency in others:
        init_agency(coordinator.home, coordinator.federation, SCENARIO, agency)
    roster = coordinator.fl("coordinator", "init", "--scenario", SCENARIO).last_word
    said = joined.done("approve", roster, "--scenario", SCENARIO)
    assert said.out.endswith(f"waiting for: {', '.join(others)}\n")


def test_a_card_that_was_not_admitted_comes_into_no_roster(coordinator, joined, admit):
    for agency in AGENCIES:
        init_agency(coordinator.home, coordinator.federation, SCENARIO, agency)
    admit(joined)  # with its own keys; those that the coordinator's machine made just now are another's
    posted = load_card(coordinator.home.agency(AGENCY), AGENCY).fingerprint
    said = coordinator.fl("coordinator", "init", "--scenario", SCENARIO)
    assert said.code == 10
    assert f"agency {AGENCY} posted the card {posted}, admitted is {card(joined)[1]}" in said.error
    joined.done("init", "--scenario", SCENARIO)
    assert coordinator.fl("coordinator", "init", "--scenario", SCENARIO).code == 0


def test_who_was_never_admitted_cannot_be_revoked(coordinator):
    said = coordinator.fl("coordinator", "revoke", "nobody")
    assert said.code == 10
    assert "NotAdmitted: agency nobody is not admitted here" in said.error


def test_an_admission_lasts_to_the_end_of_its_last_day(coordinator, joined, admit):
    last = now().date() + dt.timedelta(days=3)
    admit(joined, "--expires", last)
    expires = admitted(coordinator.home)[AGENCY].expires
    assert expires == dt.datetime.combine(last, dt.time(), dt.UTC) + dt.timedelta(days=1)
    joined.done("init", "--scenario", SCENARIO)


def test_an_admission_that_has_ended_is_told_to_the_agency(coordinator, joined):
    past = now() - dt.timedelta(days=2)
    let_in(coordinator.home, load_card(joined.folder, AGENCY), expires=past + dt.timedelta(days=1), now=past)
    said = joined.agency("init", "--scenario", SCENARIO)
    assert said.code == 10
    assert f"AdmissionExpired: the admission of {AGENCY} ended on" in said.error


def test_a_last_day_that_is_past_admits_nobody(coordinator, joined):
    path, fingerprint = card(joined)
    said = coordinator.fl("coordinator", "admit", path, "--fingerprint", fingerprint, "--expires", "2020-01-01")
    assert said.code == 10
    assert "which is past" in said.error
    assert admitted(coordinator.home) == {}


def test_a_last_day_that_is_none_is_refused(coordinator, joined, capsys):
    with pytest.raises(SystemExit):
        coordinator.fl("coordinator", "admit", card(joined)[0], "--expires", "soon")
    assert "'soon' is no day; needed is one like 2027-12-31" in capsys.readouterr().err


def test_agencies_lists_who_is_let_in_and_who_no_more(coordinator, joined, admit):
    assert coordinator.fl("coordinator", "agencies").out == ""
    admit(joined)
    fingerprint = card(joined)[1]
    today = f"{now():%Y-%m-%d}"
    assert coordinator.fl("coordinator", "agencies").out == f"{AGENCY}: admitted {today}; card {fingerprint}\n"
    past = now() - dt.timedelta(days=2)
    ended = past + dt.timedelta(days=1)
    let_in(coordinator.home, load_card(joined.folder, AGENCY), expires=ended, now=past)
    assert coordinator.fl("coordinator", "agencies").out == f"{AGENCY}: expired {ended:%Y-%m-%d}; card {fingerprint}\n"
    coordinator.fl("coordinator", "revoke", AGENCY)
    assert coordinator.fl("coordinator", "agencies").out == f"{AGENCY}: revoked {today}; card {fingerprint}\n"


def test_a_file_that_is_no_card_is_not_admitted(coordinator, tmp_path):
    path = tmp_path / "card.json"
    path.write_text('{"name": "east"}')
    said = coordinator.fl("coordinator", "admit", path)
    assert said.code == 10
    assert f"{path}: not an agency's card" in said.error
