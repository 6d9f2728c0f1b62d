"""A coordinator's server, and the home of an agency that has not joined it yet; commands run as from a shell."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fl_tasks.contracts.paths import Home
from fl_tasks.exchange import http
from tests.attacks.agency_site import AGENCY, REPOSITORY
from tests.exchange.federated_server import FederatedServer
from tests.saying import Said, say


class Host:
    """The installation of one party, and its shell."""

    def __init__(self, home: Path, federation: Path, call: Callable[[Host, tuple[str, ...]], Said]) -> None:
        self.home = Home(home)
        self.federation = federation
        self._call = call

    @property
    def folder(self) -> Path:
        """Of the agency."""
        return self.home.agency(AGENCY)

    def fl(self, *words: object) -> Said:
        """Run a command of `fl`."""
        return self._call(self, tuple(map(str, words)))

    def agency(self, *words: object) -> Said:
        """Run `fl agency ...` for the agency."""
        return self.fl("agency", *words, "--agency", AGENCY)

    def done(self, *words: object) -> Said:
        """Run `fl agency ...`, which has to go well."""
        said = self.agency(*words)
        assert said.code == 0, said.error
        return said


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    made = FederatedServer(tmp_path_factory.mktemp("server"))
    made.home.root.mkdir(mode=0o700)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def server(running) -> FederatedServer:
    """The server, which has admitted nobody yet and holds nothing."""
    for folder in running.home.root.iterdir():
        shutil.rmtree(folder)
    return running


@pytest.fixture
def gone(server):
    """Call it, and nothing answers at the server's address any more."""
    yield server.kill
    server.start()


@pytest.fixture
def call(capsys, monkeypatch) -> Callable[[Host, tuple[str, ...]], Said]:
    monkeypatch.setattr(http, "_WAITS", (0.05,))

    def call(host: Host, words: tuple[str, ...]) -> Said:
        env = {"HUILIU_HOME": host.home.root, "HUILIU_FEDERATION": host.federation}
        return say(words, env, capsys, monkeypatch)

    return call


@pytest.fixture
def host(tmp_path, call) -> Host:
    """The agency's, with a copy of the federation folder."""
    shutil.copytree(REPOSITORY / "dags" / "federation", tmp_path / "host" / "dags" / "federation")
    return Host(tmp_path / "host" / "home", tmp_path / "host" / "dags" / "federation", call)


@pytest.fixture
def coordinator(server, host, call) -> Host:
    return Host(server.home.root, host.federation, call)


@pytest.fixture
def joined(server, host) -> Host:
    """The agency after `fl agency join`; nobody has admitted it."""
    host.done("join", "--url", server.url, "--ca", server.ca)
    return host


@pytest.fixture
def admit(coordinator) -> Callable[..., Said]:
    """Let the coordinator admit an agency's card as it is now."""

    def admit(host: Host, *words: object) -> Said:
        path, fingerprint = host.done("card").out.split()
        said = coordinator.fl("coordinator", "admit", path, "--fingerprint", fingerprint, *words)
        assert said.code == 0, said.error
        return said

    return admit
