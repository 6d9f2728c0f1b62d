"""Takes over what was delivered: verified, handed in to PySyft, and approved where a standing approval covers it."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.approvals.delivery import Delivery
from fl_tasks.contracts.errors import FLError
from fl_tasks.officer.decide import checked_job, record_approval
from fl_tasks.officer.desk import Desk
from fl_tasks.officer.ledger import read_ledger

_OPEN = ("pending", "approved")  # PySyft's states in which a standing approval may still have its say


@dataclass(frozen=True)
class Arrival:
    """What became of one delivery.

    Attributes:
        run_id: Whose plan it is.
        said: What was done, or why nothing was.
        refused: Whether nothing was done.
    """

    run_id: str
    said: str
    refused: bool = False


def receive(desk: Desk, *, now: dt.datetime, days: int) -> list[Arrival]:
    """Take over all deliveries that are new, and apply standing approvals to all that wait.

    Args:
        desk: The officer's.
        now: The time.
        days: Days after which a decision under a standing approval opens nothing.

    Returns:
        Each delivery with which something was done, or that was refused; one does not hold up another.
    """
    with desk.at_work():
        states = desk.datasite.states()
        return [
            arrival
            for run_id in desk.runs()
            for arrival in _take(desk, run_id, states[run_id].state if run_id in states else None, now, days)
        ]


def _take(desk: Desk, run_id: str, state: str | None, now: dt.datetime, days: int) -> Iterator[Arrival]:
    try:
        if state is None:
            _hand_in(desk, desk.delivery(run_id))
            yield Arrival(run_id, "handed in; it waits for a decision")
            state = "pending"
        if state in _OPEN and (said := _apply_standing(desk, run_id, now, days)):
            yield Arrival(run_id, said)
    except FLError as error:
        yield Arrival(run_id, f"{error.code}: {error}", refused=True)


def _hand_in(desk: Desk, delivery: Delivery) -> None:
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "code"
        for name, data in delivery.job.items():
            path = code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        desk.datasite.hand_in(delivery.plan.run_id, code)


def _apply_standing(desk: Desk, run_id: str, now: dt.datetime, days: int) -> str | None:
    ledger = read_ledger(desk)
    if ledger.on(run_id) or not any(ledger.ended(one, now) is None for one in ledger.standing):
        return None
    delivery = desk.delivery(run_id)
    standing = ledger.covering(delivery.plan, now)
    if standing is None:
        return None
    files = checked_job(desk, delivery)
    decision = record_approval(desk, ledger, delivery, files, now=now, days=days, standing=standing)
    return f"approved until {decision.not_after:%Y-%m-%d %H:%M} UTC under the standing approval {standing.id}"
