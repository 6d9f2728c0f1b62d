"""Backup and restore of an agency: what cannot be made again, and nothing that the protocol has to forget.

In it: keys, card, policy, connection, the officer's card, approvals and rosters, the journals, which champion was used,
what the agency remembers of its data, and of each run the record of its examples, by which forecasts are scaled. Not in
it: rows, forecasts and scores; secrets of sessions, which the protocol deletes after use; and the journals' second
heads, which tell a restored journal from the newest one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fl_tasks.agency.join import card_path
from fl_tasks.approvals.places import card_path as officer_card_path
from fl_tasks.contracts.base import fsync_folder, make_private_folder
from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.connection import Connection, connection_path
from fl_tasks.contracts.data import accepted_path, prepared_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.daemon import place
from fl_tasks.daemon.place import DaemonRuns
from fl_tasks.secagg.errors import JournalBroken
from fl_tasks.secagg.journal import hold_journal, open_journal
from fl_tasks.stages.champions import used_path
from fl_tasks.stages.context import approved_roster_path, journal_paths, protocol_key_path, sessions_folder
from fl_tasks.stages.policy import policy_path
from fl_tasks.stages.watch import trained_on_path
from fl_tasks.upkeep.archive import BackupRefused, Manifest, read_manifest, unpack, write_archive
from fl_tasks.upkeep.retain import children

_STAGED = ".restore-"
_ANY = "any"


def back_up_agency(home: Home, agency: str, to: Path) -> Manifest:
    """Write an agency's backup while no stage of it is at work; the daemon may run.

    Raises:
        ConfigError: If there is no such agency here, or the file cannot be made.
        JournalBusy: If a stage is at work.
    """
    folder = home.agency(agency)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such agency here; see HUILIU_HOME")
    with hold_journals(folder, _scenarios(folder)):
        return write_archive(
            to, "agency", agency, [(path.relative_to(folder).as_posix(), path) for path in _covered(folder)]
        )


def restore_agency(
    home: Home, agency: str, source: Path, *, journal_lost: bool = False, socket_folder: Path | None = None
) -> Manifest:
    """Put an agency's backup back. Files that the backup does not know stay; heads and the sessions' secrets do, too.

    Args:
        home: The installation.
        agency: Whose.
        source: The archive.
        journal_lost: Put a journal back although the head beside it tells of later entries.
        socket_folder: Where its daemon listens; None: in the agency's own folder.

    Raises:
        BackupRefused: If the archive is damaged, another party's, or its journal is older than what was done since.
        DaemonRuns: If the agency's daemon runs.
        JournalBusy: If a stage is at work.
        ConfigError: If the folder is another user's.
    """
    manifest = read_manifest(source, "agency", agency)
    folder = home.agency(agency)
    make_private_folder(folder)
    check_own(folder)
    check_no_daemon(home.root, folder, *(() if socket_folder is None else (socket_folder,)))
    journals = sorted(name for name in manifest.files if name.endswith("/journal.jsonl"))
    scenarios = [Path(name).parent.name for name in journals]
    with hold_journals(folder, [*scenarios, *_scenarios(folder)]), staged(folder) as staging:
        unpack(source, manifest, staging)
        if not journal_lost:
            for scenario in scenarios:
                _check_journal(source, folder, staging, scenario)
        used = {used_path(folder, scenario).relative_to(folder).as_posix() for scenario in scenarios}
        newer = {name for name in used & manifest.files.keys() if _number(folder / name) > _number(staging / name)}
        # The journals last: whatever is interrupted here is still what the head tells of.
        others = sorted(manifest.files.keys() - newer - set(journals))
        put_in_place(staging, folder, [*others, *journals])
    return manifest


def heads_missing(home: Home, agency: str, manifest: Manifest) -> list[str]:
    """Return the scenarios whose restored journal has no second head here, as on a new machine."""
    folder = home.agency(agency)
    found = (Path(name).parent.name for name in manifest.files if name.endswith("/journal.jsonl"))
    return sorted(scenario for scenario in found if not journal_paths(folder, scenario)[1].exists())


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder for what is to be put in place, beside its place; gone at the end."""
    for left in folder.glob(f"{_STAGED}*"):  # by a call that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder, prefix=_STAGED) as name:
        yield Path(name)


def put_in_place(staging: Path, folder: Path, names: Iterable[str]) -> None:
    """Move files into place one after the other, each whole; a second call after an interrupted one does the rest."""
    places = set()
    for name in names:
        target = folder / name
        make_private_folder(target.parent)
        os.replace(staging / name, target)
        places.add(target.parent)
    for path in places:
        fsync_folder(path)


def check_own(folder: Path) -> None:
    """Refuse to write into another user's folder: what is restored would not be readable there; raises ConfigError."""
    owner = folder.stat().st_uid
    if owner != os.getuid():
        raise ConfigError(f"{folder}: belongs to user {owner}; run this command as that user. Nothing was changed")


def check_no_daemon(*folders: Path) -> None:
    """Refuse to go on while a daemon listens in one of these folders; raises DaemonRuns."""
    for folder in folders:
        channel = place.connect(folder) if folder.is_dir() else None
        if channel is not None:
            channel.close()
            raise DaemonRuns(f"{folder}: a daemon serves it; stop it, then try again. Nothing was changed")


@contextmanager
def hold_journals(folder: Path, scenarios: Iterable[str]) -> Iterator[None]:
    """Hold the journals of an agency as a stage does; raises JournalBusy."""
    with ExitStack() as held:
        for scenario in sorted(set(scenarios)):
            held.enter_context(hold_journal(journal_paths(folder, scenario)[0]))
        yield


def _check_journal(source: Path, folder: Path, staging: Path, scenario: str) -> None:
    """Hold a journal of the archive against the head here, if there is one."""
    path, head = journal_paths(folder, scenario)
    restored = staging / path.relative_to(folder)
    if not head.exists():
        return
    try:
        with open_journal(restored, head):
            pass
    except JournalBroken as error:
        raise BackupRefused(
            f"{source}: its journal of {scenario} is not the newest: {head} tells of other entries. What was done "
            f"since the backup would be forgotten, so nothing was changed. If {path} is still there, keep it and "
            "restore single files by hand (tar); if it is lost, give --journal-lost: sessions that are open stay "
            "refused (JournalBroken) until a new run starts"
        ) from error


def _scenarios(folder: Path) -> list[str]:
    return [path.name for path in children(sessions_folder(folder)) if path.is_dir()]


def _covered(folder: Path) -> Iterator[Path]:
    """Yield the files of an agency's backup."""
    single = [policy_path(folder), card_path(folder), officer_card_path(folder), connection_path(folder)]
    if connection_path(folder).exists():
        connection = load_yaml(connection_path(folder), Connection).below(folder)
        named = (connection.ca_file, connection.credentials_file, connection.known_hosts_file)
        single += [path for path in named if path is not None and path.is_relative_to(folder)]
    for scenario in _scenarios(folder):
        path, _ = journal_paths(folder, scenario)
        # Those that were set aside tell of survivor sets, too.
        single += [*sorted(path.parent.glob(f"{path.stem}.*.*")), path, used_path(folder, scenario)]
    single += [prepared_path(run) for run in children(folder / "runs")]
    whole = (protocol_key_path(folder), approved_roster_path(folder, _ANY), accepted_path(folder, _ANY))
    for place_ in (*(path.parent for path in whole), trained_on_path(folder, _ANY).parent):
        single += sorted(path for path in place_.rglob("*") if not path.name.startswith("."))
    yield from (path for path in dict.fromkeys(single) if path.is_file() and not path.is_symlink())


def _number(used: Path) -> int:
    """The number of the champion record that an agency has used; 0 where that cannot be read."""
    try:
        return int(json.loads(used.read_bytes())["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
