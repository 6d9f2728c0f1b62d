"""Let other users read what they have to run, though it lies below a folder that only root may enter.

Where an interpreter or a checkout is below /root, say, no other user can start it. In a mount namespace of our own that
folder is covered by an empty one, in which the needed folders appear at their places and nothing else. The machine's
own view does not change.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fl_airflow.installation import REPOSITORY
from fl_airflow.server.errors import ServerError


def needed_folders() -> tuple[Path, ...]:
    """Return what every party runs: the checkout with its environments, and their interpreter."""
    return REPOSITORY.resolve(), Path(sys.base_prefix).resolve()


def open_to_all(folders: Iterable[Path]) -> None:
    """Make folders reachable for every user; call it in a mount namespace of our own.

    Raises:
        ServerError: If a mount fails.
    """
    hidden: dict[Path, list[Path]] = {}
    for folder in folders:
        closed = [parent for parent in reversed(folder.parents) if not parent.stat().st_mode & 0o001]
        if closed:
            hidden.setdefault(closed[0], []).append(folder)
    for closed_folder, within in hidden.items():
        with tempfile.TemporaryDirectory(prefix="huiliu-", dir="/run") as name:
            # The kernel moves no mount out of or into a place that is shared with other namespaces.
            _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", name)
            places = []
            for number, folder in enumerate(within):
                place = Path(name) / str(number)
                place.mkdir()
                _mount("--rbind", str(folder), str(place))
                places.append(place)
            _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(closed_folder))
            for folder, place in zip(within, places, strict=True):
                folder.mkdir(parents=True)
                _mount("--move", str(place), str(folder))
            _call("umount", name)


def _mount(*words: str) -> None:
    _call("mount", *words)


def _call(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    if done.returncode != 0:
        raise ServerError(f"{' '.join(argv)} ended with exit code {done.returncode}: {done.stderr.strip()}")
