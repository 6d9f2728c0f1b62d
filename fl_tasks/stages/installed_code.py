"""Which code an agency's operator approved: the digest of what runs here, and what has changed since.

Covered: every file of the packages fl_tasks, fl_airflow and expectations, the plugin file beside fl_airflow, and the
Python files of the DAG folder, which is the one that holds the federation folder. Not covered: caches, the YAML of the
federation (config_sha256 and policy.yaml hold it), the Python environments and their libraries.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from fl_tasks.contracts.base import Contract, Name, Sha256, describe, sha256_hex, write_atomic
from fl_tasks.contracts.errors import CodeNotApproved, ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import code_sha256

_PACKAGES = ("fl_tasks", "fl_airflow", "expectations")
_PLUGIN = "fl_plugin.py"  # Airflow loads it from the folder that fl_airflow lies in
_DAG_SUFFIXES = {".py", ".zip", ".pyc"}  # what Airflow looks for DAGs in, and what Python would take for a module
_MOST_NAMED = 10


class CodeApproval(Contract):
    """The code that an agency's operator approved, file by file; approved/code.json in the agency's folder."""

    agency: Name
    federation: str = Field(description="Absolute path of the federation folder; its parent is the DAG folder.")
    files: dict[str, Sha256] = Field(description="Name below its package or `dags` -> SHA-256 of the content.")

    @property
    def sha256(self) -> str:
        """One digest over the sorted names and hashes."""
        return code_sha256(self.files)


@dataclass(frozen=True)
class CodeApproved:
    """What an approval recorded, and in which files that differs from the one before."""

    approval: CodeApproval
    changed: tuple[str, ...]


def approval_path(folder: Path) -> Path:
    """Where an agency keeps what it approved."""
    return folder / "approved" / "code.json"


def approve_code(home: Home, federation: Path, agency: str) -> CodeApproved:
    """Record the installation as it stands as the one that this agency's stages may run.

    Raises:
        ConfigError: If the agency has no folder yet.
    """
    folder = home.agency(agency)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such agency here; run `fl agency init` first")
    path = approval_path(folder)
    files = installed_files(home, federation)
    approval = CodeApproval(agency=agency, federation=str(federation.resolve()), files=files)
    changed: tuple[str, ...] = ()
    with suppress(FileNotFoundError, CodeNotApproved):  # a first approval, or one in place of a torn file
        changed = _differences(_read(path).files, approval.files)
    write_atomic(path, approval.model_dump_json(indent=1).encode())
    return CodeApproved(approval, changed)


def check_code(home: Home, federation: Path, agency: str) -> None:
    """Refuse to run anything but the approved code.

    Raises:
        CodeNotApproved: If nothing was approved, a file is another one, or the spec names another federation folder.
            The message names files, never what is in them.
    """
    path = approval_path(home.agency(agency))
    command = f"fl agency approve-code --agency {agency}"
    if not path.exists():
        raise CodeNotApproved(f"{path}: no code was approved at this agency; look at what is installed, then {command}")
    approval = _read(path)
    if (approval.agency, approval.federation) != (agency, str(federation.resolve())):
        raise CodeNotApproved(
            f"{path}: approved are the DAGs beside {approval.federation} of {approval.agency}, the run comes from "
            f"{federation} for {agency}; if that is right: {command}"
        )
    changed = _differences(approval.files, installed_files(home, federation))
    if changed:
        more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
        raise CodeNotApproved(
            f"the code here is not the one that was approved ({approval.sha256[:16]}): "
            f"{', '.join(changed[:_MOST_NAMED])}{more}; look at the change, then {command}"
        )


def installed_files(home: Home, federation: Path) -> dict[str, str]:
    """Return name -> SHA-256 of every file whose code can run in an agency's stage or task."""
    return {name: sha256_hex(path.read_bytes()) for name, path in installed_paths(home, federation).items()}


def installed_paths(home: Home, federation: Path) -> dict[str, Path]:
    """Return name -> path of the same files."""
    found: dict[str, Path] = {}
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue  # an installation without Airflow has no fl_airflow
        folder = Path(spec.origin).parent
        _add(found, package, folder, _walk(folder))
        plugin = folder.parent / _PLUGIN
        if package == "fl_airflow" and plugin.exists():
            _add(found, "plugins", folder.parent, [plugin])
    dags = federation.parent
    # A federation folder without a DAG file beside it is no DAG folder, and whatever lies there is not ours.
    if dags.is_dir() and any(path.suffix in _DAG_SUFFIXES for path in dags.iterdir()):
        files = _walk(dags, (federation, home.root))
        _add(found, "dags", dags, (path for path in files if path.suffix in _DAG_SUFFIXES))
    return found


def _add(found: dict[str, Path], name: str, root: Path, paths: Iterable[Path]) -> None:
    found.update({f"{name}/{path.relative_to(root).as_posix()}": path for path in paths})


def _walk(folder: Path, skipped: Collection[Path] = ()) -> Iterator[Path]:
    """Return all files below a folder but for caches and hidden ones; links are followed, as Airflow does."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        if (real := os.path.realpath(place)) in seen:
            folders.clear()  # a link to a folder above it
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not _passed_over(name) and here / name not in skipped]
        yield from (here / name for name in files if not _passed_over(name))


def _passed_over(name: str) -> bool:
    # Compiled code beside __pycache__ is no cache: Python would take it in the place of a module.
    return name.startswith(".") or name == "__pycache__"


def _differences(before: dict[str, str], now: dict[str, str]) -> tuple[str, ...]:
    told = dict.fromkeys(before.keys() - now.keys(), "gone")
    told |= dict.fromkeys(now.keys() - before.keys(), "new")
    told |= {name: "changed" for name in before.keys() & now.keys() if before[name] != now[name]}
    return tuple(f"{name} ({what})" for name, what in sorted(told.items()))


def _read(path: Path) -> CodeApproval:
    try:
        return CodeApproval.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CodeNotApproved(f"{path}: {describe(error)}; record the approval anew") from error
