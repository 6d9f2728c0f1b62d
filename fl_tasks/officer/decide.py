"""An officer decides: approve, reject, take back.

| command | first | then |
|---|---|---|
| approve | PySyft's approve() | the signed record, without which it opens nothing |
| reject, revoke | the signed record, which closes at once | PySyft's state |

Whatever is interrupted between the two is finished by the same command again.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Literal

from fl_tasks.approvals.check import not_delivered, some
from fl_tasks.approvals.delivery import Delivery
from fl_tasks.approvals.errors import JobAltered
from fl_tasks.approvals.places import job_folders
from fl_tasks.approvals.pysyft import job_files
from fl_tasks.approvals.records import find_record, write_record
from fl_tasks.contracts.plan import Decision, Plan, Revocation, Standing
from fl_tasks.officer.desk import Desk
from fl_tasks.officer.errors import NoSuchRecord, NotDecidable, NotReceived, WrongDigest
from fl_tasks.officer.ledger import Ledger, read_ledger
from fl_tasks.officer.pysyft import Method


@dataclass(frozen=True)
class Lasting:
    """What an officer wants of a standing approval.

    Attributes:
        until: Its last moment.
        max_runs: Retrainings that it covers, this one included.
    """

    until: dt.datetime
    max_runs: int


def approve(
    desk: Desk, run_id: str, digest: str, *, now: dt.datetime, days: int, lasting: Lasting | None = None
) -> Decision:
    """Approve a run's plan, and with `lasting` all that have the same terms.

    Args:
        desk: The officer's.
        run_id: Whose plan.
        digest: Of the plan, as `show` ended with.
        now: The time.
        days: Days after which the decision opens nothing.
        lasting: The standing approval under which this decision is made; one of the same terms, date and budget that
            was given before is taken.

    Returns:
        The decision; one that was made in the same way and stands is returned as it is.

    Raises:
        WrongDigest: If the digest is another one.
        JobAltered: If PySyft's job does not hold exactly the plan and the code that were laid out.
        NotDecidable: If the run's plan was rejected, or its approval taken back.
    """
    with desk.at_work():
        delivery = desk.delivery(run_id)
        plan = delivery.plan
        if digest.lower() != plan.sha256:
            raise WrongDigest(
                f"{run_id}: the plan's digest is not the one that was given; read `fl officer show {run_id}` again and "
                "repeat what it ends with. Nothing was approved"
            )
        ledger = read_ledger(desk)
        files = checked_job(desk, delivery)
        standing = None if lasting is None else _standing(desk, ledger, plan, lasting, now)
        for made in ledger.on(run_id)[-1:]:
            _still_open(ledger, made)
            as_wanted = made.standing == (None if standing is None else standing.id)
            if as_wanted and made.files == files and now < made.not_after:
                desk.datasite.approve(run_id, _reason(plan), _method(standing))
                return made
        return record_approval(desk, ledger, delivery, files, now=now, days=days, standing=standing)


def record_approval(
    desk: Desk,
    ledger: Ledger,
    delivery: Delivery,
    files: dict[str, str],
    *,
    now: dt.datetime,
    days: int,
    standing: Standing | None,
) -> Decision:
    """Approve in PySyft, then sign."""
    plan = delivery.plan
    for before in ledger.on(plan.run_id):
        _still_open(ledger, before)
    desk.datasite.approve(plan.run_id, _reason(plan), _method(standing))
    ends = now + dt.timedelta(days=days)
    if standing is not None:
        write_record(desk.folder, desk.key(), standing)
        ends = min(ends, standing.not_after)
    decision = _decision(plan, files, "approved", now, ends, standing=None if standing is None else standing.id)
    write_record(desk.folder, desk.key(), decision)
    return decision


def checked_job(desk: Desk, delivery: Delivery) -> dict[str, str]:
    """Return name -> SHA-256 of every file of a plan's job in PySyft.

    Raises:
        NotReceived: If there is no such job.
        JobAltered: If it holds anything but the plan and the code that were laid out.
    """
    run_id = delivery.plan.run_id
    inbox, _ = job_folders(desk.folder, desk.agency, run_id)
    if not inbox.is_dir():
        raise _not_received(run_id)
    found = job_files(inbox)
    wrong = not_delivered(delivery, found)
    if wrong:
        raise JobAltered(
            f"{inbox}: does not hold the plan and the code that were laid out; different are {some(wrong)}. Find out "
            "who changed them; remove the folder, and `fl officer receive` hands the job in again"
        )
    return found


def reject(desk: Desk, run_id: str, reason: str, *, now: dt.datetime) -> Decision:
    """Reject a run's plan; for this run that is the last word.

    Raises:
        NotReceived: If the plan was not taken over.
        NotDecidable: If it was approved: that is taken back by `revoke`.
    """
    with desk.at_work():
        plan = desk.delivery(run_id).plan
        inbox, _ = job_folders(desk.folder, desk.agency, run_id)
        if not inbox.is_dir():
            raise _not_received(run_id)
        made = read_ledger(desk).on(run_id)[-1:]
        if made and made[0].verdict == "approved":
            raise NotDecidable(
                f"{run_id}: was approved by decision {made[0].id}; `fl officer revoke {made[0].id}` takes it back"
            )
        decision = made[0] if made else _decision(plan, job_files(inbox), "rejected", now, now, reason=reason)
        write_record(desk.folder, desk.key(), decision)
        desk.datasite.reject(run_id, decision.reason or "rejected")
    return decision


def revoke(desk: Desk, id_: str, reason: str, *, now: dt.datetime) -> Decision | Standing:
    """Take a decision or a standing approval back; from now on it opens nothing.

    Returns:
        What was taken back.

    Raises:
        NoSuchRecord: If there is no such approval.
    """
    with desk.at_work():
        decision = find_record(desk.folder, Decision, id_, desk.public_key)
        taken = decision or find_record(desk.folder, Standing, id_, desk.public_key)
        if taken is None or (decision is not None and decision.verdict == "rejected"):
            raise NoSuchRecord(f"{id_[:64]!r} is no approval of this officer; `fl officer list` names them")
        if find_record(desk.folder, Revocation, id_, desk.public_key) is None:
            write_record(desk.folder, desk.key(), Revocation(id=id_, agency=desk.agency, at=now, reason=reason))
        if decision is not None:
            desk.datasite.reject(decision.job, f"revoked: {reason}")
    return taken


def _method(standing: Standing | None) -> Method:
    """How PySyft's state says that a job was approved; the daemon holds it against the decision."""
    return "manual" if standing is None else "auto"


def _reason(plan: Plan) -> str:
    """What PySyft's own client shows beside an approval."""
    return f"plan {plan.sha256}"


def _decision(
    plan: Plan,
    files: dict[str, str],
    verdict: Literal["approved", "rejected"],
    now: dt.datetime,
    ends: dt.datetime,
    *,
    standing: str | None = None,
    reason: str = "",
) -> Decision:
    return Decision(
        id=secrets.token_hex(16),
        agency=plan.terms.agency,
        verdict=verdict,
        run_id=plan.run_id,
        plan_sha256=plan.sha256,
        job=plan.run_id,
        files=files,
        interval_end=plan.data_interval[1],
        at=now,
        not_after=ends,
        standing=standing,
        reason=reason,
    )


def _standing(desk: Desk, ledger: Ledger, plan: Plan, lasting: Lasting, now: dt.datetime) -> Standing:
    """Return a standing approval as it is wanted: the one that there is, or a new one that is not written yet."""
    if lasting.until <= now:
        raise NotDecidable(
            f"a standing approval until {lasting.until:%Y-%m-%d %H:%M} UTC would be over; name a later day"
        )
    for there in ledger.standing:
        same = (there.not_after, there.max_runs) == (lasting.until, lasting.max_runs)
        if same and ledger.reaches(there, plan) and ledger.ended(there, now, but=plan.run_id) is None:
            return there
    return Standing(
        id=secrets.token_hex(16),
        agency=desk.agency,
        terms_sha256=plan.terms_sha256,
        first_run=plan.run_id,
        interval_end=plan.data_interval[1],
        at=now,
        not_after=lasting.until,
        max_runs=lasting.max_runs,
    )


def _still_open(ledger: Ledger, before: Decision) -> None:
    """Refuse to approve what was rejected or taken back."""
    last_word = "for this run that is the last word, the coordinator's next run brings a new plan"
    if before.verdict == "rejected":
        raise NotDecidable(f"{before.run_id}: was rejected on {before.at:%Y-%m-%d}; {last_word}")
    if before.id in ledger.revoked:
        raise NotDecidable(
            f"{before.run_id}: its approval {before.id} was taken back on {ledger.revoked[before.id].at:%Y-%m-%d}; "
            f"{last_word}"
        )


def _not_received(run_id: str) -> NotReceived:
    return NotReceived(f"{run_id}: was not taken over into PySyft yet; run `fl officer receive`")
