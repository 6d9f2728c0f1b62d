"""What the commands share: the installation's places, how a command is declared, and how an error ends it."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import fl_tasks
from fl_tasks.contracts.errors import FLError, is_disk_full
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import EXIT_FINAL, EXIT_RETRY

REPOSITORY = Path(fl_tasks.__file__).parents[1]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def home() -> Home:
    """The installation's home: HUILIU_HOME, or var/ beside the package."""
    return Home(Path(os.environ.get("HUILIU_HOME") or REPOSITORY / "var").resolve())


def federation() -> Path:
    """The folder with scenarios/ and agencies/: HUILIU_FEDERATION, or dags/federation beside the package."""
    return Path(os.environ.get("HUILIU_FEDERATION") or REPOSITORY / "dags" / "federation").resolve()


def command(
    group: Commands, name: str, text: str, function: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """Add a command to a group of them; `function` does it, and raises an FLError where it cannot."""
    made = group.add_parser(name, help=text, description=text)
    made.set_defaults(function=function)
    return made


def end_of_day(text: str) -> dt.datetime:
    """Read a day that a command is given; it is over at the next midnight in UTC."""
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; needed is one like 2027-12-31") from error
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1)


def exit_code_of(work: Callable[[], object]) -> int:
    """Do the work; say an error that was raised on purpose, and return the process's exit code."""
    try:
        work()
    except FLError as error:
        print(f"error: {error.code}: {error}", file=sys.stderr)
        return EXIT_RETRY if error.retryable else EXIT_FINAL
    except OSError as error:
        if not is_disk_full(error):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"error: DiskFull: {place}{error.strerror}: make room (docs/runbooks/disk-full.md, `fl retain`), then try "
            "again; files are written whole or not at all",
            file=sys.stderr,
        )
        return EXIT_RETRY
    return 0
