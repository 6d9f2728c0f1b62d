"""Which of the things that runs left may go, by age and number, and how they go.

Nothing goes that a later run needs; `agency_leftovers` and `coordinator_leftovers` say what that is. What goes is first
given another name, which takes all of it away at once, and then deleted: a call that was interrupted leaves nothing
half, and the next one deletes what it left.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.contracts.base import fsync_folder, make_private_folder
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import NameRefused

LEAST_DAYS = 1
"""A run that was at work today is never old."""

_REMOVED = ".removed"


@dataclass(frozen=True)
class Limits:
    """What is kept: whatever is young, and of each kind the newest whatever their age.

    Attributes:
        days: Age from which a thing may go.
        keep: How many of each kind stay.
    """

    days: int
    keep: int

    def __post_init__(self) -> None:
        if self.days < LEAST_DAYS or self.keep < 1:
            raise ConfigError(
                f"--older-than {self.days} and --keep {self.keep}: needed are at least {LEAST_DAYS} day and 1 run of "
                "each kind; nothing was removed"
            )


@dataclass(frozen=True)
class Leftover:
    """What one run left in one party's folders.

    Attributes:
        kind: What it is counted with, like the retrainings of a scenario.
        run_id: Whose.
        last: When something was last at work on it.
        over: Whether nothing can go on with it; what is not over never goes.
        paths: Files and folders that may go.
    """

    kind: str
    run_id: str
    last: dt.datetime
    over: bool
    paths: tuple[Path, ...]


def old(found: Iterable[Leftover], limits: Limits, now: dt.datetime) -> list[Leftover]:
    """Return what may go, oldest first."""
    by_kind: defaultdict[str, list[Leftover]] = defaultdict(list)
    for one in found:
        by_kind[one.kind].append(one)
    age = dt.timedelta(days=limits.days)
    going = [
        one
        for kind in by_kind.values()
        for one in sorted(kind, key=lambda one: one.last, reverse=True)[limits.keep :]
        if one.over and one.paths and now - one.last > age
    ]
    return sorted(going, key=lambda one: one.last)


def freed_bytes(paths: Iterable[Path]) -> int:
    """Return how many bytes of disk go with some files and folders: a file with names elsewhere does not go."""
    names: defaultdict[tuple[int, int], int] = defaultdict(int)
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for path in paths:
        for file in _files(path):
            facts = file.lstat()
            key = facts.st_dev, facts.st_ino
            names[key] += 1
            sizes[key] = facts.st_nlink, facts.st_blocks * 512
    return sum(size for key, (links, size) in sizes.items() if names[key] == links)


def remove(paths: Iterable[Path]) -> None:
    """Take files and folders away, each at once, then delete them."""
    places = set()
    for path in paths:
        place = path.parent / _REMOVED
        make_private_folder(place)
        os.rename(path, place / f"{path.name[:200]}-{secrets.token_hex(8)}")
        fsync_folder(path.parent)
        places.add(place)
    for place in places:
        shutil.rmtree(place)


def remove_interrupted(folder: Path) -> None:
    """Delete what an earlier call took away below a folder and could not delete any more."""
    for place in (folder / _REMOVED, *folder.glob(f"*/{_REMOVED}")):
        if place.exists():
            shutil.rmtree(place)


def children(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder, but for hidden names; nothing if it is not there."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))


def run_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of runs below a folder; what is not named like a run is nobody's to remove."""
    for path in children(folder):
        with suppress(NameRefused):
            Space("runs", path.name)
            if path.is_dir():
                yield path


def last_work(folders: Iterable[Path]) -> dt.datetime:
    """Return when a stage last wrote its spec or its result in a run's folders, or else when they last changed."""
    times = []
    for folder in folders:
        files = [*folder.glob("specs/*.json"), *folder.glob("results/*.json")]
        times += [path.stat().st_mtime for path in files or [folder]]
    return dt.datetime.fromtimestamp(max(times), dt.UTC)


def kind_of(run_id: str, scenarios: Iterable[str]) -> str:
    """Return what a run is counted with: its kind and scenario, like `forecast.traffic`.

    Args:
        run_id: `<scenario>__<Airflow run id>`, or `<kind>.<scenario>__<...>`.
        scenarios: Those that are known; a name may hold a double underscore itself.
    """
    kind, dot, rest = run_id.partition(".") if "." in run_id.partition("__")[0] else ("", "", run_id)
    fitting = [name for name in scenarios if rest.startswith(f"{name}__")]
    return kind + dot + max(fitting, key=len, default=rest.partition("__")[0])


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        yield from (file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
    else:
        yield path
