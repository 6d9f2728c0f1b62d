"""Which exchange a party uses: the folder of its installation, or what its connection.yaml names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.connection import Connection, S3Credentials, connection_path, exchange_key_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.exchange.store import Exchange

_SSH_PORT = 22


def open_exchange(home: Home, party: str | None, space: Space) -> Exchange:
    """Return one space of the exchange, as a party reaches it.

    Args:
        home: The installation.
        party: The agency; None for the coordinator.
        space: The run's, the roster's or the registry's.

    Raises:
        ConfigError: If connection.yaml or a file that it names is wrong.
        NotTrusted: If its ca_file is no certificate.
    """
    folder = home.coordinator if party is None else home.agency(party)
    path = connection_path(folder)
    if not path.exists():
        return FolderExchange(space.folder(home))
    connection = load_yaml(path, Connection).below(folder)
    openers = {"https": _over_https, "s3": _in_s3, "sftp": _over_sftp}
    return openers[connection.scheme](connection, party, folder, space)


def _over_https(connection: Connection, party: str | None, folder: Path, space: Space) -> Exchange:
    from fl_tasks.exchange.http import HttpExchange  # noqa: PLC0415

    if party is None:
        raise ConfigError(
            f"{connection_path(folder)}: field exchange: the coordinator serves its own folder; remove the file, or "
            "name a store of s3:// or sftp:// that all parties use"
        )
    return HttpExchange(connection.exchange, connection.ca_file, party, _key(folder), space)


def _in_s3(connection: Connection, _party: str | None, _folder: Path, space: Space) -> Exchange:
    from fl_tasks.exchange.s3 import S3Exchange  # noqa: PLC0415

    assert connection.credentials_file is not None  # Connection holds it
    credentials = load_yaml(connection.credentials_file, S3Credentials)
    place = urlsplit(connection.exchange)
    return S3Exchange(place.netloc, place.path, credentials, connection.endpoint, connection.ca_file, space)


def _over_sftp(connection: Connection, _party: str | None, _folder: Path, space: Space) -> Exchange:
    from fl_tasks.exchange.sftp import SftpExchange  # noqa: PLC0415

    assert connection.credentials_file is not None  # Connection holds both
    assert connection.known_hosts_file is not None
    place = urlsplit(connection.exchange)
    return SftpExchange(
        place.username or "",
        place.hostname or "",
        place.port or _SSH_PORT,
        place.path or "/",
        connection.credentials_file,
        connection.known_hosts_file,
        space,
    )


def _key(folder: Path) -> Ed25519PrivateKey:
    path = exchange_key_path(folder)
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no exchange key; run `fl agency init` first") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not a raw Ed25519 private key of 32 bytes; restore it from your backup") from error
