"""All plans of an agency as its officer sees them: what was decided, what PySyft says, and whether both agree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from fl_tasks.approvals.places import COORDINATOR
from fl_tasks.contracts.plan import Decision
from fl_tasks.officer.desk import Desk
from fl_tasks.officer.ledger import Ledger, read_ledger

_OPENS_NOTHING = "opens nothing"


def overview(desk: Desk, now: dt.datetime) -> Iterator[str]:
    """Return a line for each plan, job and standing approval, in this order; raises RecordAltered."""
    ledger = read_ledger(desk)
    jobs = desk.datasite.jobs()
    states = {job.name: job.state for job in jobs if job.submitter == COORDINATOR}
    for run_id in sorted({*desk.runs(), *states, *(decision.run_id for decision in ledger.decisions)}):
        yield f"{run_id}: {standing_of(ledger, run_id, states.get(run_id), now)}"
    for job in jobs:
        if job.submitter != COORDINATOR:
            yield f"{job.name}: job of {job.submitter}, no plan of the coordinator: {_OPENS_NOTHING}"
    for one in ledger.standing:
        ended = ledger.ended(one, now)
        yield (
            f"standing {one.id}: {len(ledger.used[one.id])} of {one.max_runs} retrainings, until "
            f"{one.not_after:%Y-%m-%d %H:%M} UTC, terms {one.terms_sha256[:16]}{'' if ended is None else f'; {ended}'}"
        )


def standing_of(ledger: Ledger, run_id: str, state: str | None, now: dt.datetime) -> str:
    """Say how a run's plan stands.

    Args:
        ledger: The officer's records.
        run_id: Whose plan.
        state: PySyft's of its job; None where PySyft has none.
        now: The time.
    """
    if state is None:
        return "PySyft has no job of it; run `fl officer receive`"
    made = ledger.on(run_id)[-1:]
    if not made:
        if state == "pending":
            return "waits for a decision"
        return (
            f"{state} with PySyft alone: {_OPENS_NOTHING} without the officer's record; see `fl officer show {run_id}`"
        )
    said, should_be = _decided(ledger, made[0], now)
    if state == should_be:
        return said
    return f"{said}; PySyft says {state}, not {should_be}: changed beside this command, {_OPENS_NOTHING}"


def _decided(ledger: Ledger, decision: Decision, now: dt.datetime) -> tuple[str, str]:
    """Return what was decided, and the state that PySyft should have then."""
    told = f"{decision.id} of {decision.at:%Y-%m-%d %H:%M} UTC"
    if decision.verdict == "rejected":
        return f"rejected by {told}{decision.reason and f' ({decision.reason})'}", "rejected"
    if decision.id in ledger.revoked:
        return f"revoked {ledger.revoked[decision.id].at:%Y-%m-%d %H:%M} UTC, was approved by {told}", "rejected"
    under = "" if decision.standing is None else f" under standing {decision.standing}"
    if decision.standing in ledger.revoked:
        return f"revoked with its standing approval {decision.standing}, was approved by {told}", "approved"
    if now > decision.not_after:
        return f"expired {decision.not_after:%Y-%m-%d %H:%M} UTC, was approved by {told}{under}", "approved"
    return f"approved until {decision.not_after:%Y-%m-%d %H:%M} UTC by {told}{under}", "approved"
