"""Uploads that break off, large ones, and disks that are full, at a real server behind TLS."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress

import httpx
import pytest
from fl_airflow.federated.uploads import KEPT_SECONDS, RESERVE_BYTES

from fl_tasks.exchange import http
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.digests import digest_header
from fl_tasks.exchange.errors import ExchangeFull, ExchangeUnreachable
from fl_tasks.exchange.tokens import EXCHANGE_AUDIENCE, sign_token
from tests.exchange.federated_server import AGENCIES, SCENARIO, Agency, FederatedServer, now
from tests.small_disk import MIB, fill, small_disk

_numbers = itertools.count(1)


@pytest.fixture
def run() -> Space:
    return Space("runs", f"{SCENARIO}__upload__{next(_numbers)}")


@contextmanager
def begun(server, agency, run, name: str, length: int, sha256: str):
    """A connection on which a message was announced and nothing of it sent."""
    token = sign_token(agency.name, agency.key, EXCHANGE_AUDIENCE, now())
    head = (
        f"PUT /federation/v1/runs/{run.name}/files/{name} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\nRepr-Digest: {digest_header(sha256)}\r\n\r\n"
    )
    context = ssl.create_default_context(cafile=str(server.ca))
    with (
        socket.create_connection(("localhost", server.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(head.encode())
        yield connection


def broken_off(server, agency, run, name: str, data: bytes, sent: int) -> None:
    """Begin to write a message, and cut the connection after so many bytes of it; the last of them may be lost."""
    with begun(server, agency, run, name, len(data), hashlib.sha256(data).hexdigest()) as connection:
        connection.sendall(data[:sent])
        wait_for(lambda: stored(server) > sent - 2 * MIB)


def stored(server) -> int:
    """Bytes of the uploads under way."""
    return sum(path.stat().st_size for path in server.home.uploads.rglob("*-*"))


def wait_for(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def ask(server, agency, method, path, headers):
    token = sign_token(agency.name, agency.key, EXCHANGE_AUDIENCE, now())
    context = ssl.create_default_context(cafile=str(server.ca))
    with httpx.Client(verify=context, trust_env=False) as client:
        signed = {"Authorization": f"Bearer {token}", **headers}
        return client.request(method, f"{server.url}/federation/v1/{path}", headers=signed)


def test_an_upload_goes_on_where_its_connection_broke_off(server, agencies, run):
    east, data = agencies["east"], os.urandom(8 * MIB)
    sha256 = hashlib.sha256(data).hexdigest()
    broken_off(server, east, run, "r/1/up/east", data, 5 * MIB)
    upload = f"runs/{run.name}/uploads/{sha256}/r/1/up/east"
    state = ask(server, east, "HEAD", upload, {}).headers
    assert state["Upload-Complete"] == "?0"
    assert 3 * MIB < int(state["Upload-Offset"]) == stored(server)
    assert not (run.folder(server.home) / "r/1/up/east").exists()
    bodies: list[int] = []
    exchange = east.exchange(server, run)
    exchange._client.event_hooks["request"] = [lambda asked: bodies.append(int(asked.headers.get("Content-Length", 0)))]
    exchange.put("r/1/up/east", data)
    assert sum(bodies) == len(data) - int(state["Upload-Offset"])
    assert (run.folder(server.home) / "r/1/up/east").read_bytes() == data
    assert ask(server, east, "HEAD", upload, {}).headers["Upload-Complete"] == "?1"
    assert stored(server) == 0


def test_an_upload_survives_a_killed_server(server, agencies, run):
    """The client goes on by itself when the server is back, with what came before."""
    data = os.urandom(64 * MIB)
    exchange = agencies["east"].exchange(server, run)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            exchange.put("r/1/up/east", data)
        except BaseException as error:
            failed.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    wait_for(lambda: stored(server) > MIB)
    server.kill()
    there = stored(server)
    assert 0 < there < len(data)
    server.start()
    sender.join()
    assert not failed
    assert (run.folder(server.home) / "r/1/up/east").read_bytes() == data


def test_a_sender_whose_connection_fell_silent_goes_on_over_another(server, agencies, run):
    """A cut network says nothing: the first connection stays open, and must not hold up its own agency."""
    east, data = agencies["east"], os.urandom(3 * MIB)
    with begun(server, east, run, "r/1/up/east", len(data), hashlib.sha256(data).hexdigest()) as connection:
        connection.sendall(data[: 2 * MIB])
        wait_for(lambda: stored(server) >= MIB)
        east.exchange(server, run).put("r/1/up/east", data)
    assert (run.folder(server.home) / "r/1/up/east").read_bytes() == data


def test_a_download_goes_on_where_its_connection_broke_off(server, agencies, run):
    """A relay cuts the first answer; the rest is asked for, not all of it again."""
    data = os.urandom(4 * MIB)
    path = run.folder(server.home) / "setup" / "cohort"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    asked: list[str] = []
    with Relay(server.port, cut_after=2 * MIB) as relay:
        east = agencies["east"]
        exchange = http.HttpExchange(f"https://localhost:{relay.port}", server.ca, "east", east.key, run)
        exchange._client.event_hooks["request"] = [lambda request: asked.append(request.headers.get("Range", ""))]
        assert exchange.get("setup/cohort") == data
    assert asked[0] == ""
    assert int(asked[1].removeprefix("bytes=").removesuffix("-")) > MIB


def test_half_a_message_is_never_seen_and_goes_after_a_day(server, agencies, run):
    east, north = agencies["east"], agencies["north"]
    data = os.urandom(4 * MIB)
    broken_off(server, east, run, "setup/keys/east", data, 2 * MIB)
    assert east.exchange(server, run).names() == []
    assert north.exchange(server, run).find("setup/keys/east") is None
    (part,) = server.home.uploads.rglob("*-*")
    north.exchange(server, run).put("setup/keys/north", b"x")
    assert part.exists()
    os.utime(part, (time.time() - KEPT_SECONDS - 60,) * 2)
    north.exchange(server, run).put("checks/north", b"x")
    assert not part.exists()


def test_what_an_agency_has_under_way_is_limited(server, agencies, run):
    """Counted by the lengths that it announced: a few bytes hold the room of the whole."""
    east = agencies["east"]
    for number in (1, 2):
        with begun(server, east, run, f"r/{number}/up/east", 2**31, "0" * 64):
            wait_for(lambda number=number: len(list(server.home.uploads.rglob("*-*"))) == number)
    with begun(server, east, run, "r/3/up/east", 2**31, "0" * 64) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 507")
    with pytest.raises(ExchangeFull, match="unfinished uploads"):
        east.exchange(server, run).put("checks/east", b"x")
    agencies["west"].exchange(server, run).put("checks/west", b"x")
    for part in server.home.uploads.rglob("*-*"):
        part.unlink()
    east.exchange(server, run).put("checks/east", b"x")


def test_three_hundred_megabytes_go_both_ways_in_constant_memory(server, agencies, run):
    size = 300 * MIB
    data = os.urandom(MIB) * 300
    exchange = agencies["east"].exchange(server, run)
    exchange.names()
    before = server.pss()
    peak = [before]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            peak.append(server.pss())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        exchange.put("r/1/up/east", data)
        (run.folder(server.home) / "r/1/model.npz").hardlink_to(run.folder(server.home) / "r/1/up/east")
        assert len(exchange.get("r/1/model.npz")) == size
    finally:
        over.set()
        watcher.join()
    print(f"PSS before {before / MIB:.0f} MiB, peak {max(peak) / MIB:.0f} MiB, for {size / MIB:.0f} MiB each way")
    assert max(peak) - before < 40 * MIB


def test_an_unreachable_server_is_named_and_worth_another_try(tmp_path, monkeypatch):
    monkeypatch.setattr(http, "_WAITS", (0.01,))
    gone = FederatedServer(tmp_path)
    with pytest.raises(ExchangeUnreachable, match="firewall") as caught:
        Agency("east").exchange(gone).names()
    assert caught.value.retryable
    assert gone.url in str(caught.value)


@pytest.fixture
def disk(tmp_path):
    """A disk with room for little more than the server's reserve."""
    with small_disk(tmp_path / "disk", RESERVE_BYTES + 8 * MIB) as folder:
        yield folder


def test_a_full_disk_refuses_what_has_no_room_and_goes_on_when_there_is_some(disk, tmp_path):
    server = FederatedServer(tmp_path, disk).start()
    run = Space("runs", f"{SCENARIO}__full")
    east = Agency("east")
    try:
        server.found((east, *(Agency(name) for name in AGENCIES if name != "east")))
        exchange = east.exchange(server, run)
        exchange.put("checks/east", b"x")
        with pytest.raises(ExchangeFull, match="make room"):
            exchange.put("r/1/up/east", os.urandom(9 * MIB))
        assert stored(server) == 0

        data = os.urandom(6 * MIB)
        with begun(server, east, run, "r/1/up/east", len(data), hashlib.sha256(data).hexdigest()) as connection:
            connection.sendall(data[: 3 * MIB])
            wait_for(lambda: stored(server) > MIB)
            filler = fill(disk)
            connection.sendall(data[3 * MIB :])
            assert connection.recv(4096).startswith(b"HTTP/1.1 507")
        with pytest.raises(ExchangeFull):
            exchange.put("r/1/up/east", data)
        assert not (run.folder(server.home) / "r/1/up/east").exists()
        filler.unlink()
        exchange.put("r/1/up/east", data)
        assert (run.folder(server.home) / "r/1/up/east").read_bytes() == data
    finally:
        server.stop()
        shutil.rmtree(disk / "exchange", ignore_errors=True)


class Relay:
    """Passes bytes on to a server; the first answer is cut after so many of them."""

    def __init__(self, port: int, cut_after: int) -> None:
        self._to = port
        self._cut_after = cut_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()

    def _accept(self) -> None:
        most = self._cut_after
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=_pass_on, args=(client, server, 2**62), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client, most), daemon=True).start()
            most = 2**62


def _pass_on(source: socket.socket, target: socket.socket, most: int) -> None:
    try:
        while most > 0 and (data := source.recv(min(65536, most))):
            target.sendall(data)
            most -= len(data)
    except OSError:
        pass
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
