"""`fl agency ...` and `fl coordinator ...`: what an operator's timer does beside the runs."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fl_tasks.commands.common import Commands, command, home

if TYPE_CHECKING:
    from fl_tasks.upkeep.retain import Leftover

_DAYS, _KEEP = 60, 3


def add_to(commands: Commands, agency: Commands, coordinator: Commands) -> None:
    """Add the commands to each group of commands."""
    text = "Remove what old runs left; never what a later run, a forecast or a rollback needs."
    for made in (
        command(commands, "retain", f"{text} Of all parties of this installation.", _retain_all),
        command(agency, "retain", text, _retain_agency),
        command(coordinator, "retain", text, _retain_coordinator),
    ):
        made.add_argument(
            "--older-than", type=int, default=_DAYS, metavar="DAYS", help=f"what is younger stays (default {_DAYS})"
        )
        made.add_argument(
            "--keep", type=int, default=_KEEP, metavar="N", help=f"newest of each kind that stay (default {_KEEP})"
        )
        made.add_argument(
            "--dry-run", action="store_true", help="say what would go, and how many bytes; remove nothing"
        )
        if made.prog.endswith("agency retain"):
            made.add_argument("--agency", required=True)
    backup = command(
        agency, "backup", "Write keys, policy, approvals, rosters and journal into one file.", _backup_agency
    )
    backup.add_argument("--agency", required=True)
    restore = command(agency, "restore", "Put a backup back; an older journal is refused.", _restore_agency)
    restore.add_argument("--agency", required=True)
    restore.add_argument("--journal-lost", action="store_true", help="the newer journal is lost: take the older one")
    restore.add_argument("--socket-folder", type=Path, metavar="DIR", help="where `fl agency serve` listens")
    of_coordinator = command(
        coordinator,
        "backup",
        "Write folder, exchange, registry, MLflow and reports into one file.",
        _backup_coordinator,
    )
    back = command(coordinator, "restore", "Put a backup back; what the exchange holds stays.", _restore_coordinator)
    for made in (backup, of_coordinator):
        made.add_argument(
            "--to", type=Path, required=True, metavar="FILE", help="a new file; it will hold private keys"
        )
    for made in (restore, back):
        made.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source", help="the backup")


def _retain_all(options: argparse.Namespace) -> None:
    from fl_tasks.stages.context import protocol_key_path  # noqa: PLC0415
    from fl_tasks.upkeep.retain import children  # noqa: PLC0415

    if protocol_key_path(home().coordinator).exists():
        _retain_coordinator(options)
    for folder in children(home().agency("any").parent):
        _retain_agency(argparse.Namespace(**{**vars(options), "agency": folder.name}))


def _retain_agency(options: argparse.Namespace) -> None:
    from fl_tasks.upkeep.agency_runs import retain_agency  # noqa: PLC0415

    _retain(options, options.agency, lambda *given, **named: retain_agency(home(), options.agency, *given, **named))


def _retain_coordinator(options: argparse.Namespace) -> None:
    from fl_tasks.upkeep.coordinator_runs import retain_coordinator  # noqa: PLC0415

    _retain(options, "coordinator", lambda *given, **named: retain_coordinator(home(), *given, **named))


def _retain(options: argparse.Namespace, party: str, retain: Callable[..., Iterable[Leftover]]) -> None:
    """Remove, and say what went: of each run the bytes that its files alone had."""
    from fl_tasks.upkeep.retain import Limits, freed_bytes  # noqa: PLC0415

    limits = Limits(options.older_than, options.keep)
    now = dt.datetime.now(dt.UTC)
    # Looked at before anything goes: afterwards there is nothing to be counted.
    found = list(retain(limits, now, dry_run=True))
    total = freed_bytes(path for one in found for path in one.paths)
    for one in found:
        print(f"{party}: {one.kind} {one.run_id}, last at work {one.last:%Y-%m-%d}: {freed_bytes(one.paths)} bytes")
    if not options.dry_run:
        retain(limits, now, dry_run=False)
    print(f"{party}: {len(found)} runs {'would go' if options.dry_run else 'went'}, {total} bytes")


def _backup_agency(options: argparse.Namespace) -> None:
    from fl_tasks.upkeep.agency_backup import back_up_agency  # noqa: PLC0415

    done = back_up_agency(home(), options.agency, options.to.absolute())
    print(f"{options.agency}: {len(done.files)} files in {options.to}; it holds private keys: keep it as safe as them")


def _restore_agency(options: argparse.Namespace) -> None:
    from fl_tasks.upkeep.agency_backup import heads_missing, restore_agency  # noqa: PLC0415

    name = options.agency
    done = restore_agency(
        home(), name, options.source, journal_lost=options.journal_lost, socket_folder=options.socket_folder
    )
    print(f"{name}: {len(done.files)} files of {done.made:%Y-%m-%d %H:%M} UTC are back; see `fl agency status`")
    for scenario in heads_missing(home(), name, done):
        print(f"{name}: {scenario}: no head of the journal is here: open sessions stay refused until a new run starts")


def _backup_coordinator(options: argparse.Namespace) -> None:
    from fl_tasks.upkeep.coordinator_backup import back_up_coordinator  # noqa: PLC0415

    done = back_up_coordinator(home(), options.to.absolute())
    print(f"coordinator: {len(done.files)} files in {options.to}; it holds private keys: keep it as safe as them")


def _restore_coordinator(options: argparse.Namespace) -> None:
    from fl_tasks.upkeep.coordinator_backup import restore_coordinator  # noqa: PLC0415

    done = restore_coordinator(home(), options.source)
    print(f"coordinator: {len(done.files)} files of {done.made:%Y-%m-%d %H:%M} UTC are back")
    print("coordinator: give up runs that were open then; see `fl coordinator agencies`: revoke again whom you revoked")
