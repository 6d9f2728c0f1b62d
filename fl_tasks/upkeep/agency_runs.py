"""What an agency's runs left in its own folder, and what of it a later run needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from fl_tasks.approvals.places import delivery_folder
from fl_tasks.contracts.base import locked
from fl_tasks.contracts.data import prepared_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import SURVEY_PREFIX
from fl_tasks.secagg.journal import open_journal
from fl_tasks.stages.context import journal_paths, sessions_folder
from fl_tasks.stages.reuse import StageRecord, records_folder
from fl_tasks.upkeep import retain
from fl_tasks.upkeep.retain import Leftover, Limits

_MADE = ("forecasts", "scores")


def retain_agency(home: Home, agency: str, limits: Limits, now: dt.datetime, *, dry_run: bool) -> list[Leftover]:
    """Remove what is old of an agency's runs, forecasts and scores; return what went.

    Of a retraining `prepared.json` stays: while its model can be champion, forecasts are scaled by it.

    Args:
        home: The installation.
        agency: Whose folder; nothing outside of it is touched.
        limits: What stays in any case.
        now: The present.
        dry_run: Only return what would go.

    Raises:
        ConfigError: If there is no such agency here.
        JournalBusy: If a stage is at work.
        JournalBroken: If the journal cannot say which sessions may still go on.
    """
    folder = home.agency(agency)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such agency here; see HUILIU_HOME")
    with locked(folder / "retain.lock"):
        if not dry_run:
            deliveries = delivery_folder(home, agency, "any").parent
            for place in (deliveries, folder / "runs", *(folder / made for made in _MADE)):
                retain.remove_interrupted(place)
        going = retain.old(agency_leftovers(home, agency, now), limits, now)
        if not dry_run:
            _drop_records(folder, {one.run_id for one in going})
            retain.remove(path for one in going for path in one.paths)
        return going


def agency_leftovers(home: Home, agency: str, now: dt.datetime) -> Iterator[Leftover]:
    """Find what runs left in an agency's folder, and of their plans what was laid out for its officer.

    A run is not over while a session of it may still go on, and while a data stage would take its newest files from it.
    """
    folder = home.agency(agency)
    scenarios = [path.name for path in retain.children(sessions_folder(folder))]
    ends = {run_id: end for scenario in scenarios for run_id, end in _session_ends(folder, scenario).items()}
    needed = set(_newest_records(folder))
    for run in retain.run_folders(folder / "runs"):
        over = ends.get(run.name, now) <= now and run.name not in needed
        delivery = delivery_folder(home, agency, run.name)
        paths = (*((delivery,) if delivery.exists() else ()), *_removable(run))
        if paths:
            yield Leftover(retain.kind_of(run.name, scenarios), run.name, retain.last_work([run]), over, paths)
    for made in _MADE:
        for scenario in retain.children(folder / made):
            for run in retain.run_folders(scenario):
                yield Leftover(f"{made}/{scenario.name}", run.name, retain.last_work([run]), True, (run,))


def _removable(run: Path) -> tuple[Path, ...]:
    """What of a run may go; of one that came to its examples, all but their record."""
    kept = prepared_path(run)
    if not kept.exists():
        return (run,)
    # These say how old the run is, so they go last: an interrupted call is then made good by the next one.
    last = {"specs", "results"}
    return tuple(sorted((path for path in run.iterdir() if path != kept), key=lambda path: path.name in last))


def _session_ends(folder: Path, scenario: str) -> Mapping[str, dt.datetime]:
    """Return run -> until when a session of it may go on; a survey counts as the run that it prepares."""
    path, head = journal_paths(folder, scenario)
    if not path.exists():
        return {}
    ends: dict[str, dt.datetime] = {}
    with open_journal(path, head) as journal:
        for entry in journal.find("session"):
            run_id = str(entry.facts["run_id"]).removeprefix(SURVEY_PREFIX)
            end = dt.datetime.fromisoformat(entry.facts["not_after"])
            ends[run_id] = max(end, ends.get(run_id, end))
    return ends | {f"{SURVEY_PREFIX}{run_id}": end for run_id, end in ends.items()}


def _records(folder: Path) -> Iterator[tuple[Path, StageRecord]]:
    """Yield the records of data stages, oldest first; one that cannot be read serves nobody."""
    found = []
    for scenario in retain.children(folder / records_folder(folder, "any").parent.name):
        for path in retain.children(scenario):
            with suppress(FileNotFoundError):  # dropped by a stage just now
                found.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(found):
        with suppress(OSError, ValueError):
            yield path, StageRecord.model_validate_json(path.read_bytes())


def _newest_records(folder: Path) -> Iterator[str]:
    """Yield the runs from which the next one would take its files, if it reads the same as the last one did."""
    newest = {(path.parent, record.result.stage): record.run_id for path, record in _records(folder)}
    yield from newest.values()


def _drop_records(folder: Path, removed: set[str]) -> None:
    for path, record in _records(folder):
        if record.run_id in removed:
            path.unlink(missing_ok=True)
