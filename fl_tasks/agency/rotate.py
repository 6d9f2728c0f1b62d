"""New keys for an agency, in two steps: the old ones are used until the coordinator has admitted the new card."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.agency.join import card_path, write_card
from fl_tasks.agency.server import ask_server
from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.connection import Connection, connection_path, exchange_key_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import Card
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import NotAdmitted, WrongKey
from fl_tasks.exchange.http import HttpExchange
from fl_tasks.stages.context import airflow_key_path, load_key, protocol_key_path
from fl_tasks.stages.enrol import load_card, make_card


@dataclass(frozen=True)
class Rotated:
    """How far a change of keys has come.

    Attributes:
        card: With the new keys.
        path: Of the card's file.
        in_use: Whether the new keys are those that the agency uses now.
        protocol: Whether the protocol key is a new one as well.
    """

    card: Card
    path: Path
    in_use: bool
    protocol: bool


def next_folder(folder: Path) -> Path:
    """Where an agency's new keys wait, laid out like the agency's folder itself."""
    return folder / "keys" / "next"


def rotate(home: Home, agency: str, *, protocol: bool) -> Rotated:
    """Make new keys and a card of them, or take into use those that were made before, once they are admitted.

    Without a server (one machine) nobody admits: new keys are used at once.

    Args:
        home: The installation.
        agency: Whose.
        protocol: Whether the protocol key is replaced as well, and with it the roster.

    Raises:
        ConfigError: If the agency has no keys yet, or new ones wait already that do not replace what is asked for.
        FLError: As `ask_server`.
    """
    folder = home.agency(agency)
    load_card(folder, agency)
    waiting = next_folder(folder)
    if not waiting.exists():
        _make(folder, waiting, agency, protocol=protocol)
    new_protocol = load_key(protocol_key_path(waiting)).private_bytes_raw() != _raw(protocol_key_path(folder))
    if protocol and not new_protocol:
        raise ConfigError(
            f"{waiting}: new keys wait there, and the protocol key is not among them: let the coordinator admit "
            f"{card_path(folder)} first, or remove that folder to begin anew"
        )
    card = make_card(waiting, agency)
    path = write_card(folder, card)
    in_use = _is_admitted(folder, agency, load_key(exchange_key_path(waiting)))
    if in_use:
        for place in (airflow_key_path, exchange_key_path, protocol_key_path):
            write_atomic(place(folder), _raw(place(waiting)))
        shutil.rmtree(waiting)
    return Rotated(card, path, in_use, new_protocol)


def _make(folder: Path, waiting: Path, agency: str, *, protocol: bool) -> None:
    """Make the new keys beside each other, and let them appear at once: half a set would be taken for a whole one."""
    unfinished = waiting.with_name(".next")
    shutil.rmtree(unfinished, ignore_errors=True)
    if not protocol:
        write_atomic(protocol_key_path(unfinished), _raw(protocol_key_path(folder)))
    make_card(unfinished, agency)
    unfinished.rename(waiting)


def _raw(path: Path) -> bytes:
    return load_key(path).private_bytes_raw()


def _is_admitted(folder: Path, agency: str, key: Ed25519PrivateKey) -> bool:
    """Ask the server whether it knows a key as the agency's; without a server nobody has to."""
    path = connection_path(folder)
    if not path.exists():
        return True
    connection = load_yaml(path, Connection).below(folder)
    if connection.scheme != "https":
        return True
    ask_server(connection.exchange, connection.ca_file)
    exchange = HttpExchange(connection.exchange, connection.ca_file, agency, key, Space("rosters", agency))
    try:
        exchange.names()  # of no scenario: all that is wanted is whether the key is let in
    except (NotAdmitted, WrongKey):
        return False
    finally:
        exchange.close()
    return True
