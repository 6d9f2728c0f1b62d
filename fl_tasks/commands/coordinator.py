"""`fl coordinator ...`: what the coordinator's operator does."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from fl_tasks.commands.common import Commands, command, end_of_day, federation, home
from fl_tasks.contracts.errors import ConfigError


def add_to(coordinator: Commands) -> None:
    """Add the commands."""
    propose = command(coordinator, "init", "Make the coordinator's key and propose a roster.", _init)
    propose.add_argument("--scenario", required=True)
    admit = command(coordinator, "admit", "Let an agency in by its card; its earlier card's keys are refused.", _admit)
    admit.add_argument("card", type=Path, metavar="CARD", help="file that the agency handed over")
    admit.add_argument("--fingerprint", metavar="SHA256", help="of the card, as the agency's operator told it")
    admit.add_argument("--expires", type=end_of_day, metavar="DATE", help="last day (UTC), like 2027-12-31")
    revoke = command(coordinator, "revoke", "Let an agency in no more, from its next request on.", _revoke)
    revoke.add_argument("agency", metavar="AGENCY")
    command(coordinator, "agencies", "List the agencies that were ever let in.", _agencies)


def _admit(options: argparse.Namespace) -> None:
    from fl_tasks.agency.join import read_card  # noqa: PLC0415
    from fl_tasks.exchange.admitted import admit  # noqa: PLC0415

    card = read_card(options.card)
    print(f"{options.card}: card of {card.name}, fingerprint {card.fingerprint}")
    if options.fingerprint is None:
        raise ConfigError(
            f"ask the operator of {card.name}, by another way than the card took, for what `fl agency card` says "
            "there, and give it as --fingerprint; nobody was admitted"
        )
    if options.fingerprint.lower() != card.fingerprint:
        raise ConfigError(
            f"{options.card}: has fingerprint {card.fingerprint}, its operator told {options.fingerprint}: it is not "
            "the card that was sent; nobody was admitted"
        )
    done = admit(home(), card, expires=options.expires, now=_now())
    print(f"{card.name}: is admitted{'' if done.expires is None else f' until {done.expires:%Y-%m-%d %H:%M} UTC'}")


def _revoke(options: argparse.Namespace) -> None:
    from fl_tasks.exchange.admitted import revoke  # noqa: PLC0415

    done = revoke(home(), options.agency, _now())
    print(f"{options.agency}: is refused since {done.revoked:%Y-%m-%d %H:%M} UTC; to let it in again, admit its card")


def _agencies(_options: argparse.Namespace) -> None:
    from fl_tasks.exchange.admitted import admitted  # noqa: PLC0415

    now = _now()
    for name, one in admitted(home()).items():
        if one.revoked is not None:
            state = f"revoked {one.revoked:%Y-%m-%d}"
        elif not one.is_in(now):
            state = f"expired {one.expires:%Y-%m-%d}"
        else:
            state = f"admitted {one.admitted:%Y-%m-%d}"
            state += "" if one.expires is None else f", until {one.expires:%Y-%m-%d %H:%M} UTC"
        print(f"{name}: {state}; card {one.card.fingerprint}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _init(options: argparse.Namespace) -> None:
    from fl_tasks.stages import enrol  # noqa: PLC0415

    roster = enrol.init_coordinator(home(), federation(), options.scenario)
    print(
        f"roster of {roster.scenario}, version {roster.version}: N = {len(roster.members)}, t = {roster.t}, "
        f"n_c = {roster.secagg.n_c}; every agency compares and approves this hash:"
    )
    print(roster.sha256.hex())
