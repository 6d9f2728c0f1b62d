"""Whether an agency's data may be opened for a retraining: the officer's signed word, and everything that it binds.

| checked | against |
|---|---|
| plan and code, as they were laid out | coordinator's signature, and what this installation would do |
| decision | officer's pinned key; run, plan, job, time; what was taken back |
| standing approval | the plan's terms; its date; the journal, for its budget |
| PySyft's state of the job | approved, by the officer, as the decision says |
| every file of PySyft's job | the hashes in the decision; plan and code that were laid out |
| use | the agency's journal |

PySyft's state is unsigned: it closes, and never opens by itself.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fl_tasks.approvals import errors
from fl_tasks.approvals.delivery import Delivery, hashes, read_delivery
from fl_tasks.approvals.places import card_path, delivery_folder, identity, job_folders
from fl_tasks.approvals.pysyft import job_files, read_state
from fl_tasks.approvals.records import decisions_on, find_record
from fl_tasks.contracts.base import describe
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import Decision, OfficerCard, Plan, Revocation, Standing, Terms, code_sha256
from fl_tasks.contracts.stage import SURVEY_PREFIX
from fl_tasks.secagg.journal import PAST_SESSION, Journal

USED = "approval"
"""Kind of the journal's entry that a decision was used; it must outlive a broken journal."""

# Beside the plan and the code, what PySyft itself writes into a job when it is handed in.
_PYSYFTS_OWN = {"config.yaml", "run.sh"}
_MOST_NAMED = 5


@dataclass(frozen=True)
class Wanted:
    """What this installation would do in a run.

    Attributes:
        run_id: Of the retraining, also where a survey prepares it.
        data_interval: The run's, [start, end).
        terms: What it wants of the agency.
        files: Name -> SHA-256 of all code that is installed.
    """

    run_id: str
    data_interval: tuple[dt.datetime, dt.datetime]
    terms: Terms
    files: Mapping[str, str]


def check_approval(
    home: Home, wanted: Wanted, coordinator_key: bytes, now: dt.datetime, journal: Journal | None
) -> Decision:
    """Let a retraining open an agency's data, or refuse it; the first use is written into the journal.

    Args:
        home: The agency's installation.
        wanted: What it would do.
        coordinator_key: Of the roster that the agency approved, 32 bytes.
        now: The time, with its UTC offset.
        journal: The agency's journal of the scenario, open; None if it is broken: earlier uses are then not looked at.

    Returns:
        The decision that opens it.

    Raises:
        ApprovalRefused: One of its subclasses for each reason.
    """
    agency = wanted.terms.agency
    card = read_card(home.agency(agency), agency)
    delivery = read_delivery(delivery_folder(home, agency, wanted.run_id), coordinator_key)
    check_plan(delivery, wanted)
    decision = _decision(card, delivery.plan, now)
    standing = _standing(card, decision, delivery.plan)
    _check_state(card, decision)
    _check_job(card, decision, delivery)
    if journal is not None:
        _use(journal, decision, standing, delivery.plan, now)
    return decision


def read_card(folder: Path, agency: str) -> OfficerCard:
    """Read whom an agency's operator pinned as its officer, and hold the officer's folder against it.

    Raises:
        OfficerUnknown: If nobody was pinned, or another agency's officer.
        OfficerNotApart: If the folder is another OS user's, or the officer is the daemon's own user and no trial.
    """
    path = card_path(folder)
    try:
        card = OfficerCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise errors.OfficerUnknown(f"{path}: this agency has no data officer yet; pin the officer's card") from error
    except ValidationError as error:
        raise errors.OfficerUnknown(f"{path}: {describe(error)}; pin the officer's card again") from error
    if card.agency != agency:
        raise errors.OfficerUnknown(f"{path}: is the card of {card.agency}'s officer, needed is one of {agency}")
    officer = Path(card.folder)
    user = _owner(officer)
    if user is None:
        raise errors.OfficerUnknown(
            f"{path}: {officer} is no folder that the daemon can see; the officer has to let others pass through it"
        )
    if user != card.user:
        raise errors.OfficerNotApart(
            f"{officer}: belongs to OS user {user}, the card names {card.user}; look who made it"
        )
    if card.user == os.getuid() and not card.trial:
        raise errors.OfficerNotApart(
            f"{path}: officer and daemon are the same OS user, {card.user}, so that the daemon could sign for the "
            "officer; give the officer a user of his own"
        )
    return card


def _owner(folder: Path) -> int | None:
    """Whose an absolute folder is; None if it is none, or out of sight."""
    try:
        return folder.stat().st_uid if folder.is_absolute() and folder.is_dir() else None
    except PermissionError:
        return None


def check_plan(delivery: Delivery, wanted: Wanted) -> None:
    """Hold a verified plan and its code against what this installation would do.

    Raises:
        CodeMismatch: If other code is installed.
        PlanMismatch: If it is of another run or interval, or on other terms.
    """
    plan = delivery.plan
    if plan.run_id != wanted.run_id:
        raise errors.PlanMismatch(f"the plan is of run {plan.run_id}, this is {wanted.run_id}; fetch its own plan")
    if tuple(time.timestamp() for time in plan.data_interval) != tuple(t.timestamp() for t in wanted.data_interval):
        raise errors.PlanMismatch(
            f"the plan of run {plan.run_id} has the data interval {_told(plan.data_interval)}, this task has "
            f"{_told(wanted.data_interval)}; ask the coordinator to start a new run"
        )
    delivered = hashes(delivery.files)
    if code_sha256(wanted.files) != plan.terms.code_sha256:
        raise errors.CodeMismatch(
            f"the code of the plan is not the one that is installed here: {_differences(delivered, wanted.files)}; "
            "bring this installation and the coordinator's to the same version"
        )
    planned, own = plan.terms.model_dump(), wanted.terms.model_dump()
    different = sorted(name for name in own if planned[name] != own[name])
    if different:
        raise errors.PlanMismatch(
            f"the plan of run {plan.run_id} is not what this installation would do; different are "
            f"{', '.join(different)}. Bring the YAML and the roster to the same version at agency and coordinator"
        )


def _decision(card: OfficerCard, plan: Plan, now: dt.datetime) -> Decision:
    """Return the officer's last decision on a plan if it approves; without what hangs on a standing approval."""
    public = bytes.fromhex(card.public_key)
    made = [found for found in decisions_on(Path(card.folder), plan.run_id, public) if found.agency == card.agency]
    show = f"`fl officer show {plan.run_id}`"
    if not made:
        raise errors.NotApproved(
            f"the data officer of {card.agency} has not decided on run {plan.run_id}; what PySyft says alone opens "
            f"nothing. The officer looks at {show} and approves with the digest shown there"
        )
    decision = made[-1]
    told = f"decision {decision.id} of {decision.at:%Y-%m-%d %H:%M %Z}"
    if decision.plan_sha256 != plan.sha256:
        raise errors.DecisionOnAnotherPlan(
            f"{told} is on the plan {decision.plan_sha256[:16]}, laid out is {plan.sha256[:16]}: the officer looks "
            f"at {show} and decides on this one"
        )
    if decision.job != plan.run_id:
        raise errors.DecisionOnAnotherJob(
            f"{told} is on PySyft's job {decision.job!r}, that of this run is {plan.run_id!r}: the officer decides anew"
        )
    if decision.verdict == "rejected":
        raise errors.Rejected(f"{told} rejects run {plan.run_id}; ask the data officer of {card.agency}")
    if find_record(Path(card.folder), Revocation, decision.id, public) is not None:
        raise errors.ApprovalRevoked(f"{told} was taken back; ask the data officer of {card.agency}")
    if now > decision.not_after:
        raise errors.ApprovalExpired(
            f"{told} ended on {decision.not_after:%Y-%m-%d %H:%M %Z}: the officer looks at {show} and approves anew"
        )
    return decision


def _standing(card: OfficerCard, decision: Decision, plan: Plan) -> Standing | None:
    """Return the standing approval that a decision was made under, if it covers the plan; date and budget aside."""
    if decision.standing is None:
        return None
    public = bytes.fromhex(card.public_key)
    standing = find_record(Path(card.folder), Standing, decision.standing, public)
    anew = f"the officer looks at `fl officer show {plan.run_id}` and approves this run by itself"
    if standing is None or standing.agency != card.agency:
        raise errors.StandingMissing(
            f"decision {decision.id} was made under the standing approval {decision.standing}, which is not there; "
            f"restore it, or {anew}"
        )
    if find_record(Path(card.folder), Revocation, standing.id, public) is not None:
        raise errors.StandingRevoked(f"the standing approval {standing.id} was taken back; {anew}")
    if standing.terms_sha256 != plan.terms_sha256:
        raise errors.StandingMismatch(
            f"the standing approval {standing.id} is for the terms {standing.terms_sha256[:16]}, the plan of run "
            f"{plan.run_id} has {plan.terms_sha256[:16]}; {anew}"
        )
    if plan.run_id != standing.first_run and plan.data_interval[1] <= standing.interval_end:
        raise errors.StandingMismatch(
            f"the standing approval {standing.id} is for data intervals that end after "
            f"{standing.interval_end:%Y-%m-%d %H:%M %Z}, run {plan.run_id} has {_told(plan.data_interval)}; {anew}"
        )
    return standing


def _check_state(card: OfficerCard, decision: Decision) -> None:
    """Hold PySyft's state of the job against the decision."""
    _, review = job_folders(Path(card.folder), card.agency, decision.job)
    state, user = read_state(review)
    if user != card.user:
        raise errors.StateForged(
            f"{review}: PySyft's state belongs to OS user {user}, the officer is {card.user}; restore the officer's own"
        )
    if state.status != "approved":
        raise errors.StateNotApproved(
            f"{review}: PySyft's state of the job is {state.status}, the officer's record says approved; the officer "
            "looks what happened to it"
        )
    by, method = identity(card.agency), "manual" if decision.standing is None else "auto"
    odd = [
        field
        for field, as_approved in (
            ("approved_by", state.approved_by == by),
            ("approved_at", state.approved_at is not None),
            ("approval_method", state.approval_method == method),
            ("rejected_by", state.rejected_by is None and state.rejected_at is None),
            ("completed_at", state.completed_at is None and state.return_code is None),
        )
        if not as_approved
    ]
    if odd:
        raise errors.StateForged(
            f"{review}: PySyft's state contradicts the officer's decision {decision.id} in {', '.join(odd)}; it was "
            f"not written by PySyft for {by}. Restore it from a backup"
        )


def _check_job(card: OfficerCard, decision: Decision, delivery: Delivery) -> None:
    """Hold every file of PySyft's job against the decision, and the decision against what was laid out."""
    inbox, _ = job_folders(Path(card.folder), card.agency, decision.job)
    found = job_files(inbox)
    if found != decision.files:
        raise errors.JobAltered(
            f"{inbox}: its files are not those that the officer decided on: {_differences(decision.files, found)}; "
            "restore them, or let the officer look at the job and decide anew"
        )
    wrong = not_delivered(delivery, decision.files)
    if wrong:
        raise errors.CodeMismatch(
            f"decision {decision.id} is on other files than plan and code of run {delivery.plan.run_id}: "
            f"{some(wrong)}; the officer runs `fl officer receive` and decides anew"
        )


def not_delivered(delivery: Delivery, files: Mapping[str, str]) -> list[str]:
    """Return the names of a PySyft job's files that are not as plan and code were laid out, are missing or too many.

    Args:
        delivery: What was laid out.
        files: Name -> SHA-256 of the job's files.
    """
    expected = {f"code/{name}": sha256 for name, sha256 in hashes(delivery.job).items()}
    given = {name: sha256 for name, sha256 in files.items() if name not in _PYSYFTS_OWN}
    return sorted({name for name, _ in given.items() ^ expected.items()} | (_PYSYFTS_OWN - files.keys()))


def _use(journal: Journal, decision: Decision, standing: Standing | None, plan: Plan, now: dt.datetime) -> None:
    """Hold a decision against what was done under it before, and write down its first use."""
    uses = journal.find(USED, decision=decision.id)
    for use in uses:
        if use.facts["plan"] != decision.plan_sha256:
            raise errors.AlreadyUsed(
                f"decision {decision.id} was used for the plan {str(use.facts['plan'])[:16]} of run "
                f"{use.facts['run_id']}; each plan needs a decision of its own"
            )
    _check_sessions(journal, decision, now)
    if uses:
        return
    if standing is not None:
        _check_first_use(journal, decision, standing, plan, now)
    ends = plan.data_interval[1].isoformat()
    facts = {"decision": decision.id, "plan": decision.plan_sha256, "run_id": decision.run_id, "interval_end": ends}
    journal.append(USED, "", **facts, standing=None if standing is None else standing.id)


def _check_sessions(journal: Journal, decision: Decision, now: dt.datetime) -> None:
    """Refuse a second session of a run, or of its survey, and any work once a session is over."""
    for run_id in (decision.run_id, f"{SURVEY_PREFIX}{decision.run_id}"):
        sessions = [*journal.find("session", run_id=run_id), *journal.find(PAST_SESSION, run_id=run_id)]
        over = [entry for entry in sessions if now > dt.datetime.fromisoformat(entry.facts["not_after"])]
        if over or len(sessions) > 1:
            raise errors.AlreadyUsed(
                f"decision {decision.id} was used: run {run_id} opened {len(sessions)} sessions at this agency, "
                f"{len(over)} of them over. An approval serves one; the coordinator has to start a new run"
            )


def _check_first_use(journal: Journal, decision: Decision, standing: Standing, plan: Plan, now: dt.datetime) -> None:
    """Hold the begin of a run against the date and the budget of a standing approval, and the months it has covered."""
    if now > standing.not_after:
        raise errors.StandingExpired(
            f"the standing approval {standing.id} ended on {standing.not_after:%Y-%m-%d %H:%M %Z}: the officer "
            "approves this run by itself, or makes another standing approval"
        )
    others = [use.facts for use in journal.find(USED, standing=standing.id) if use.facts["run_id"] != decision.run_id]
    for use in others:
        if plan.data_interval[1] <= dt.datetime.fromisoformat(use["interval_end"]):
            raise errors.StandingMismatch(
                f"the standing approval {standing.id} has covered run {use['run_id']}, whose data interval ended on "
                f"{use['interval_end']}; it covers later months alone: the officer approves this run by itself"
            )
    runs = {use["run_id"] for use in others}
    if len(runs) >= standing.max_runs:
        raise errors.BudgetSpent(
            f"the standing approval {standing.id} has covered {len(runs)} retrainings, {standing.max_runs} are the "
            "most: the officer approves this run by itself, or makes another standing approval"
        )


def _told(interval: tuple[dt.datetime, dt.datetime]) -> str:
    return " to ".join(f"{time:%Y-%m-%d %H:%M %Z}" for time in interval)


def _differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Name the files that differ."""
    return some(sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)))


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
