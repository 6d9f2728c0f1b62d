"""What every stage of an agency goes through before anything is done: approved code, then the agency's policy, and
where that says so, before a retraining opens data, the decision of the agency's data officer.

A refusal is written into the agency's journal of the scenario, and names the step and the error's code.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from pathlib import Path

from fl_tasks.approvals.check import check_approval
from fl_tasks.approvals.errors import ApprovalRefused
from fl_tasks.contracts.config import load_yaml
from fl_tasks.contracts.errors import CodeNotApproved, ConfigError, FLError, PolicyRefused
from fl_tasks.contracts.policy import Policy
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.secagg.errors import JournalBroken, JournalBusy, ProtocolError
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.vault import forget_expired
from fl_tasks.stages.checks import DATA_STAGES
from fl_tasks.stages.context import (
    approved_roster_path,
    folder_of,
    journal_paths,
    load_roster,
    protocol_key_path,
    sessions_folder,
)
from fl_tasks.stages.installed_code import check_code
from fl_tasks.stages.plan import wanted_of
from fl_tasks.stages.policy import check_request, policy_path

_REFUSALS = (ProtocolError, PolicyRefused, CodeNotApproved, ApprovalRefused)
_OPENING = {*DATA_STAGES, "count", "train", "evaluate"}
"""Stages of a retraining that read an agency's data, as delivered or prepared."""


def admit(spec: StageSpec) -> None:
    """Let an agency's stage begin, or refuse it.

    Raises:
        CodeNotApproved: If the installation is not the one that the agency's operator approved.
        PolicyRefused: If the run wants more than the agency's policy.yaml admits.
        ApprovalRefused: If the stage would open data that the agency's officer has not opened for this plan.
        ConfigError: If there is no policy, or a YAML is wrong.
    """
    # First, and at every stage of every scenario: secrets past their end go even where nothing else is admitted.
    for sessions in sorted(sessions_folder(folder_of(spec)).glob("*")):
        forget_expired(sessions, dt.datetime.now(dt.UTC))
    check_code(spec.places, spec.federation, str(spec.agency))
    folder = folder_of(spec)
    approved = approved_roster_path(folder, spec.scenario).exists()
    gate = check_request(spec, load_roster(folder, spec.scenario) if approved else None)
    if gate.policy.approval == "officer" and spec.stage in _OPENING and spec.prepares:
        _require_officer(spec)


def _require_officer(spec: StageSpec) -> None:
    folder = folder_of(spec)
    key = bytes.fromhex(load_roster(folder, spec.scenario).coordinator_key)
    wanted, now = wanted_of(spec), dt.datetime.now(dt.UTC)
    try:
        with open_journal(*journal_paths(folder, spec.scenario)) as journal:
            check_approval(spec.places, wanted, key, now, journal)
    except JournalBroken:
        # A run's keys start it anew, and they come after the data were read. Training asks again, before anything of
        # them leaves.
        if spec.stage not in DATA_STAGES:
            raise
        check_approval(spec.places, wanted, key, now, None)


def journal_refusal(spec: StageSpec, error: FLError) -> None:
    """Write a refusal into the agency's journal, unless it stands there already.

    What is retried (a journal that is busy) is no refusal. A folder without keys is no agency's; a journal that is
    broken takes no entry, which the refusal of its sessions tells, nor one that another process holds. A scenario that
    the agency takes no part in gets none: whoever may ask could fill the disk with them.
    """
    if error.journaled or error.retryable or not isinstance(error, _REFUSALS):
        return
    folder = folder_of(spec)
    if not protocol_key_path(folder).exists() or not _takes_part(folder, spec.scenario):
        return
    # A busy journal must not put its own, retryable error in the place of the refusal.
    with suppress(JournalBroken, JournalBusy), open_journal(*journal_paths(folder, spec.scenario)) as journal:
        journal.append("refused", "", run_id=spec.run_id, step=spec.label, code=error.code)
    error.journaled = True


def _takes_part(folder: Path, scenario: str) -> bool:
    if journal_paths(folder, scenario)[0].exists():
        return True
    try:
        return scenario in load_yaml(policy_path(folder), Policy).scenarios
    except ConfigError:
        return False
