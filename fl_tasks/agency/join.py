"""An agency joins a coordinator's server: it learns to trust it, and shows its own card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from fl_tasks.agency.server import ServerInfo, ask_server, authority_fingerprint
from fl_tasks.contracts.base import canonical_json, describe, make_private_folder, write_atomic
from fl_tasks.contracts.config import load_agency
from fl_tasks.contracts.connection import Connection, connection_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import Card
from fl_tasks.stages.enrol import make_card

_AUTHORITY = "server-ca.pem"


@dataclass(frozen=True)
class Joined:
    """What an agency has after it joined.

    Attributes:
        card: Its public keys.
        path: Of the card's file, for the coordinator.
        authority: Fingerprint of the server's authority.
        server: What the server told.
    """

    card: Card
    path: Path
    authority: str
    server: ServerInfo


def card_path(folder: Path) -> Path:
    """Where an agency keeps the card that it hands to the coordinator."""
    return folder / "card.json"


def write_card(folder: Path, card: Card) -> Path:
    """Write an agency's card for the coordinator; there is no secret in it."""
    path = card_path(folder)
    write_atomic(path, canonical_json(card.model_dump(mode="json")) + b"\n")
    return path


def read_card(path: Path) -> Card:
    """Read a card's file.

    Raises:
        ConfigError: If it is not there, or no card.
    """
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); `fl agency join` writes a card") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not an agency's card: {describe(error)}") from error


def join(home: Home, federation: Path, agency: str, url: str, ca_file: Path, fingerprint: str | None) -> Joined:
    """Look at the coordinator's server and, if it is what it should be, write how it is reached; make a card.

    Safe to repeat, and the way to another address or authority. Keys that are there are kept.

    Args:
        home: The installation.
        federation: The folder with agencies/<agency>.yaml.
        agency: Who joins.
        url: https://HOST[:PORT] of the coordinator's Airflow.
        ca_file: PEM file of the authority that signed its certificate, as the coordinator gave it.
        fingerprint: Of that authority, 64 hexadecimal digits, with or without colons, as it was heard in another way;
            None: not compared.

    Raises:
        ConfigError: If the agency is unknown, or the address or the authority's file is wrong.
        FLError: As `ask_server`.
    """
    load_agency(federation, agency)
    authority = authority_fingerprint(ca_file)
    if fingerprint is not None and fingerprint.replace(":", "").lower() != authority:
        raise ConfigError(
            f"{ca_file}: has fingerprint {authority}, expected was {fingerprint}: it is not the file that the "
            "coordinator speaks of; nothing was written"
        )
    if not url.startswith("https://"):
        raise ConfigError(
            "--url: a coordinator's server is reached by https://HOST[:PORT]; a store of s3:// or sftp:// is named in "
            "connection.yaml by hand"
        )
    try:
        connection = Connection(exchange=url, ca_file=Path(_AUTHORITY))
    except ValidationError as error:
        raise ConfigError(f"--url: {describe(error)}") from error
    server = ask_server(connection.exchange, ca_file)
    folder = home.agency(agency)
    make_private_folder(folder)
    folder.chmod(0o700)
    write_atomic(folder / _AUTHORITY, ca_file.read_bytes())
    text = "# How this agency reaches the coordinator; written by `fl agency join`.\n"
    text += yaml.safe_dump({"exchange": connection.exchange, "ca_file": _AUTHORITY}, sort_keys=False)
    write_atomic(connection_path(folder), text.encode())
    card = make_card(folder, agency)
    return Joined(card, write_card(folder, card), authority, server)
