"""New keys: the old ones are used until the coordinator has admitted the new card, and no moment longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fl_tasks.agency.rotate import next_folder
from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.connection import Connection, connection_path, exchange_key_path
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import WrongKey
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.exchange.http import HttpExchange
from fl_tasks.exchange.open import open_exchange
from fl_tasks.stages.context import airflow_key_path, load_key, protocol_key_path
from fl_tasks.stages.enrol import load_card
from tests.attacks.agency_site import AGENCY, SCENARIO

PATHS = (protocol_key_path, airflow_key_path, exchange_key_path)


def keys(folder: Path) -> list[bytes]:
    return [path(folder).read_bytes() for path in PATHS]


@pytest.fixture
def agency(joined, admit):
    """An agency that takes part."""
    admit(joined)
    joined.done("init", "--scenario", SCENARIO)
    return joined


def names(host) -> list[str]:
    return open_exchange(host.home, AGENCY, Space("rosters", SCENARIO)).names()


def test_the_old_keys_are_used_until_the_new_card_is_admitted(agency, admit):
    before = keys(agency.folder)
    old = load_key(exchange_key_path(agency.folder))
    said = agency.done("rotate")
    assert "new keys wait, the old ones stay in use" in said.out
    assert keys(agency.folder) == before
    assert names(agency) == [f"cards/{AGENCY}.json"]
    admit(agency)
    with pytest.raises(WrongKey):
        names(agency)
    assert "the new keys are in use" in agency.done("rotate").out
    protocol, airflow, exchange = keys(agency.folder)
    assert protocol == before[0]
    assert airflow != before[1]
    assert exchange != before[2]
    assert not next_folder(agency.folder).exists()
    assert names(agency) == [f"cards/{AGENCY}.json"]
    connection = load_yaml(connection_path(agency.folder), Connection).below(agency.folder)
    with pytest.raises(WrongKey, match="was admitted"):
        HttpExchange(connection.exchange, connection.ca_file, AGENCY, old, Space("rosters", SCENARIO)).names()


def test_the_new_card_is_posted_beside_the_old_one(server, agency, admit):
    agency.done("rotate")
    admit(agency)
    agency.done("rotate")
    agency.done("init", "--scenario", SCENARIO)
    posted = FolderExchange(Space("rosters", SCENARIO).folder(server.home))
    assert posted.names() == [f"cards/{AGENCY}-2.json", f"cards/{AGENCY}.json"]


def test_asking_again_before_the_admission_makes_no_other_keys(agency):
    card = agency.done("rotate").last_word
    waiting = keys(next_folder(agency.folder))
    assert agency.done("rotate").last_word == card
    assert agency.done("card").last_word == card
    assert keys(next_folder(agency.folder)) == waiting


def test_the_protocol_key_is_replaced_only_when_it_is_asked_for(agency, admit):
    before = load_card(agency.folder, AGENCY)
    agency.done("rotate", "--protocol")
    admit(agency)
    said = agency.done("rotate")
    assert "a roster has to be proposed and approved anew" in said.out
    after = load_card(agency.folder, AGENCY)
    assert after.protocol_key != before.protocol_key
    assert after.fingerprint == said.last_word


def test_new_keys_that_wait_without_a_protocol_key_do_not_become_others(agency):
    agency.done("rotate")
    said = agency.agency("rotate", "--protocol")
    assert said.code == 10
    assert "new keys wait there, and the protocol key is not among them" in said.error


def test_a_set_of_keys_that_was_cut_off_is_made_anew(agency):
    unfinished = next_folder(agency.folder).with_name(".next")
    airflow_key_path(unfinished).parent.mkdir(parents=True)
    airflow_key_path(unfinished).write_bytes(b"half")
    agency.done("rotate")
    assert len(keys(next_folder(agency.folder))) == len(PATHS)
    assert not unfinished.exists()


def test_nothing_is_rotated_while_the_server_cannot_be_asked(gone, agency):
    before = keys(agency.folder)
    gone()
    said = agency.agency("rotate")
    assert said.code == 1
    assert "ExchangeUnreachable" in said.error
    assert keys(agency.folder) == before


def test_a_revoked_agency_cannot_slip_in_by_new_keys(coordinator, agency):
    before = keys(agency.folder)
    coordinator.fl("coordinator", "revoke", AGENCY)
    assert "new keys wait" in agency.done("rotate").out
    assert keys(agency.folder) == before


def test_without_a_server_new_keys_are_used_at_once(host):
    host.done("init", "--scenario", SCENARIO)
    before = keys(host.folder)
    assert "the new keys are in use" in host.done("rotate").out
    assert keys(host.folder)[0] == before[0]
    assert keys(host.folder)[1:] != before[1:]


def test_an_agency_without_keys_has_nothing_to_rotate(host):
    said = host.agency("rotate")
    assert said.code == 10
    assert "there is no key; run `fl agency init`" in said.error
