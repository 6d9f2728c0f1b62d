"""One federated server for all tests of a file, with three agencies that it admits."""

from __future__ import annotations

import pytest

from tests.exchange.federated_server import AGENCIES, Agency, FederatedServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = FederatedServer(tmp_path_factory.mktemp("server"))
    server.home.root.mkdir(mode=0o700)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def agencies(server) -> dict[str, Agency]:
    """Three agencies with new keys, admitted and in the roster."""
    made = tuple(Agency(name) for name in AGENCIES)
    server.found(made)
    return {agency.name: agency for agency in made}
