"""Joining a coordinator's server: it is what its operator says and of our version and time, or nothing is written."""

from __future__ import annotations

import datetime as dt
import json
import stat

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fl_tasks.agency import server as server_module
from fl_tasks.agency.server import authority_fingerprint
from fl_tasks.contracts.connection import connection_path
from fl_tasks.exchange import versions
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.stages.enrol import load_card
from tests.attacks.agency_site import AGENCY, SCENARIO
from tests.exchange.federated_server import make_certificates, now


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_join_writes_the_connection_and_a_card_and_names_both_fingerprints(server, host):
    said = host.done("join", "--url", server.url, "--ca", server.ca)
    assert f"{server.url} runs huiliu" in said.out
    assert authority_fingerprint(server.ca) in said.out
    written = yaml.safe_load(connection_path(host.folder).read_text())
    assert written == {"exchange": server.url, "ca_file": "server-ca.pem"}
    assert (host.folder / "server-ca.pem").read_bytes() == server.ca.read_bytes()
    assert mode(host.folder) == 0o700
    assert mode(connection_path(host.folder)) == 0o600
    card = host.folder / "card.json"
    assert json.loads(card.read_text())["name"] == AGENCY
    assert str(card) in said.out
    assert said.last_word == load_card(host.folder, AGENCY).fingerprint


def test_joining_again_keeps_the_keys(server, joined):
    before = joined.done("card").last_word
    joined.done("join", "--url", server.url, "--ca", server.ca)
    assert joined.done("card").last_word == before


def test_card_says_its_file_and_ends_with_its_fingerprint(joined):
    assert joined.done("card").out.split() == [
        str(joined.folder / "card.json"),
        load_card(joined.folder, AGENCY).fingerprint,
    ]


def test_an_agency_that_has_not_joined_has_no_card(host):
    said = host.agency("card")
    assert said.code == 10
    assert "`fl agency join` writes a card" in said.error


def test_a_card_is_posted_only_once_the_agency_is_admitted(server, joined, admit):
    refused = joined.agency("init", "--scenario", SCENARIO)
    assert refused.code == 10
    assert f"NotAdmitted: agency {AGENCY} is not admitted here: the coordinator runs `fl coordinator admit`" in (
        refused.error
    )
    admit(joined)
    joined.done("init", "--scenario", SCENARIO)
    posted = FolderExchange(Space("rosters", SCENARIO).folder(server.home))
    assert posted.names() == [f"cards/{AGENCY}.json"]


def test_an_expected_fingerprint_is_compared_however_it_is_written(server, host):
    known = authority_fingerprint(server.ca)
    written = ":".join(known[place : place + 2] for place in range(0, 64, 2)).upper()
    host.done("join", "--url", server.url, "--ca", server.ca, "--expect-fingerprint", written)
    said = host.agency("join", "--url", server.url, "--ca", server.ca, "--expect-fingerprint", "0" * 64)
    assert said.code == 10
    assert f"has fingerprint {known}, expected was {'0' * 64}" in said.error


def refused(host, url, ca) -> str:
    """Join, which has to be refused for good and to leave nothing."""
    said = host.agency("join", "--url", url, "--ca", ca)
    assert said.code == 10
    assert not host.folder.exists()
    return said.error


def test_a_server_of_another_authority_is_not_joined(server, host, tmp_path):
    other, _, _ = make_certificates(tmp_path / "other")
    said = refused(host, server.url, other)
    assert f"NotTrusted: {server.url}: its certificate is not of this authority" in said


def ended(path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old CA")])
    start, end = now() - dt.timedelta(days=2), now() - dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path, server: None, "cannot be read (No such file or directory)"),
        (lambda path, server: path.write_text("no PEM"), "holds no certificate in PEM"),
        (lambda path, server: path.write_bytes(server.ca.read_bytes() * 2), "holds 2 certificates"),
        (
            lambda path, server: path.write_bytes(server.ca.with_name("server.pem").read_bytes()),
            "is no authority's certificate but a server's",
        ),
        (lambda path, server: ended(path), "ended on"),
    ],
)
def test_a_file_that_is_no_authoritys_is_not_taken(server, host, tmp_path, make, text):
    path = tmp_path / "given.pem"
    make(path, server)
    said = refused(host, server.url, path)
    assert f"ConfigError: {path}: {text}" in said
    assert "coordinator" in said


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://bucket", "is reached by https://HOST[:PORT]"),
        ("http://localhost", "is reached by https://HOST[:PORT]"),
        ("localhost:8443", "is reached by https://HOST[:PORT]"),
        ("https://me:opensesame@localhost", "must hold no password"),
        ("https://", "must be an address"),
    ],
)
def test_an_address_of_another_kind_is_not_taken(server, host, url, text):
    said = refused(host, url, server.ca)
    assert "ConfigError: --url: " in said
    assert text in said
    assert "opensesame" not in said


def test_a_server_that_is_not_there_is_worth_another_try(server, gone, host):
    gone()
    said = host.agency("join", "--url", server.url, "--ca", server.ca)
    assert said.code == 1
    assert f"ExchangeUnreachable: {server.url} cannot be reached (ConnectError): see that" in said.error
    assert not host.folder.exists()


def test_an_address_that_is_no_federated_servers_is_named(server, host):
    said = host.agency("join", "--url", f"{server.url}/elsewhere", "--ca", server.ca)
    assert said.code == 1
    assert "/elsewhere is no federated server: see whether the address is right" in said.error


def test_another_version_is_not_joined(server, host, monkeypatch):
    monkeypatch.setattr(versions, "own", lambda: "0.0.1 (protocol 1)")
    said = refused(host, server.url, server.ca)
    assert f"VersionMismatch: {server.url} runs huiliu " in said
    assert "here is 0.0.1 (protocol 1): bring both to the same version" in said


def test_another_version_of_the_interface_is_not_joined(server, host, monkeypatch):
    monkeypatch.setattr(versions, "own", lambda: versions.written("0.1.0", 2))
    assert "(protocol 2)" in refused(host, server.url, server.ca)


@pytest.mark.parametrize(("minutes", "side"), [(10, "ahead of"), (-10, "behind")])
def test_a_clock_that_is_off_is_told_by_how_much(server, host, monkeypatch, minutes, side):
    monkeypatch.setattr(server_module, "_now", lambda: now() + dt.timedelta(minutes=minutes))
    said = refused(host, server.url, server.ca)
    assert f"seconds {side} that of {server.url}, admitted are 30: set both by a time server (timedatectl)" in said
    assert abs(int(said.split("clock is ")[1].split()[0]) - 600) <= 5


def test_an_unknown_agency_is_not_joined(server, host):
    said = host.fl("agency", "join", "--agency", "nobody", "--url", server.url, "--ca", server.ca)
    assert said.code == 10
    assert "nobody" in said.error
