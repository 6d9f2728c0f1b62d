"""`fl agency ...`: what an agency's operator does."""

from __future__ import annotations

import argparse
from pathlib import Path

from fl_tasks.commands.common import REPOSITORY, Commands, command, federation, home
from fl_tasks.contracts.errors import ConfigError


def add_to(agency: Commands) -> None:
    """Add the commands."""
    join = command(agency, "join", "Learn how the coordinator's server is reached; make keys and a card.", _join)
    join.add_argument("--url", required=True, help="the coordinator's server, like https://hub.example:8443")
    join.add_argument("--ca", type=Path, required=True, metavar="FILE", help="the coordinator's CA file; it is copied")
    join.add_argument(
        "--expect-fingerprint", metavar="SHA256", help="of the authority in that file, as the coordinator told it"
    )
    card = command(agency, "card", "Say where the agency's card is, and its fingerprint.", _card)
    status = command(
        agency, "status", "Look at everything that a run needs here; exit code 1 if it is not so.", _status
    )
    status.add_argument("--socket-folder", type=Path, metavar="DIR", help="where `fl agency serve` listens")
    rotate = command(agency, "rotate", "Make new keys; once their card is admitted, take them into use.", _rotate)
    rotate.add_argument("--protocol", action="store_true", help="the protocol key too, which needs a new roster")
    units = command(agency, "units", "Write systemd's files for the agency's daemon, worker and officer.", _units)
    units.add_argument("--user", required=True, help="name of the daemon's user")
    units.add_argument("--worker-user", required=True, help="name of the worker's user")
    units.add_argument("--socket-folder", type=Path, required=True, metavar="DIR", help="where the daemon listens")
    units.add_argument("--worker-folder", type=Path, required=True, metavar="DIR", help="the worker's own folder")
    units.add_argument("--officer-user", help="name of the data officer's user, if it has one")
    units.add_argument("--officer-folder", type=Path, metavar="DIR", help="the officer's own folder")
    units.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files are written")
    officer = command(agency, "officer", "Pin the data officer's card; say what the officer has to know.", _officer)
    officer.add_argument("--card", type=Path, metavar="FILE", help="as the officer handed it over; else only look")
    for made in (join, card, status, rotate, units, officer):
        made.add_argument("--agency", required=True)
    init = command(agency, "init", "Make an agency's folder, keys and policy.yaml; approve its code.", _init)
    approve = command(agency, "approve", "Approve a scenario's roster by its hash.", _approve)
    approve.add_argument("hash", metavar="HASH", help="64 hexadecimal digits, compared with the other agencies")
    code = command(agency, "approve-code", "Approve code and DAG files as installed now.", _approve_code)
    code.add_argument("--agency", required=True)
    lift = command(agency, "lift", "Admit one more survivor set under a model and interval.", _lift)
    lift.add_argument("model", metavar="MODEL", help="the model's hash, 64 hexadecimal digits")
    lift.add_argument("--start", required=True, help="the data interval's start, ISO time as in the report")
    lift.add_argument("--end", required=True, help="the data interval's end, ISO time as in the report")
    for made in (init, approve, lift):
        made.add_argument("--scenario", required=True)
        made.add_argument("--agency", required=True)


def _join(options: argparse.Namespace) -> None:
    from fl_tasks.agency.join import join  # noqa: PLC0415

    name = options.agency
    done = join(home(), federation(), name, options.url, options.ca, options.expect_fingerprint)
    print(f"{name}: {options.url} runs huiliu {done.server.huiliu} and Airflow {done.server.airflow}; clocks agree")
    print(f"{name}: fingerprint of its authority, to be compared with what the coordinator says: {done.authority}")
    print(f"{name}: card for the coordinator: {done.path}")
    print(f"{name}: fingerprint of the card, to be told by another way: {done.card.fingerprint}")


def _card(options: argparse.Namespace) -> None:
    from fl_tasks.agency.join import card_path, read_card  # noqa: PLC0415

    path = card_path(home().agency(options.agency))
    print(f"{path} {read_card(path).fingerprint}")


def _status(options: argparse.Namespace) -> None:
    from fl_tasks.agency.status import AgencyNotReady, findings  # noqa: PLC0415

    wrong = 0
    for finding in findings(home(), federation(), options.agency, options.socket_folder):
        wrong += not finding.ok
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.what}: {finding.said}", flush=True)
    if wrong:
        raise AgencyNotReady(f"{options.agency}: {wrong} of these are wrong; each line says what to do")


def _rotate(options: argparse.Namespace) -> None:
    from fl_tasks.agency.rotate import rotate  # noqa: PLC0415

    name = options.agency
    done = rotate(home(), name, protocol=options.protocol)
    if done.in_use:
        print(f"{name}: the new keys are in use; give the worker its own by `python -m fl_airflow.worker init`")
        print(f"{name}: post the new card: `fl agency init`, for each scenario")
        if done.protocol:
            print(f"{name}: the protocol key is a new one: a roster has to be proposed and approved anew")
    else:
        print(f"{name}: new keys wait, the old ones stay in use; after `fl coordinator admit` run this again")
    print(f"{name}: card for the coordinator: {done.path}")
    print(f"{name}: fingerprint of the card, to be told by another way: {done.card.fingerprint}")


def _units(options: argparse.Namespace) -> None:
    from fl_tasks.agency.units import OfficersSite, Site, write_units  # noqa: PLC0415

    if (options.officer_user is None) != (options.officer_folder is None):
        raise ConfigError("fl agency units: --officer-user and --officer-folder belong together")
    officer = None
    if options.officer_user is not None:
        officer = OfficersSite(folder=options.officer_folder.absolute(), user=options.officer_user)
    site = Site(
        agency=options.agency,
        repository=REPOSITORY,
        home=home().root,
        federation=federation(),
        socket_folder=options.socket_folder.absolute(),
        worker_folder=options.worker_folder.absolute(),
        user=options.user,
        worker_user=options.worker_user,
        officer=officer,
    )
    for path in write_units(site, options.out):
        print(f"{options.agency}: {path}")


def _officer(options: argparse.Namespace) -> None:
    from fl_tasks.agency.officer import coordinator_keys, pin_officer, pinned_officer  # noqa: PLC0415

    name = options.agency
    for scenario, key in coordinator_keys(home(), name).items():
        print(f"{name}: the coordinator's key, for `fl officer init`, by the roster of {scenario}: {key}")
    card = pinned_officer(home(), name) if options.card is None else pin_officer(home(), name, options.card)
    if card is None:
        print(f"{name}: no data officer is pinned yet")
        return
    print(f"{name}: its officer is OS user {card.user}, with the key {card.public_key} and the folder {card.folder}")
    if card.trial:
        print(f"{name}: it is a trial: the daemon's user may have power over the officer's key")


def _init(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    card = enrol.init_agency(home(), federation(), options.scenario, options.agency)
    print(f"{card.name}: folder {home().agency(card.name)}")
    print(f"{card.name}: protocol key {card.protocol_key}")
    print(f"{card.name}: the code and DAG files as installed are approved; what is admitted is in policy.yaml")


def _approve_code(options: argparse.Namespace) -> None:
    from fl_tasks.stages.installed_code import approve_code  # noqa: PLC0415

    done = approve_code(home(), federation(), options.agency)
    for change in done.changed:
        print(f"{options.agency}: {change}")
    print(f"{options.agency}: approved {len(done.approval.files)} files of code and DAGs, {done.approval.sha256}")


def _approve(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    roster = enrol.approve(home(), options.scenario, options.agency, options.hash)
    approved = enrol.approvals(home(), roster, options.agency)
    waiting = [name for name in roster.names if name not in approved]
    print(f"{options.agency}: approved roster {options.hash} (version {roster.version}, t = {roster.t})")
    print(f"waiting for: {', '.join(waiting) or 'nobody'}")


def _lift(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    enrol.lift(home(), options.scenario, options.agency, options.model, (options.start, options.end))
    print(f"{options.agency}: another set of agencies is admitted once under model {options.model}")
