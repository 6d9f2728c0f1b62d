"""A real PostgreSQL server for tests: a cluster of its own, on a free port of the loopback, gone at the end."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

USER = "huiliu"
START_SECONDS = 60


class PostgresServer:
    """One server: start, url, stop. Its folder lies below /tmp, since its user cannot enter a test's own.

    PostgreSQL refuses to run as root; started by root, it runs as the system's user `postgres` or `nobody`.
    """

    def __init__(self) -> None:
        self.password = secrets.token_hex(16)
        self.port = 0
        self._process: subprocess.Popen | None = None
        self._folder: Path | None = None

    @staticmethod
    def binaries() -> Path | None:
        """The folder with initdb and postgres of the newest installed release, or None."""
        found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
        if found:
            return max(found, key=lambda path: int(path.parent.name))
        initdb = shutil.which("initdb")
        return Path(initdb).resolve().parent if initdb else None

    def start(self) -> PostgresServer:
        """Make the cluster at the first start, and run it until it answers."""
        if self._folder is None:
            self._make()
        self.port = _free_port()
        log = (self._folder / "server.log").open("ab")
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        with log:
            self._process = subprocess.Popen(
                [
                    *(self.binaries() / "postgres", "-D", self._folder / "data"),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        self._wait()
        return self

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's URL of a database, made if it is not there."""
        if database != "postgres":
            self._make_database(database)
        return f"postgresql+psycopg2://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop the server at once; its data stay, and start() runs it again on another port."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def _make(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="huiliu-postgres-", dir="/tmp"))
        password = self._folder / "password"
        password.write_text(self.password)
        for path in (self._folder, password):
            if os.geteuid() == 0:
                os.chown(path, *_unprivileged())
        subprocess.run(
            [
                *(self.binaries() / "initdb", "-D", self._folder / "data", "--username", USER),
                *("--auth", "scram-sha-256", "--pwfile", password, "--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            timeout=120,
            **self._as_user(),
        )

    def _as_user(self) -> dict[str, object]:
        options: dict[str, object] = {"cwd": self._folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        if os.geteuid() == 0:
            user, group = _unprivileged()
            options |= {"user": user, "group": group, "extra_groups": []}
        return options

    def _connect(self):
        import psycopg2

        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password, dbname="postgres", connect_timeout=5
        )

    def _wait(self) -> None:
        import psycopg2

        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                self._connect().close()
            except psycopg2.OperationalError:
                time.sleep(0.1)
            else:
                return
        self.stop()
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'server.log').read_text()[-2000:]}")

    def _make_database(self, database: str) -> None:
        from psycopg2 import sql

        connection = self._connect()
        try:
            connection.autocommit = True  # a database is not made inside a transaction
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        finally:
            connection.close()


def _unprivileged() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise RuntimeError("PostgreSQL refuses root, and there is no user postgres or nobody to run it as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def postgres_server():
    """A running server, for all tests of a session; skips where PostgreSQL is not installed."""
    if PostgresServer.binaries() is None:
        pytest.skip("needs PostgreSQL (Debian: apt-get install postgresql), which is not installed")
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.close()
