"""The exchange on an SFTP server: a message is written beside its name, and gets it by a rename that never replaces.

OpenSSH's server renames by a hard link, which fails if the name exists. Who may read and write what is the server's
own affair: an account for each party. Signatures and masking hold whoever keeps the messages.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import paramiko  # type: ignore[import-untyped]

from fl_tasks.contracts.errors import FLError, MissingInput
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import ExchangeError, ExchangeUnreachable, NotTrusted, NotYours
from fl_tasks.exchange.store import MOST_BYTES, conflict, is_name, missing, name_parts

_SECONDS = 30.0


class SftpExchange:
    """One space of the exchange on an SFTP server; connects when it is used first.

    Args:
        user: This party's account.
        host: The server's name.
        port: Its port.
        folder: Absolute path of the exchange there.
        key_file: OpenSSH private key of the account.
        known_hosts_file: OpenSSH known_hosts with the server's key; no other is spoken to.
        space: Of which messages are read and written.
    """

    def __init__(
        self, user: str, host: str, port: int, folder: str, key_file: Path, known_hosts_file: Path, space: Space
    ) -> None:
        self._where = f"sftp://{user}@{host}:{port}"
        self._address = {"hostname": host, "port": port, "username": user, "key_filename": str(key_file)}
        self._known_hosts = known_hosts_file
        self._root = PurePosixPath(folder) / space.kind / space.name
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    def __repr__(self) -> str:
        return f"SftpExchange({self._where!r}, root={str(self._root)!r})"

    def put(self, name: str, data: bytes) -> None:
        """Write a name once, as Exchange says."""
        path = self._path(name)
        aside = str(path.parent / f".put-{secrets.token_hex(8)}")
        with self._session(name) as sftp:
            _make_folders(sftp, path.parent)
            try:
                with sftp.open(aside, "wbx") as file:
                    file.set_pipelined(True)
                    file.write(data)
                if sftp.stat(aside).st_size != len(data):
                    raise ExchangeUnreachable(f"{self._where}: {name} did not arrive whole; try again")
                try:
                    sftp.rename(aside, str(path))
                except OSError as error:  # that the name exists is told by no code of its own
                    if _read(sftp, path, len(data)) != data:
                        raise conflict(name) from error
            finally:
                with suppress(OSError, EOFError, paramiko.SSHException):
                    sftp.remove(aside)

    def get(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Read a name, as Exchange says."""
        with self._session(name) as sftp:
            return _read(sftp, self._path(name), most)

    def find(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Read a name as get does, or give None if it is not there."""
        try:
            return self.get(name, most)
        except MissingInput:
            return None

    def names(self, folder: str = "") -> list[str]:
        """List all names below a folder, as Exchange says."""
        start = self._path(folder) if folder else self._root
        with self._session(folder) as sftp:
            found = [path.relative_to(self._root).as_posix() for path in _walk(sftp, start)]
        return sorted(name for name in found if is_name(name))

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
        self._client = self._sftp = None

    def _path(self, name: str) -> PurePosixPath:
        return self._root.joinpath(*name_parts(name))

    @contextmanager
    def _session(self, name: str) -> Iterator[paramiko.SFTPClient]:
        """The connection, made if there is none, and what a failure of the server means."""
        try:
            yield self._sftp or self._connect()
        except FLError:
            raise
        except FileNotFoundError as error:
            raise missing(name) from error
        except PermissionError as error:
            raise NotYours(
                f"{self._where} refuses {name}: see that the account may read and write what the table of the exchange "
                "admits"
            ) from error
        except (EOFError, paramiko.SSHException, ConnectionError, TimeoutError) as error:
            self.close()
            raise self._unreachable(error) from error
        except OSError as error:
            self.close()
            raise ExchangeError(
                f"{self._where} cannot do {name} ({error}): see whether its disk is full, and whether the folder of "
                "connection.yaml is there"
            ) from error

    def _connect(self) -> paramiko.SFTPClient:
        client = paramiko.SSHClient()
        try:
            client.load_host_keys(str(self._known_hosts))
        except OSError as error:
            raise NotTrusted(
                f"{self._known_hosts}: cannot be read ({error.strerror}); ask for the server's key"
            ) from error
        client.set_missing_host_key_policy(_Refuse(self._where, self._known_hosts))
        try:
            client.connect(
                **self._address,
                allow_agent=False,
                look_for_keys=False,
                timeout=_SECONDS,
                banner_timeout=_SECONDS,
                auth_timeout=_SECONDS,
            )
        except paramiko.BadHostKeyException as error:
            raise _not_trusted(self._where, self._known_hosts) from error
        except paramiko.AuthenticationException as error:
            raise NotYours(f"{self._where} does not admit the key of credentials_file; ask its operator") from error
        except OSError as error:
            raise self._unreachable(error) from error
        self._client, self._sftp = client, client.open_sftp()
        self._sftp.get_channel().settimeout(_SECONDS)
        return self._sftp

    def _unreachable(self, error: Exception) -> ExchangeUnreachable:
        return ExchangeUnreachable(
            f"{self._where} cannot be reached ({type(error).__name__}): see that the server runs and that the firewall "
            "lets this machine out to it"
        )


class _Refuse(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """No server is spoken to whose key is not known."""

    def __init__(self, where: str, known_hosts: Path) -> None:
        self._error = _not_trusted(where, known_hosts)

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise self._error


def _not_trusted(where: str, known_hosts: Path) -> NotTrusted:
    return NotTrusted(
        f"{where}: its host key is not the one in {known_hosts}: compare it with the server's operator, who may have "
        "changed it; nothing was sent"
    )


def _read(sftp: paramiko.SFTPClient, path: PurePosixPath, most: int) -> bytes:
    with sftp.open(str(path), "rb") as file:
        size = min(file.stat().st_size or 0, most + 1)
        file.prefetch(size)
        return bytes(file.read(size))


def _make_folders(sftp: paramiko.SFTPClient, folder: PurePosixPath) -> None:
    missing_ones = []
    while not _exists(sftp, folder):
        missing_ones.append(folder)
        folder = folder.parent
    for one in reversed(missing_ones):
        with suppress(OSError):  # another party made it just now; if not, the next step says so
            sftp.mkdir(str(one), 0o770)


def _exists(sftp: paramiko.SFTPClient, path: PurePosixPath) -> bool:
    try:
        sftp.stat(str(path))
    except FileNotFoundError:
        return False
    return True


def _walk(sftp: paramiko.SFTPClient, folder: PurePosixPath) -> Iterator[PurePosixPath]:
    try:
        entries = sftp.listdir_attr(str(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        path = folder / entry.filename
        if stat.S_ISDIR(entry.st_mode or 0):
            yield from _walk(sftp, path)
        elif stat.S_ISREG(entry.st_mode or 0):
            yield path
