"""A PostgreSQL cluster of our own below one folder: made, started and stopped without the system's services."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fl_airflow.server.errors import PostgresMissing, ServerError
from fl_tasks.contracts.base import write_atomic

ADDRESS = "127.0.0.1"
API_CONNECTIONS = 300  # at most, at a time; more than two for each task that Airflow runs at once
CONNECTIONS = API_CONNECTIONS + 100  # and those of Airflow's other parts
_DEBIAN = Path("/usr/lib/postgresql")
_ACCOUNTS = ("postgres", "nobody")
_HOW_TO_INSTALL = "run `make system` as root, or install your distribution's PostgreSQL server (Debian: postgresql)"


@dataclass(frozen=True)
class Account:
    """The operating-system user that PostgreSQL runs as."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return what makes subprocess run a command as this user, with no group of ours."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def account() -> Account | None:
    """Return whom PostgreSQL has to run as: None for ourselves; an unprivileged user if we are root.

    Raises:
        ServerError: If we are root and there is none.
    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError(f"PostgreSQL refuses to run as root; needed is one of the users {', '.join(_ACCOUNTS)}")


def binaries(version: str | None = None) -> Path:
    """Return the folder with PostgreSQL's server programs.

    Args:
        version: Major version that is needed, like "15"; by default the newest one there is.

    Raises:
        PostgresMissing: If it is not there.
    """
    folders = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True)
    found = {path.parts[-3]: path.parent for path in folders}
    on_path = shutil.which("postgres")
    if on_path is not None:
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=True).stdout
        found.setdefault(said.split()[2].split(".")[0], Path(on_path).resolve().parent)
    if version is None and found:
        return next(iter(found.values()))
    if version in found:
        return found[version]
    needed = "PostgreSQL" if version is None else f"PostgreSQL {version} (the cluster was made with it)"
    raise PostgresMissing(
        f"{needed} is not on this machine (looked in {_DEBIAN}/*/bin and on PATH; there is "
        f"{', '.join(found) or 'none'}); {_HOW_TO_INSTALL}"
    )


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


class PostgresCluster:
    """One cluster; it listens on the loopback address only, and every connection needs a password.

    Args:
        folder: Its folder, with `data/`, `postgres.log` and the superuser's `password` (0600). If we are root it has
            to be one that the unprivileged user can reach (see `reachable`).
        port: Where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.account = account()
        self._password = folder / "password"
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make the cluster unless it is there already.

        Raises:
            PostgresMissing: If the programs are not on this machine.
            ServerError: If initdb fails; the message holds its last lines.
        """
        if (self.data / "PG_VERSION").exists():
            return
        initdb = binaries() / "initdb"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        if self.data.exists():  # an initdb that was interrupted
            shutil.rmtree(self.data)
        write_atomic(self._password, secrets.token_hex(24).encode())
        once = self.folder / "password.once"
        write_atomic(once, self._password.read_bytes())
        self.data.mkdir(mode=0o700)
        try:
            if self.account is not None:
                for path in (self.data, once):
                    os.chown(path, self.account.uid, self.account.gid)
            argv = [
                *(str(initdb), "--pgdata", str(self.data), "--username", "postgres", "--pwfile", str(once)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            ]
            done = subprocess.run(argv, **self.popen_arguments(), capture_output=True, text=True, check=False)
        finally:
            once.unlink(missing_ok=True)
        if done.returncode != 0:
            last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise ServerError(f"initdb in {self.data} ended with exit code {done.returncode}: {last}")

    def argv(self) -> list[str]:
        """Return the command that runs the server in the foreground; run it as `account`.

        Raises:
            PostgresMissing: If the version that made the cluster is not on this machine.
        """
        version = (self.data / "PG_VERSION").read_text().strip()
        return [
            *(str(binaries(version) / "postgres"), "-D", str(self.data), "-p", str(self.port)),
            *("-c", f"listen_addresses={ADDRESS}", "-c", "unix_socket_directories="),
            *("-c", f"max_connections={CONNECTIONS}"),
        ]

    def start(self, seconds: float = 30.0) -> None:
        """Make the cluster if need be, start it, and return once it takes connections.

        Raises:
            ServerError: If it does not within so many seconds; the message holds its log's last lines.
        """
        self.create()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv(),
                **self.popen_arguments(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + seconds
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise ServerError(f"PostgreSQL did not start; {self.log} says: {self.last_lines()}")
            time.sleep(0.1)

    def stop(self, seconds: float = 20.0) -> None:
        """Stop what `start` started: open connections are cut, what was committed stays."""
        if self._process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
        self._process = None

    def ready(self) -> bool:
        """Say whether it takes connections with our password."""
        import psycopg2  # type: ignore[import-untyped]  # noqa: PLC0415 - heavy

        try:
            psycopg2.connect(self.dsn("postgres", "postgres", self._superuser_password()), connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    def ensure_database(self, name: str, password: str) -> None:
        """Make a role that can log in, and a database of the same name that it owns; set the role's password anew.

        Args:
            name: Of both; lower-case letters and underscores.
            password: The role's.
        """
        import psycopg2  # noqa: PLC0415 - heavy
        from psycopg2 import sql  # noqa: PLC0415

        connection = psycopg2.connect(self.dsn("postgres", "postgres", self._superuser_password()))
        try:
            connection.autocommit = True  # CREATE DATABASE runs outside a transaction only
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
                verb = "ALTER" if cursor.fetchone() else "CREATE"
                cursor.execute(
                    sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
                )
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if not cursor.fetchone():
                    cursor.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        finally:
            connection.close()

    def dsn(self, database: str, role: str, password: str) -> str:
        """Return the address as libpq reads it; SQLAlchemy reads it too."""
        return f"postgresql://{role}:{quote(password, safe='')}@{ADDRESS}:{self.port}/{database}"

    def last_lines(self, count: int = 3) -> str:
        """Return the end of the log."""
        with suppress(FileNotFoundError):
            return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-count:])
        return "nothing"

    def _superuser_password(self) -> str:
        return self._password.read_text()

    def popen_arguments(self) -> dict[str, Any]:
        """Return what makes subprocess run one of the programs as the right user."""
        # A working directory that the unprivileged user may not enter makes PostgreSQL complain.
        arguments: dict[str, Any] = {"cwd": "/"}
        return arguments | (self.account.popen_arguments() if self.account is not None else {})


def reachable(folder: Path) -> bool:
    """Say whether the user that PostgreSQL runs as can go through a folder; every folder above it counts too."""
    user = account()
    if user is None:
        return True
    done = subprocess.run(["/usr/bin/test", "-x", str(folder)], **user.popen_arguments(), cwd="/", check=False)
    return done.returncode == 0
