"""How the agencies of a federation on one machine come to take part: the commands of docs/how-to/agency.md, one by one.

What passes between operators by hand in a real federation (an agency's card, the authority's file, a roster's hash) is
carried here by root; everything else goes over the agency's link and is done as the party's user. Safe to repeat.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fl_airflow.hosts.layout import AgencyHost, Layout
from fl_airflow.hosts.network import as_user, in_host
from fl_airflow.hosts.users import agency_environment, user_environment
from fl_airflow.server.config import authority_file, read_config
from fl_airflow.server.errors import ServerError
from fl_tasks.contracts.base import write_atomic

_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


def enrol_agencies(layout: Layout, say: Callable[[str], None]) -> None:
    """Let every agency join, be admitted, and approve the roster; set its worker up. Later: approve the code again.

    Raises:
        ServerError: If a command fails; the message holds its last lines.
    """
    done = layout.root / "enrolled"
    scenario = layout.file.scenario
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if done.exists():
            say("agencies approve the code as installed")
            list(pool.map(lambda host: _fl(host, "agency", "approve-code"), layout.hosts))
            return
        say("agencies join")
        list(pool.map(lambda host: _join(layout, host), layout.hosts))
        say("the coordinator admits the agencies")
        for host in layout.hosts:
            _admit(layout, host)
        say("agencies make the scenario's keys and policies")
        list(pool.map(lambda host: _fl(host, "agency", "init", "--scenario", scenario), layout.hosts))
        say("the roster is proposed and approved")
        roster = _hash(coordinator_command(layout, "coordinator", "init", "--scenario", scenario))
        list(pool.map(lambda host: _fl(host, "agency", "approve", roster, "--scenario", scenario), layout.hosts))
        say("workers are set up")
        list(pool.map(lambda host: _set_worker_up(layout, host), layout.hosts))
    done.touch()


def _join(layout: Layout, host: AgencyHost) -> None:
    _fl(host, "agency", "join", "--url", layout.url, "--ca", str(handed_authority(host)))


def _admit(layout: Layout, host: AgencyHost) -> None:
    card = host.home.agency(host.name) / "card.json"
    handed = layout.root / "cards" / f"{host.name}.json"
    handed.parent.mkdir(exist_ok=True)
    write_atomic(handed, card.read_bytes())
    handed.chmod(0o644)
    coordinator_command(layout, "coordinator", "admit", str(handed), "--fingerprint", _fingerprint(host))


def _fingerprint(host: AgencyHost) -> str:
    """Ask the agency's own operator for the fingerprint of its card."""
    return _hash(_fl(host, "agency", "card"))


def _set_worker_up(layout: Layout, host: AgencyHost) -> None:
    key = (host.home.agency(host.name) / "keys" / "airflow.key").read_bytes()
    argv = worker_setup(layout, host, "-")
    _run([*in_host(host), *as_user(host.worker_uid), *argv], user_environment(host.worker), key)


def worker_setup(layout: Layout, host: AgencyHost, key: str) -> list[str]:
    """Return the command that gives an agency's worker its configuration and key; `-` takes the key from its input."""
    return [
        *(sys.executable, "-P", "-m", "fl_airflow.worker", "init", "--folder", str(host.worker)),
        *("--agency", host.name, "--url", layout.url, "--ca", str(handed_authority(host)), "--key", key),
        *("--socket-folder", str(host.socket_folder), "--dags-folder", str(host.dags)),
    ]


def handed_authority(host: AgencyHost) -> Path:
    """Return the authority's file as the agency was given it."""
    return host.folder / "authority.pem"


def hand_authority(layout: Layout) -> None:
    """Give every agency the file of the coordinator's certificate authority."""
    source = authority_file(layout.home, read_config(layout.home))
    assert source is not None  # a federation's server has TLS
    for host in layout.hosts:
        write_atomic(handed_authority(host), source.read_bytes())
        handed_authority(host).chmod(0o644)


def _fl(host: AgencyHost, *words: str) -> str:
    fl = [sys.executable, "-P", "-m", "fl_tasks", *words, "--agency", host.name]
    return _run([*in_host(host), *as_user(host.daemon_uid), *fl], agency_environment(host))


def coordinator_command(layout: Layout, *words: str) -> str:
    """Run `fl WORDS` as the coordinator's user, and return what it said; raises ServerError if it fails."""
    env = {
        **user_environment(layout.home),
        "HUILIU_HOME": str(layout.home),
        "HUILIU_FEDERATION": str(layout.dags / "federation"),
    }
    return _run([*as_user(layout.uid), sys.executable, "-P", "-m", "fl_tasks", *words], env)


def _run(argv: Sequence[str], env: Mapping[str, str], standard_input: bytes = b"") -> str:
    done = subprocess.run(argv, env=dict(env), input=standard_input, capture_output=True, check=False, cwd="/")
    if done.returncode != 0:
        last = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-3:]
        words = " ".join(argv[argv.index(sys.executable) + 1 :])
        raise ServerError(f"{words} ended with exit code {done.returncode}: {' | '.join(last)}")
    return done.stdout.decode()


def _hash(said: str) -> str:
    found = _SHA256.findall(said)
    if not found:
        raise ServerError("the last line of a command must hold a hash of 64 hexadecimal digits")
    return str(found[-1])
