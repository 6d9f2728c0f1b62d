"""What became of each agency in one round of a session, by what lies in the exchange; for the report."""

from __future__ import annotations

from typing import NamedTuple

from fl_tasks.contracts.stage import Stage
from fl_tasks.secagg import names
from fl_tasks.stages.context import Desk


class Fate(NamedTuple):
    """A round's verdict, whose updates are in its sum, and who was lost at which step."""

    burnt: bool
    survivors: tuple[str, ...]
    lost: dict[str, str]


def fate_of(desk: Desk, round_: int, sending: Stage) -> Fate:
    """Read a round's fate; without a verdict nothing is said of anyone.

    Args:
        desk: Of the session.
        round_: From 1.
        sending: The step in which agencies send what is summed.
    """
    exchange = desk.exchange
    manifest = exchange.find(names.manifest(round_))
    if manifest is None:
        # A round without a verdict was never run, or the run broke in it: either way nothing came of it.
        burnt = exchange.find(names.burnt(round_)) is not None
        members = desk.agency_names(desk.closed().ids) if burnt else ()
        there = {agency for agency in members if exchange.find(names.upload(round_, agency)) is not None}
        return Fate(burnt, (), {agency: sending for agency in members if agency not in there})
    closed = desk.closed()
    survivors = desk.agency_names(closed.read_manifest(manifest, round_).ids)
    lost: dict[str, str] = {}
    for agency in desk.agency_names(closed.ids):
        if agency not in survivors:
            lost[agency] = sending
        elif exchange.find(names.ack(round_, agency)) is None:
            lost[agency] = "ack"
        elif exchange.find(names.reveal(round_, agency)) is None:
            lost[agency] = "reveal"
    return Fate(False, survivors, lost)
