"""One contract for all adapters of the exchange, each at a real server, opened as a stage opens it."""

from __future__ import annotations

import itertools
import os
import threading

import pytest

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.connection import connection_path, exchange_key_path
from fl_tasks.contracts.errors import ConfigError, MissingInput
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import ExchangeConflict, ExchangeUnreachable, NameRefused, NotTrusted, NotYours
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.exchange.http import HttpExchange
from fl_tasks.exchange.open import open_exchange
from fl_tasks.exchange.s3 import S3Exchange
from fl_tasks.exchange.sftp import SftpExchange
from tests.exchange.federated_server import AGENCIES, SCENARIO, Agency, make_certificates
from tests.exchange.stores import BUCKET, SeaweedFS, SftpServer

ADAPTERS = {"folder": FolderExchange, "https": HttpExchange, "s3": S3Exchange, "sftp": SftpExchange}
KEYS = "setup/keys/east"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory):
    server = SeaweedFS(tmp_path_factory.mktemp("seaweed"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    server = SftpServer(tmp_path_factory.mktemp("sftp"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=ADAPTERS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def home(kind, request, tmp_path) -> Home:
    """Agency east's installation, connected to a store of one kind."""
    home = Home(tmp_path / "home")
    folder = home.agency("east")
    text = ""
    if kind == "https":
        server = request.getfixturevalue("server")
        agencies = tuple(Agency(name) for name in AGENCIES)
        server.found(agencies)
        write_atomic(exchange_key_path(folder), agencies[0].key.private_bytes_raw())
        text = f"exchange: {server.url}\nca_file: {server.ca}\n"
    elif kind == "s3":
        store = request.getfixturevalue("seaweed")
        text = f"exchange: s3://{BUCKET}/federation\nendpoint: {store.endpoint}\nca_file: {store.ca}\n"
        text += f"credentials_file: {store.credentials}\n"
    elif kind == "sftp":
        store = request.getfixturevalue("sshd")
        text = f"exchange: {store.url}\ncredentials_file: {store.key}\nknown_hosts_file: {store.known_hosts}\n"
    if text:
        write_atomic(connection_path(folder), text.encode())
    return home


@pytest.fixture
def space() -> Space:
    return Space("runs", f"{SCENARIO}__manual__2012-04-01T00:00:00+00:00_{next(_numbers)}")


@pytest.fixture
def exchange(home, space):
    return open_exchange(home, "east", space)


def test_the_connection_decides_on_the_adapter(kind, exchange):
    assert type(exchange) is ADAPTERS[kind]


def test_the_same_content_again_is_success(exchange):
    exchange.put(KEYS, b"x")
    exchange.put(KEYS, b"x")
    assert exchange.get(KEYS) == b"x"


@pytest.mark.parametrize("other", [b"y", b"", b"xx", b"x" * 3_000_000], ids=["other", "empty", "longer", "long"])
def test_other_content_under_a_name_is_refused_and_nothing_replaced(exchange, other):
    exchange.put(KEYS, b"x")
    with pytest.raises(ExchangeConflict, match="nothing was replaced"):
        exchange.put(KEYS, other)
    assert exchange.get(KEYS) == b"x"


def test_of_two_writers_at_one_time_exactly_one_wins(home, space):
    wins, errors = [], []
    start = threading.Barrier(6)

    def write(number: int) -> None:
        exchange = open_exchange(home, "east", space)
        start.wait()
        try:
            exchange.put(KEYS, bytes([number]) * 100_000)
            wins.append(number)
        except ExchangeConflict:
            pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(wins) == 1
    assert open_exchange(home, "east", space).get(KEYS) == bytes([wins[0]]) * 100_000


def test_what_is_not_there_may_still_come(exchange):
    with pytest.raises(MissingInput, match="setup/list"):
        exchange.get("setup/list")
    assert exchange.find("setup/list") is None
    assert exchange.names() == exchange.names("setup/keys") == []


def test_names_are_listed_below_a_folder_and_sorted(exchange):
    for name in (KEYS, "setup/ready/east", "head/east/2", "head/east/10"):
        exchange.put(name, b"x")
    assert exchange.names() == ["head/east/10", "head/east/2", KEYS, "setup/ready/east"]
    assert exchange.names("head/east") == ["head/east/10", "head/east/2"]
    assert exchange.names("head/eas") == []


def test_spaces_do_not_see_each_other(home, exchange, space):
    exchange.put(KEYS, b"x")
    assert open_exchange(home, "east", Space("runs", f"{space.name}0")).names() == []


def test_large_and_empty_messages_arrive_as_they_are(exchange):
    data = os.urandom(12_345_678)
    exchange.put("setup/ready/east", data)
    exchange.put(KEYS, b"")
    assert exchange.get("setup/ready/east") == data
    assert exchange.get(KEYS) == exchange.find(KEYS) == b""


def test_of_a_message_that_is_too_long_one_byte_too_many_is_read(exchange):
    exchange.put(KEYS, b"12345")
    assert exchange.get(KEYS, 5) == exchange.find(KEYS, 5) == b"12345"
    assert exchange.get(KEYS, 3) == exchange.find(KEYS, 3) == b"1234"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a//b", "a/../b", "A", "a/.b", "a\0b"])
def test_a_name_that_leaves_its_space_is_refused(exchange, name):
    for ask in (lambda: exchange.put(name, b"x"), lambda: exchange.get(name), lambda: exchange.names(name)):
        with pytest.raises(NameRefused):
            ask()


def test_a_store_of_another_authority_or_key_is_not_spoken_to(kind, home, space, tmp_path):
    if kind == "folder":
        pytest.skip("a folder has no server")
    path = connection_path(home.agency("east"))
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("ca_file", "known_hosts_file"))]
    if kind == "sftp":
        stranger = SftpServer(tmp_path / "stranger")
        stranger.stop()
        port = path.read_text().split("127.0.0.1:")[1].split("/")[0]
        known = stranger.known_hosts.read_text().replace(str(stranger.port), port)
        stranger.known_hosts.write_text(known)
        lines.append(f"known_hosts_file: {stranger.known_hosts}")
    else:
        lines.append(f"ca_file: {make_certificates(tmp_path / 'stranger')[0]}")
    path.write_text("\n".join(lines))
    with pytest.raises(NotTrusted):
        open_exchange(home, "east", space).names()


@pytest.mark.parametrize("kind", ["sftp"])
def test_a_server_whose_key_nobody_wrote_down_is_not_spoken_to(kind, home, space, tmp_path):
    path = connection_path(home.agency("east"))
    lines = [line for line in path.read_text().splitlines() if not line.startswith("known_hosts_file")]
    empty = tmp_path / "known_hosts"
    empty.touch()
    path.write_text("\n".join([*lines, f"known_hosts_file: {empty}"]))
    with pytest.raises(NotTrusted, match="compare it with the server's operator"):
        open_exchange(home, "east", space).names()


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_an_account_that_the_store_does_not_know_is_told_so(kind, home, space, tmp_path):
    path = connection_path(home.agency("east"))
    lines = [line for line in path.read_text().splitlines() if not line.startswith("credentials_file")]
    if kind == "s3":
        file = tmp_path / "other.json"
        file.write_text('{"access_key_id": "agency", "secret_access_key": "another"}')
    else:
        stranger = SftpServer(tmp_path / "stranger")
        stranger.stop()
        file = stranger.key
    path.write_text("\n".join([*lines, f"credentials_file: {file}"]))
    with pytest.raises(NotYours, match="credentials_file"):
        open_exchange(home, "east", space).get(KEYS)


@pytest.mark.parametrize("kind", ["https", "s3", "sftp"])
def test_a_store_that_is_away_is_worth_another_try(kind, home, space, monkeypatch):
    monkeypatch.setattr("fl_tasks.exchange.http._WAITS", (0.01,))
    path = connection_path(home.agency("east"))
    text = path.read_text()
    for line in text.splitlines():
        if line.startswith("endpoint" if kind == "s3" else "exchange"):
            port = line.rpartition(":")[2].split("/")[0]
            text = text.replace(f":{port}", ":1")
    path.write_text(text)
    if kind == "sftp":
        known = path.parent / "known_hosts"
        known.write_text("")
    with pytest.raises(ExchangeUnreachable, match="firewall") as caught:
        open_exchange(home, "east", space).get(KEYS)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exchange: http://x\n", "https://, s3:// or sftp://"),
        ("exchange: https://u:p@x\n", "must hold no password"),
        ("exchange: s3://bucket\n", "credentials_file is needed"),
        ("exchange: sftp://u@x/\ncredentials_file: k\n", "known_hosts_file is needed"),
        ("exchange: https://x\ncredentials_file: k\n", "does not belong to https"),
        ("exchange: https://x\nca: k\n", "Extra inputs"),
    ],
)
def test_a_wrong_connection_is_refused_by_its_field(tmp_path, text, said):
    home = Home(tmp_path)
    write_atomic(connection_path(home.agency("east")), text.encode())
    with pytest.raises(ConfigError, match=said):
        open_exchange(home, "east", Space("registry", SCENARIO))


def test_the_coordinator_does_not_ask_its_own_server(tmp_path):
    home = Home(tmp_path)
    write_atomic(connection_path(home.coordinator), b"exchange: https://x\n")
    with pytest.raises(ConfigError, match="serves its own folder"):
        open_exchange(home, None, Space("registry", SCENARIO))
