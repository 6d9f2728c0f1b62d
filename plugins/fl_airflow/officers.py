"""Waiting for the agencies' data officers without holding a worker."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from fl_airflow.installation import federated_run_id, installation_home
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import ANSWERS

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fl_tasks.exchange.store import Exchange

_POLL_SECONDS = 10.0


class OfficersSensor(BaseOperator):
    """Wait until every agency that received its plan has told what was decided on it, or the time to decide is over.

    It ends well in both cases: whose officer has not approved is refused by the agency itself, and left out of the
    cohort. XCom holds which agencies were not waited for any longer.

    Args:
        scenario: Which scenario.
        agencies: Who is sent a plan.
        receive: Id of an agency's task that receives it, with the agency for `{}`.
        deadline_hours: How long officers are waited for, from the run's start.
    """

    def __init__(
        self,
        *,
        scenario: str,
        agencies: Sequence[str],
        receive: str,
        deadline_hours: float,
        **kwargs: Any,  # noqa: ANN401 - BaseOperator's own
    ) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.agencies = tuple(agencies)
        self.receive = receive
        self.deadline_hours = deadline_hours

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Look once; if somebody has not answered, let the triggerer look from then on."""
        run_id = context["run_id"]
        states = context["ti"].get_task_states(dag_id=self.dag_id, run_ids=[run_id]).get(run_id, {})
        asked = [name for name in self.agencies if states.get(self.receive.format(name)) == "success"]
        home, federated = installation_home(), federated_run_id(self.scenario, run_id, "retraining")
        waiting = unanswered(exchange_of_the_run(home, federated), asked)
        if not waiting:
            return {"undecided": []}
        # From the run's start: another try of this task gives nobody more time.
        started = context["dag_run"].start_date or dt.datetime.now(dt.UTC)
        until = started + dt.timedelta(hours=self.deadline_hours)
        self.log.info("waiting until %s for the officers of %s", until.isoformat(timespec="minutes"), waiting)
        self.defer(trigger=AnswersTrigger(str(home), federated, asked, until.isoformat()), method_name="go_on")

    def go_on(self, context: Context, event: dict[str, list[str]]) -> dict[str, list[str]]:
        """Say who was not waited for any longer."""
        if event["undecided"]:
            self.log.warning("not decided in time, and so left out: %s", event["undecided"])
        return event


class AnswersTrigger(BaseTrigger):
    """Look into a run's exchange until every agency has answered, or the time is over.

    Args:
        home: The coordinator's home folder.
        run_id: Of the run.
        agencies: Who is asked.
        until: ISO time.
    """

    def __init__(self, home: str, run_id: str, agencies: Sequence[str], until: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.home = home
        self.run_id = run_id
        self.agencies = list(agencies)
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how the triggerer makes it again."""
        arguments = {"home": self.home, "run_id": self.run_id, "agencies": self.agencies, "until": self.until}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield once: who has not answered. While the exchange cannot be reached nobody has, and it is asked again."""
        until = dt.datetime.fromisoformat(self.until)
        exchange = await asyncio.to_thread(exchange_of_the_run, Path(self.home), self.run_id)
        waiting = self.agencies
        while True:
            try:
                waiting = await asyncio.to_thread(unanswered, exchange, self.agencies)
            except FLError as error:
                if not error.retryable:
                    raise
                self.log.warning("the answers of %s cannot be read now: %s", self.run_id, error)
            left = (until - dt.datetime.now(dt.UTC)).total_seconds()
            if not waiting or left <= 0:
                yield TriggerEvent({"undecided": waiting})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(min(_POLL_SECONDS, left))


def exchange_of_the_run(home: Path, run_id: str) -> Exchange:
    """Return the coordinator's end of a run's exchange."""
    from fl_tasks.exchange.access import Space  # noqa: PLC0415 - not at parse time
    from fl_tasks.exchange.open import open_exchange  # noqa: PLC0415

    return open_exchange(Home(home), None, Space("runs", run_id))


def unanswered(exchange: Exchange, agencies: Sequence[str]) -> list[str]:
    """Return the agencies that have not told what was decided on their plan.

    That somebody answered is enough here: whose answer it is, the exchange has made sure of.
    """
    names = set(exchange.names(ANSWERS))
    return [agency for agency in agencies if f"{ANSWERS}/{agency}" not in names]
