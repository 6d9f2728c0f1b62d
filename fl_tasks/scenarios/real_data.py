"""Finding the real data sets below the folder that a user names."""

from __future__ import annotations

from pathlib import Path

from fl_tasks.contracts.errors import InputError


def traffic_folder(data: Path) -> Path:
    """Return the folder of the traffic files: `traffic/` below the folder named, or that folder itself.

    Raises:
        InputError: If there is no such folder.
    """
    return _folder(data, "traffic")


def welfare_folder(data: Path) -> Path:
    """Return the folder of the files about people, as traffic_folder does: `welfare/`."""
    return _folder(data, "welfare")


def epidemic_folder(data: Path) -> Path:
    """Return the folder of the files about epidemics, as traffic_folder does: `epidemic/`."""
    return _folder(data, "epidemic")


def _folder(data: Path, name: str) -> Path:
    if not data.is_dir():
        raise InputError(f"{data}: there is no such folder; give the folder that holds {name}/")
    inner = data / name
    return inner if inner.is_dir() else data
