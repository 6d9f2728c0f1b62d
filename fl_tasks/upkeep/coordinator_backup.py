"""Backup and restore of the coordinator: its own folder, the exchange with rosters and registry, MLflow, the reports.

The exchange is write-once, and so is its restore: what lies there stays, what is missing comes back, and a name with
another content is refused. Airflow's database and an MLflow server are not in it; docs/how-to/backup.md says how.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fl_tasks.contracts.base import locked, make_private_folder, sha256_file
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.admitted import admitted_folder
from fl_tasks.stages.context import load_key, protocol_key_path
from fl_tasks.upkeep.agency_backup import check_no_daemon, check_own, put_in_place, staged
from fl_tasks.upkeep.archive import BackupRefused, Manifest, read_manifest, unpack, write_archive

NAME = "coordinator"
_DATABASE = "mlflow.db"
_LOCKS = {"lock", "daemon.sock", "daemon.log"}


def back_up_coordinator(home: Home, to: Path) -> Manifest:
    """Write the coordinator's backup. Runs that are open meanwhile are not to be gone on with after a restore.

    Raises:
        ConfigError: If there is no coordinator here, or the file cannot be made.
    """
    load_key(protocol_key_path(home.coordinator))
    make_private_folder(home.mlflow)
    database = home.mlflow / _DATABASE
    with locked(home.mlflow / "lock"), tempfile.TemporaryDirectory(dir=home.mlflow, prefix=".backup-") as folder:
        copy = Path(folder) / _DATABASE
        if database.exists():
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        name = database.relative_to(home.root).as_posix()
        return write_archive(to, "coordinator", NAME, [*_covered(home), *([(name, copy)] if copy.exists() else [])])


def restore_coordinator(home: Home, source: Path) -> Manifest:
    """Put the coordinator's backup back.

    Who is let in stays as it is here, if anybody was: a revocation since the backup is not undone.

    Raises:
        BackupRefused: If the archive is damaged, of another coordinator, or differs from what the exchange holds.
        DaemonRuns: If the coordinator's daemon runs.
        ConfigError: If the home is another user's.
    """
    manifest = read_manifest(source, "coordinator", NAME)
    make_private_folder(home.root)
    check_own(home.root)
    check_no_daemon(home.root, home.coordinator)
    exchange, admissions, key, database = (
        path.relative_to(home.root).as_posix()
        for path in (
            home.exchange(NAME).parent,
            admitted_folder(home),
            protocol_key_path(home.coordinator),
            home.mlflow / _DATABASE,
        )
    )
    present = {name for name in manifest.files if (home.root / name).exists()}
    same = {name for name in present if name == key or name.startswith(f"{exchange}/")}
    wrong = sorted(name for name in same if sha256_file(home.root / name) != manifest.files[name])
    if wrong:
        raise BackupRefused(
            f"{source}: {len(wrong)} of its files are here with other content, like {wrong[0]}: what was sent and "
            "signed never changes, so that the backup is another coordinator's, or the files here were altered. "
            "Nothing was changed: restore into an empty HUILIU_HOME and compare"
        )
    kept = {name for name in manifest.files if name.startswith(f"{admissions}/") and admitted_folder(home).exists()}
    with locked(home.mlflow / "lock"), staged(home.root) as staging:
        unpack(source, manifest, staging)
        for left in ("-wal", "-shm", "-journal"):  # of the database that is replaced
            if database in manifest.files:
                (home.root / f"{database}{left}").unlink(missing_ok=True)
        put_in_place(staging, home.root, sorted(manifest.files.keys() - same - kept))
    return manifest


def _covered(home: Home) -> Iterator[tuple[str, Path]]:
    """Yield name and path of the files of the coordinator's backup, but for MLflow's database."""
    # The exchange last: it then holds at least what the coordinator's own folder speaks of.
    for folder in (home.coordinator, home.report(NAME).parent, home.exchange(NAME).parent):
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if any(part.startswith(".") for part in parts) or path.is_symlink() or not path.is_file():
                continue
            if path.name in _LOCKS or path.suffix == ".lock" or path.name.startswith(_DATABASE):
                continue
            yield path.relative_to(home.root).as_posix(), path
