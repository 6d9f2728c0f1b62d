"""What an officer has decided so far, and which plans the standing approvals among it cover."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from fl_tasks.approvals.records import read_records
from fl_tasks.contracts.plan import Decision, Plan, Revocation, Standing
from fl_tasks.officer.desk import Desk


@dataclass(frozen=True)
class Ledger:
    """All records of one officer, as they were when they were read."""

    decisions: tuple[Decision, ...]
    standing: tuple[Standing, ...]
    revoked: dict[str, Revocation]

    @cached_property
    def used(self) -> dict[str, set[str]]:
        """Standing approval -> the runs that were approved under it, whatever became of them."""
        found: dict[str, set[str]] = {one.id: set() for one in self.standing}
        for decision in self.decisions:
            if decision.standing in found:
                found[decision.standing].add(decision.run_id)
        return found

    def ended(self, standing: Standing, now: dt.datetime, *, but: str | None = None) -> str | None:
        """Say why a standing approval covers no further plan, or None if it still does.

        Args:
            standing: Which one.
            now: The time.
            but: A run that does not count.
        """
        if standing.id in self.revoked:
            return f"revoked {self.revoked[standing.id].at:%Y-%m-%d}"
        if now >= standing.not_after:
            return f"ended {standing.not_after:%Y-%m-%d %H:%M} UTC"
        if len(self.used[standing.id] - {but}) >= standing.max_runs:
            return "its retrainings are used up"
        return None

    def reaches(self, standing: Standing, plan: Plan) -> bool:
        """Whether a plan has a standing approval's terms, and is its first run's or of a later month than others."""
        if standing.terms_sha256 != plan.terms_sha256:
            return False
        others = [one for one in self.decisions if one.standing == standing.id and one.run_id != plan.run_id]
        latest = max([standing.interval_end, *(one.interval_end for one in others)])
        return plan.run_id == standing.first_run or plan.data_interval[1] > latest

    def covering(self, plan: Plan, now: dt.datetime) -> Standing | None:
        """Return the oldest standing approval that covers a plan now."""
        fitting = (one for one in self.standing if self.reaches(one, plan))
        return next((one for one in fitting if self.ended(one, now) is None), None)

    def on(self, run_id: str) -> list[Decision]:
        """Return the decisions on a run, the oldest first."""
        return [decision for decision in self.decisions if decision.run_id == run_id]


def read_ledger(desk: Desk) -> Ledger:
    """Read and verify all records of an officer; raises RecordAltered."""
    decisions, standing, revoked = (
        read_records(desk.folder, Decision, desk.public_key),
        read_records(desk.folder, Standing, desk.public_key),
        read_records(desk.folder, Revocation, desk.public_key),
    )
    return Ledger(tuple(decisions), tuple(standing), {one.id: one for one in revoked})
