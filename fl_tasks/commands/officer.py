"""`fl officer ...`: what an agency's data officer does, as an OS user of his own."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fl_tasks.commands.common import Commands, command, end_of_day, federation, home
from fl_tasks.contracts.errors import ConfigError

if TYPE_CHECKING:
    from fl_tasks.officer.desk import Desk

_DAYS = 7
_MOST_REASON = 500


def add_to(officer: Commands) -> None:
    """Add the commands."""
    init = command(officer, "init", "Make the officer's key, and the card for the agency's operator.", _init)
    init.add_argument("--agency", required=True)
    init.add_argument(
        "--coordinator", required=True, metavar="KEY", help="the coordinator's key; `fl agency officer` says it"
    )
    init.add_argument("--trial", action="store_true", help="officer and daemon may be one OS user; the card says so")
    receive = command(officer, "receive", "Take over plans that came; apply standing approvals.", _receive)
    receive.add_argument("--watch", type=float, metavar="SECONDS", help="again and again, so long apart; for a service")
    listing = command(officer, "list", "List all plans, what was decided and what PySyft says.", _list)
    show = command(officer, "show", "Show a plan, what its code changes, mock data and the digest.", _show)
    approve = command(officer, "approve", "Approve a plan by the digest that `show` ends with.", _approve)
    approve.add_argument("--digest", required=True, metavar="SHA256", help="of the plan, 64 hexadecimal digits")
    approve.add_argument("--standing", action="store_true", help="and all plans with the same terms that come later")
    approve.add_argument("--until", type=end_of_day, metavar="DATE", help="last day (UTC) of that, like 2027-12-31")
    approve.add_argument("--max-runs", type=int, metavar="N", help="retrainings that it covers, this one included")
    reject = command(officer, "reject", "Reject a plan.", _reject)
    revoke = command(officer, "revoke", "Take an approval or a standing approval back.", _revoke)
    revoke.add_argument("id", metavar="ID", help="as `list` and `approve` name it, 32 hexadecimal digits")
    register = command(officer, "register", "Register the agency's data set with PySyft, with mock data.", _register)
    register.add_argument("--scenario", required=True)
    register.add_argument("--mock", type=Path, metavar="FOLDER", help="mock files of one's own, not the generator's")
    for made in (show, approve, reject):
        made.add_argument("run", metavar="RUN", help="the run whose plan it is, as `list` names it")
    for made in (reject, revoke):
        made.add_argument("--reason", type=_line, required=True, help="a line; it stands in the signed record")
    for made in (receive, approve):
        made.add_argument(
            "--days", type=int, default=_DAYS, metavar="N", help=f"a decision opens nothing after (default {_DAYS})"
        )
    for made in (init, receive, listing, show, approve, reject, revoke, register):
        made.add_argument("--folder", type=Path, metavar="DIR", help="the officer's own (default: $HUILIU_OFFICER)")


def _line(text: str) -> str:
    if not text.isprintable() or len(text) > _MOST_REASON:
        raise argparse.ArgumentTypeError(f"needed is one line of at most {_MOST_REASON} characters")
    return text


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _folder(options: argparse.Namespace) -> Path:
    named = options.folder or os.environ.get("HUILIU_OFFICER")
    if not named:
        raise ConfigError("fl officer: name the officer's own folder, by HUILIU_OFFICER or --folder")
    return Path(named).absolute()


def _desk(options: argparse.Namespace) -> Desk:
    from fl_tasks.officer.desk import open_desk  # noqa: PLC0415

    return open_desk(home(), _folder(options))


def _days(options: argparse.Namespace) -> int:
    if not 1 <= options.days <= 366:
        raise ConfigError(f"--days {options.days}: a decision holds for 1 to 366 days")
    return int(options.days)


def _init(options: argparse.Namespace) -> None:
    from fl_tasks.officer.desk import card_file, init_officer  # noqa: PLC0415

    folder = _folder(options)
    card = init_officer(home(), options.agency, folder, options.coordinator, trial=options.trial)
    print(f"{card.agency}: officer's key {card.public_key}")
    print(
        f"{card.agency}: for the agency's operator: fl agency officer --agency {card.agency} --card {card_file(folder)}"
    )
    if card.trial:
        print(f"{card.agency}: this is a trial: the daemon's user may have power over the officer's key")


def _receive(options: argparse.Namespace) -> None:
    from fl_tasks.officer.errors import ReceiveRefused  # noqa: PLC0415
    from fl_tasks.officer.receive import receive  # noqa: PLC0415

    desk, days = _desk(options), _days(options)
    told: set[str] = set()
    while True:
        arrivals = receive(desk, now=_now(), days=days)
        lines = {f"{one.run_id}: {'REFUSED ' if one.refused else ''}{one.said}" for one in arrivals}
        for line in sorted(lines - told):
            print(line, flush=True)
        if options.watch is None:
            break
        told |= lines
        time.sleep(options.watch)
    refused = sum(one.refused for one in arrivals)
    if refused:
        raise ReceiveRefused(f"{refused} deliveries were not taken over; each line above says why")


def _list(options: argparse.Namespace) -> None:
    from fl_tasks.officer.overview import overview  # noqa: PLC0415

    for line in overview(_desk(options), _now()):
        print(line)


def _show(options: argparse.Namespace) -> None:
    from fl_tasks.officer.show import show  # noqa: PLC0415

    for line in show(_desk(options), options.run, _now()):
        print(line)


def _approve(options: argparse.Namespace) -> None:
    from fl_tasks.officer.decide import Lasting, approve  # noqa: PLC0415

    if len({options.standing, options.until is not None, options.max_runs is not None}) > 1:
        raise ConfigError("fl officer approve: --standing, --until and --max-runs belong together")
    if options.standing and not 1 <= options.max_runs <= 1000:
        raise ConfigError(f"--max-runs {options.max_runs}: a standing approval covers 1 to 1000 retrainings")
    lasting = Lasting(options.until, options.max_runs) if options.standing else None
    made = approve(_desk(options), options.run, options.digest, now=_now(), days=_days(options), lasting=lasting)
    print(f"{made.run_id}: approved until {made.not_after:%Y-%m-%d %H:%M} UTC by decision {made.id}")
    if made.standing is not None:
        print(f"{made.run_id}: under the standing approval {made.standing}, which covers the same terms from now on")


def _reject(options: argparse.Namespace) -> None:
    from fl_tasks.officer.decide import reject  # noqa: PLC0415

    made = reject(_desk(options), options.run, options.reason, now=_now())
    print(f"{made.run_id}: rejected by decision {made.id}")


def _revoke(options: argparse.Namespace) -> None:
    from fl_tasks.officer.decide import revoke  # noqa: PLC0415

    revoke(_desk(options), options.id, options.reason, now=_now())
    print(f"{options.id}: opens nothing from now on")


def _register(options: argparse.Namespace) -> None:
    from fl_tasks.officer.register import register  # noqa: PLC0415

    count = register(_desk(options), federation(), options.scenario, options.mock)
    print(f"{options.scenario}: registered with {count} mock files; the data stay where they are")
