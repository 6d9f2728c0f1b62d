"""A real PostgreSQL server for tests: a cluster of its own, on a free port of the loopback, gone at the end."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path

import pytest
from fl_airflow.server.errors import PostgresMissing
from fl_airflow.server.postgres import PostgresCluster, binaries, free_port


class PostgresServer:
    """One server: start, url, stop. Its folder lies below /tmp, since its user cannot enter a test's own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="huiliu-postgres-", dir="/tmp"))
        self._folder.chmod(0o711)
        self._cluster = PostgresCluster(self._folder / "cluster", free_port())
        self._password = secrets.token_hex(16)

    def start(self) -> PostgresServer:
        """Make the cluster at the first start, and run it until it answers."""
        self._cluster.start(seconds=60)
        return self

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database of its own role, made if it is not there."""
        self._cluster.ensure_database(database, self._password)
        return self._cluster.dsn(database, database, self._password).replace("://", "+psycopg2://", 1)

    def stop(self) -> None:
        """Stop the server at once; its data stay, and start() runs it again."""
        self._cluster.stop()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.stop()
        shutil.rmtree(self._folder)


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs; skips where it is not installed."""
    try:
        return binaries()
    except PostgresMissing as error:
        pytest.skip(f"not verified: {error}")


@pytest.fixture(scope="session")
def postgres_server(postgres_programs):
    """A running server, for all tests of a session."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.close()
