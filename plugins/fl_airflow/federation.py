"""Make a working federation of one scenario below one home folder; safe to repeat."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from fl_airflow.installation import FEDERATION
from fl_airflow.settings import airflow_home, environment
from fl_tasks import scenarios
from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.scenarios.hand_out import hand_out

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEED = 7


class CommandFailed(FLError):
    """A command that the set-up needs ended with an error; the message holds its last lines."""

    retryable: ClassVar[bool] = True


def hand_out_data(scenario: str, home: Path, data: Path | None) -> None:
    """Give every agency its own data file: parts of a real data set, or of a generated one.

    Raises:
        InputError: If a file of the real data set is missing or malformed.
    """
    module = scenarios.load(scenario)
    files = module.generate(seed=_SEED) if data is None else module.split_real(data)
    hand_out(scenario, files, Home(home), FEDERATION)


def found_federation(scenario: str, home: Path) -> None:
    """Make every member's keys, then the roster, and let every member approve it by its hash."""
    members = [agency.agency for agency in load_federation(FEDERATION).members(scenario)]
    _each(members, lambda agency: _fl(home, "agency", "init", "--scenario", scenario, "--agency", agency))
    said = _fl(home, "coordinator", "init", "--scenario", scenario).split()
    roster = said[-1] if said else ""
    if not _SHA256.fullmatch(roster):
        raise CommandFailed("fl coordinator init: the last line must be the roster's hash, 64 hexadecimal digits")
    _each(members, lambda agency: _fl(home, "agency", "approve", roster, "--scenario", scenario, "--agency", agency))


def prepare_airflow(home: Path) -> None:
    """Make Airflow's database, once for each version of Airflow."""
    stamp = airflow_home(home) / f"migrated-{version('apache-airflow-core')}"
    if not stamp.exists():
        stamp.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _call(home, "airflow db migrate", [sys.executable, "-P", "-m", "airflow", "db", "migrate"])
        stamp.touch()


def _each(agencies: Sequence[str], work: Callable[[str], object]) -> None:
    """Do the same for all agencies, as many at a time as there are cores; raises what the first of them raised."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(work, agencies):
            pass


def _fl(home: Path, *words: str) -> str:
    return _call(home, f"fl {' '.join(words)}", [sys.executable, "-P", "-m", "fl_tasks", *words])


def _call(home: Path, name: str, argv: Sequence[str]) -> str:
    done = subprocess.run(
        argv, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise CommandFailed(f"{name} ended with exit code {done.returncode}: {last}")
    return done.stdout
