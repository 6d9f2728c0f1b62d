"""One federated server for all tests of a file, with three agencies that it admits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.exchange.federated_server import Agency


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    # Imported here: this file is read in the learning environment as well, which has no HTTP client.
    from tests.exchange.federated_server import FederatedServer

    server = FederatedServer(tmp_path_factory.mktemp("server"))
    server.home.root.mkdir(mode=0o700)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def agencies(server) -> dict[str, Agency]:
    """Three agencies with new keys, admitted and in the roster."""
    from tests.exchange.federated_server import AGENCIES, Agency

    made = tuple(Agency(name) for name in AGENCIES)
    server.found(made)
    return {agency.name: agency for agency in made}
