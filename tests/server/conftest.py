"""One server for all tests of this folder; they are skipped, with the reason, where PostgreSQL is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.airflow_server import AirflowServer, reachable_folder
from tests.servers.postgres import postgres_programs  # noqa: F401


@pytest.fixture(scope="package")
def server(postgres_programs):  # noqa: F811
    with reachable_folder() as folder:
        server = AirflowServer(folder / "home", Path(__file__).parent / "dags")
        try:
            server.said = server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made
