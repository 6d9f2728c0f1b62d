"""How an agency does: each thing that a run needs of it, and what to do where one is missing."""

from __future__ import annotations

import socket
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from fl_tasks.agency.rotate import next_folder
from fl_tasks.agency.server import ServerInfo, ask_server
from fl_tasks.contracts.config import load_agency, load_yaml
from fl_tasks.contracts.connection import Connection, connection_path, exchange_key_path
from fl_tasks.contracts.errors import ConfigError, FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.policy import Policy
from fl_tasks.daemon import place
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.open import open_exchange
from fl_tasks.stages.context import airflow_key_path, load_roster, protocol_key_path, training_secret_path
from fl_tasks.stages.enrol import load_card
from fl_tasks.stages.installed_code import check_code
from fl_tasks.stages.policy import policy_path


class AgencyNotReady(FLError):
    """Something that a run needs of an agency is not as it should be."""

    retryable: ClassVar[bool] = True


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: Whether it is as it should be.
        what: What was looked at.
        said: How it is; if it is wrong, what to do.
    """

    ok: bool
    what: str
    said: str


def findings(home: Home, federation: Path, agency: str, socket_folder: Path | None) -> Iterator[Finding]:
    """Look at everything that an agency needs, one thing after the other.

    Args:
        home: The installation.
        federation: Its folder with scenarios/ and agencies/.
        agency: Whose.
        socket_folder: Where its daemon listens; None: in the agency's own folder.
    """
    folder = home.agency(agency)
    yield _look("folder", lambda: _folder(folder, agency))
    yield _look("keys", lambda: _keys(folder))
    yield _look("code", lambda: _code(home, federation, agency))
    for scenario in _scenarios(federation, agency):
        yield _look(f"policy, {scenario}", partial(_policy, folder, agency, scenario))
        yield _look(f"roster, {scenario}", partial(_roster, folder, agency, scenario))
    yield from _connection(home, agency)
    yield _look("daemon", lambda: _daemon(socket_folder or folder))


def _look(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(True, what, look())
    except FLError as error:
        return Finding(False, what, str(error))


def _folder(folder: Path, agency: str) -> str:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is not there; run `fl agency join --agency {agency}`, or `fl agency init`")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode != 0o700:
        raise ConfigError(f"{folder}: has mode {mode:04o}, needed is 0700: chmod 0700 {folder}")
    return f"{folder}, mode 0700"


def _keys(folder: Path) -> str:
    paths = [path(folder) for path in (protocol_key_path, airflow_key_path, exchange_key_path)]
    card = load_card(folder, folder.name)
    for path in (*paths, training_secret_path(folder)):
        if not path.exists():
            raise ConfigError(f"{path}: is not there; run `fl agency init`")
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path}: others may read it: chmod 0600 {path}; if others were here, `fl agency rotate`")
    if next_folder(folder).exists():
        raise ConfigError("new keys wait: hand card.json to the coordinator, then run `fl agency rotate` again")
    return f"card {card.fingerprint}"


def _code(home: Home, federation: Path, agency: str) -> str:
    check_code(home, federation, agency)
    return "as its operator approved it"


def _scenarios(federation: Path, agency: str) -> list[str]:
    """The scenarios that an agency's YAML names; none if it cannot be read, which the look at the code tells."""
    try:
        return sorted(load_agency(federation, agency).scenarios)
    except ConfigError:
        return []


def _policy(folder: Path, agency: str, scenario: str) -> str:
    policy = load_yaml(policy_path(folder), Policy)
    if scenario not in policy.scenarios:
        raise ConfigError(f"not admitted; to take part: fl agency init --scenario {scenario} --agency {agency}")
    return f"admits up to {policy.scenarios[scenario].max_rounds} rounds"


def _roster(folder: Path, agency: str, scenario: str) -> str:
    roster = load_roster(folder, scenario)
    listed = {card.name: card.protocol_key for card in roster.members}
    if listed.get(agency) != load_card(folder, agency).protocol_key:
        raise ConfigError(
            "the approved one holds another protocol key than this agency's: the coordinator has to propose another"
        )
    return f"version {roster.version}, {roster.sha256.hex()}"


def _connection(home: Home, agency: str) -> Iterator[Finding]:
    """Look at the way to the coordinator, step by step; what comes after a step that fails is not looked at."""
    folder = home.agency(agency)
    path = connection_path(folder)
    if not path.exists():
        yield Finding(True, "connection", f"none: the exchange is the folder {home.root / 'exchange'}")
        return
    try:
        connection = load_yaml(path, Connection).below(folder)
    except FLError as error:
        yield Finding(False, "connection", str(error))
        return
    if connection.scheme == "https":
        server: list[ServerInfo] = []
        yield _look("server", lambda: _server(connection, server))
        if not server:
            return
        yield _look("worker", lambda: _worker(server[0]))
    yield _look("admission", lambda: _admission(home, agency))


def _server(connection: Connection, found: list[ServerInfo]) -> str:
    found.append(ask_server(connection.exchange, connection.ca_file))
    return f"{connection.exchange} answers, huiliu {found[0].huiliu}, clocks agree"


def _worker(server: ServerInfo) -> str:
    """Hold the versions of what the worker runs here against the server's."""
    here = {"airflow": _version("apache-airflow"), "edge_provider": _version("apache-airflow-providers-edge3")}
    for name, version in here.items():
        there = getattr(server, name)
        if version != there:
            raise ConfigError(f"{name} {version or 'is not installed'} here, {there} at the server: install the same")
    return f"Airflow {here['airflow']}, edge provider {here['edge_provider']}, as the server's"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _admission(home: Home, agency: str) -> str:
    open_exchange(home, agency, Space("rosters", agency)).names()  # of no scenario: only whether the key is let in
    return "the exchange lets this agency in"


def _daemon(folder: Path) -> str:
    channel = place.connect(folder)
    if channel is None:
        raise ConfigError(
            f"{folder}: no daemon answers; systemctl status its unit (`fl agency units`), or run `fl agency serve`"
        )
    with channel:
        pid, user, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"process {pid} of user {user} listens in {folder}"
