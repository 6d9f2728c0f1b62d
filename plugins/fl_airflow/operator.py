"""The one operator of a federation: it runs one stage (`fl run STAGE`) as a process of its own."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)
from pydantic import ValidationError

from fl_airflow.installation import STEP, federated_run_id, installation_home
from fl_airflow.process import GroupProcess
from fl_tasks.contracts.base import describe
from fl_tasks.contracts.stage import EXIT_FINAL, Stage, StageResult, StageSpec, read_result, write_spec

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

_RETURN_VALUE = "return_value"


class FLStageOperator(BaseOperator):
    """Run one stage, and turn what it left behind into the task's state.

    The stage gets a typed spec in a file and nothing else: no template, no part of a command line. A stage
    that fails for good (exit code 10) is not retried. XCom holds the stage's StageResult, never data.

    Args:
        stage: What to do.
        scenario: For which scenario.
        federation: Folder with scenarios/ and agencies/, absolute.
        timezone: IANA name; times of the run's parameters without a UTC offset are local times of it.
        agency: Whose stage it is; none at the coordinator.
        round: From 1, in a round.
        skips: Tasks to skip at once if the result is `burnt` or `finished`.
    """

    ui_color = "#d7e8f7"
    # -P: whatever lies in the working directory is not imported.
    command: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "fl_tasks")

    def __init__(
        self,
        *,
        stage: Stage,
        scenario: str,
        federation: str,
        timezone: str,
        agency: str | None = None,
        round: int | None = None,
        skips: Sequence[str] = (),
        **kwargs: Any,  # noqa: ANN401 - BaseOperator's own
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.scenario = scenario
        self.federation = federation
        self.timezone = timezone
        self.agency = agency
        self.round = round
        self.skips = tuple(skips)
        self._process: GroupProcess | None = None
        self._result: StageResult | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the stage to its end.

        Raises:
            AirflowSkipException: If the stage has nothing to do, or the agency is left out of this run.
            DownstreamTasksSkipped: If its result makes `skips` superfluous.
            AirflowFailException: If it failed for good, or a parameter of the run is wrong.
            AirflowException: If it failed in a way that a retry may mend.
        """
        chosen = context["params"].get("agencies")
        if self.agency is not None and chosen is not None and self.agency not in chosen:
            self._step("skipped", "left out by the run's parameters")
            raise AirflowSkipException(f"{self.agency} is left out by the run's parameters")
        result = self._run(self._spec(context))
        self._result = result
        if result.status == "skipped":
            self._step("skipped", result.reason, result.seconds)
            raise AirflowSkipException(result.reason or f"{self.stage} had nothing to do")
        if result.failed:
            self._step("failed", result.reason, result.seconds)
            raise AirflowFailException(result.reason or "the run did not reach a usable end")
        self._step("burnt" if result.burnt else "done", result.reason, result.seconds)
        value = result.model_dump(mode="json")
        if self.skips and (result.burnt or result.finished):
            context["ti"].xcom_push(key=_RETURN_VALUE, value=value)
            raise DownstreamTasksSkipped(tasks=list(self.skips))  # type: ignore[no-untyped-call]
        return value

    def on_kill(self) -> None:
        """Kill the stage and everything that it started."""
        if self._process is not None:
            self._process.kill()

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """Return which data sets the stage read and left; names only."""
        from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415 - not at parse time
        from openlineage.client.event_v2 import Dataset  # noqa: PLC0415

        if self._result is None:  # the stage left no result: it failed, or it was never run
            return OperatorLineage()
        return OperatorLineage(
            inputs=[Dataset(namespace=ref.namespace, name=ref.name) for ref in self._result.inputs],
            outputs=[Dataset(namespace=ref.namespace, name=ref.name) for ref in self._result.outputs],
        )

    def _spec(self, context: Context) -> StageSpec:
        params = context["params"]
        run_id = federated_run_id(self.scenario, context["run_id"])
        try:
            return StageSpec.model_validate(
                {
                    "schema": 1,
                    "stage": self.stage,
                    "scenario": self.scenario,
                    "run_id": run_id,
                    "data_interval": self._interval(context),
                    "home": installation_home(),
                    "federation": Path(self.federation),
                    "agency": self.agency,
                    "round": self.round,
                    "rounds": params.get("rounds"),
                    "agencies": None if params.get("agencies") is None else tuple(params["agencies"]),
                    "seconds_by_stage": self._seconds_by_stage(context) if self.stage == "report" else {},
                }
            )
        except ValidationError as error:
            raise AirflowFailException(f"stage {self.stage}: {describe(error)}; check the run's parameters") from error

    def _interval(self, context: Context) -> tuple[dt.datetime, dt.datetime]:
        """Return the data interval: the run's parameter if it has one, else the scheduled one."""
        chosen = context["params"].get("interval")
        if chosen is None:
            run = context["dag_run"]
            if run.data_interval_start is None or run.data_interval_end is None:
                raise AirflowFailException(
                    "the run has no data interval; trigger it with a logical date or with the parameter interval"
                )
            chosen = (run.data_interval_start.isoformat(), run.data_interval_end.isoformat())
        try:
            start, end = (dt.datetime.fromisoformat(time) for time in chosen)
        except ValueError as error:
            raise AirflowFailException(
                "parameter interval: needed are two ISO 8601 times, like 2012-03-01 and 2012-04-01"
            ) from error
        zone = ZoneInfo(self.timezone)
        return (
            start if start.tzinfo else start.replace(tzinfo=zone),
            end if end.tzinfo else end.replace(tzinfo=zone),
        )

    def _run(self, spec: StageSpec) -> StageResult:
        path = write_spec(spec)
        # A stage knows no Airflow: neither its database nor its signing keys are passed on.
        env = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
        self._process = GroupProcess(
            [*self.command, "run", self.stage, "--spec", str(path)], env, lambda line: self.log.info("%s", line)
        )
        try:
            code = self._process.run()
        finally:
            self._process = None
        if code == 0:
            try:
                return read_result(spec)
            except (FileNotFoundError, ValidationError) as error:
                self._step("failed", "no result")
                raise AirflowException(
                    f"stage {self.stage} ended well but left no valid {spec.result_path.name}"
                ) from error
        self._step("failed", f"exit code {code}")
        if code == EXIT_FINAL:
            raise AirflowFailException(f"stage {self.stage} failed for good (exit code {code}); its log says why")
        raise AirflowException(f"stage {self.stage} failed (exit code {code}); its log says why")

    def _seconds_by_stage(self, context: Context) -> dict[str, float]:
        """Sum the run time of this run's stages so far, by stage."""
        ti = context["ti"]
        run_id = context["run_id"]
        states = ti.get_task_states(dag_id=self.dag_id, run_ids=[run_id]).get(run_id, {})
        total: dict[str, float] = {}
        for task in context["dag"].tasks:
            if isinstance(task, FLStageOperator) and states.get(task.task_id) == "success":
                value = ti.xcom_pull(task_ids=task.task_id, key=_RETURN_VALUE)
                if value is not None:
                    total[task.stage] = total.get(task.stage, 0.0) + value["seconds"]
        return total

    def _step(self, state: Literal["done", "skipped", "burnt", "failed"], reason: str, seconds: float = 0.0) -> None:
        """Log what became of the stage in one line that a program can read."""
        fields = {
            "stage": self.stage,
            "agency": self.agency,
            "round": self.round,
            "state": state,
            "seconds": round(seconds, 3),
            "reason": reason,
        }
        self.log.info("%s %s", STEP, json.dumps(fields))
