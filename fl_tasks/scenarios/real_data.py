"""Finding the real data sets below the folder that a user names."""

from __future__ import annotations

from pathlib import Path

from fl_tasks.contracts.errors import InputError


def traffic_folder(data: Path) -> Path:
    """Return the folder of the traffic files: `traffic/` below the folder named, or that folder itself.

    Raises:
        InputError: If there is no such folder.
    """
    if not data.is_dir():
        raise InputError(f"{data}: there is no such folder; give the folder that holds traffic/")
    inner = data / "traffic"
    return inner if inner.is_dir() else data
