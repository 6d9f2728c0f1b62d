"""The one operator of a federation: it runs one stage (`fl run STAGE`) as a process of its own."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped
from pydantic import ValidationError

from fl_airflow.assets import global_model
from fl_airflow.installation import STEP, RunKind, federated_run_id, installation_home
from fl_airflow.interval import run_interval
from fl_airflow.retry_policy import StageCrashed, StageNotReady
from fl_airflow.stage_process import AHEAD, FL, StageProcess, begin, has_begun, stage_process
from fl_tasks.contracts.approval import Approval
from fl_tasks.contracts.base import describe
from fl_tasks.contracts.call import DagBundle
from fl_tasks.contracts.stage import EXIT_FINAL, EXIT_RETRY, Stage, StageResult, StageSpec
from fl_tasks.daemon.client import DaemonUnavailable

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

_RETURN_VALUE = "return_value"
_MOST_SECONDS = 10.0**9


class FLStageOperator(BaseOperator):
    """Run one stage, and turn what it left behind into the task's state.

    The stage gets a typed spec in a file and nothing else: no template, no part of a command line. A stage
    that fails for good (exit code 10) is not retried; see retry_policy. XCom holds the stage's StageResult, never
    data. A promotion updates the scenario's asset.

    Args:
        stage: What to do.
        scenario: For which scenario.
        federation: Folder with scenarios/ and agencies/, absolute.
        cron: The scenario's schedule, for a run that has no interval of its own.
        timezone: IANA name; times of the run's parameters without a UTC offset are local times of it.
        kind: Of which run the stage is: the one of the DAG, or its survey.
        agency: Whose stage it is; none at the coordinator.
        round: From 1, in a round.
        skips: Tasks to skip at once if the result is `burnt` or `finished`.
        approval: Task whose XCom is a person's answer, for the stages that need it.
    """

    ui_color = "#d7e8f7"
    command: ClassVar[tuple[str, ...]] = FL

    def __init__(
        self,
        *,
        stage: Stage,
        scenario: str,
        federation: str,
        cron: str,
        timezone: str,
        kind: RunKind = "retraining",
        agency: str | None = None,
        round: int | None = None,
        skips: Sequence[str] = (),
        approval: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - BaseOperator's own
    ) -> None:
        # Before the event of the failure is made.
        super().__init__(on_failure_callback=_forget_trace, on_retry_callback=_forget_trace, **kwargs)
        self.stage = stage
        self.scenario = scenario
        self.federation = federation
        self.cron = cron
        self.timezone = timezone
        self.kind: RunKind = kind
        self.agency = agency
        self.round = round
        self.skips = tuple(skips)
        self.approval = approval
        self._process: StageProcess | None = None
        self._result: StageResult | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the stage to its end.

        Raises:
            AirflowSkipException: If the stage has nothing to do, or the agency is left out of this run.
            DownstreamTasksSkipped: If its result makes `skips` superfluous.
            AirflowFailException: If it failed for good, or a parameter of the run is wrong.
            StageNotReady: If it found something busy, or not there yet.
            StageCrashed: If its process was killed, broke, or left no result.
        """
        chosen = context["params"].get("agencies")
        if self.agency is not None and chosen is not None and self.agency not in chosen:
            self._step("skipped", "left out by the run's parameters")
            raise AirflowSkipException(f"{self.agency} is left out by the run's parameters")
        spec = self._spec(context)
        if AHEAD in os.environ and self.agency is not None and not has_begun(spec):
            self._begin_siblings(context)
        result = self._run(spec, _bundle(context))
        self._result = result
        if result.status == "skipped":
            self._step("skipped", result.reason, result.seconds)
            raise AirflowSkipException(result.reason or f"{self.stage} had nothing to do")
        if result.failed:
            self._step("failed", result.reason, result.seconds)
            raise AirflowFailException(result.reason or "the run did not reach a usable end")
        if self.stage == "promote":
            self._announce(spec, result, context)
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

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Return which step it is: what it reads is known once it has ended."""
        return self._lineage()

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """Return which data sets the stage read and left, and what it told of them."""
        return self._lineage()

    def _lineage(self) -> OperatorLineage[Any, Any]:
        from fl_airflow.lineage.events import stage_lineage  # noqa: PLC0415 - not at parse time

        # What the provider adds would name the file's place on this machine's disk; in a task's process nothing else
        # asks for it any more.
        self.dag.fileloc = Path(self.dag.fileloc).name
        return stage_lineage(
            self.stage, self.scenario, self.kind, agency=self.agency, round_=self.round, result=self._result
        )

    def _spec(self, context: Context) -> StageSpec:
        params = context["params"]
        run_id = federated_run_id(self.scenario, context["run_id"], self.kind)
        interval = run_interval(context, scenario=self.scenario, cron=self.cron, timezone=self.timezone)
        try:
            return StageSpec.model_validate(
                {
                    "schema": 1,
                    "stage": self.stage,
                    "scenario": self.scenario,
                    "run_id": run_id,
                    "data_interval": interval,
                    "home": installation_home(),
                    "federation": Path(self.federation),
                    "agency": self.agency,
                    "round": self.round,
                    "rounds": params.get("rounds"),
                    "agencies": None if params.get("agencies") is None else tuple(params["agencies"]),
                    "dry_run": params.get("dry_run", False),
                    "local_only": params.get("local_only", True),
                    "version": params.get("version"),
                    "run_started": _started(context),
                    "approval": self._answer(context),
                    "seconds_by_stage": self._seconds_by_stage(context) if self.stage == "report" else {},
                }
            )
        except ValidationError as error:
            raise AirflowFailException(f"stage {self.stage}: {describe(error)}; check the run's parameters") from error

    def _answer(self, context: Context) -> Approval | None:
        """Return what a person said of the promotion; None if nobody was asked, or has answered."""
        value = None if self.approval is None else context["ti"].xcom_pull(task_ids=self.approval, key=_RETURN_VALUE)
        return None if value is None else Approval.model_validate_json(json.dumps(value))

    def _announce(self, spec: StageSpec, result: StageResult, context: Context) -> None:
        """Have the task's end update the asset, unless an earlier run of the task has done so for this version.

        Raises:
            AirflowSkipException: If it has: only a skipped task does not update its asset.
            StageCrashed: If the result does not say which model was promoted.
        """
        sha256 = result.digests.get("model")
        if result.version is None or sha256 is None:
            self._step("failed", "incomplete result")
            raise StageCrashed("stage promote: its result needs a version and the digest `model`")
        asset = global_model(self.scenario)
        if any((event.extra or {}).get("version") == result.version for event in context["inlet_events"][asset]):
            self._step("skipped", f"version {result.version} was announced before", result.seconds)
            raise AirflowSkipException(f"version {result.version} was announced before")
        context["outlet_events"][asset].extra = {
            "version": result.version,
            "model_sha256": sha256,
            "data_interval": [time.isoformat() for time in spec.data_interval],
        }

    def _run(self, spec: StageSpec, bundle: DagBundle | None) -> StageResult:
        process = stage_process(self.command, spec, bundle, lambda line: self.log.info("%s", line))
        self._process = process
        try:
            code = process.run()
        except DaemonUnavailable as error:
            self._step("failed", "no daemon")
            raise StageNotReady(str(error)) from error
        finally:
            self._process = None
        if code == 0:
            try:
                return process.result()
            except (FileNotFoundError, ValidationError) as error:
                self._step("failed", "no result")
                raise StageCrashed(
                    f"stage {self.stage} ended well but left no valid {spec.result_path.name}"
                ) from error
        self._step("failed", f"exit code {code}")
        if code == EXIT_FINAL:
            with suppress(ValidationError):  # its failure is what counts, not what it told of it
                self._result = process.failure()
            told = f", {self._result.reason}" if self._result is not None else ""
            raise AirflowFailException(f"stage {self.stage} failed for good (exit code {code}{told}); its log says why")
        failure = StageNotReady if code == EXIT_RETRY else StageCrashed
        raise failure(f"stage {self.stage} failed (exit code {code}); its log says why")

    def _begin_siblings(self, context: Context) -> None:
        """Begin the same step of the other agencies whose turn has come, too."""
        run_id = context["run_id"]
        states = context["ti"].get_task_states(dag_id=self.dag_id, run_ids=[run_id]).get(run_id, {})
        for task in context["dag"].tasks:
            if (
                isinstance(task, FLStageOperator)
                and task.agency not in (None, self.agency)
                and (task.stage, task.kind, task.round) == (self.stage, self.kind, self.round)
                and states.get(task.task_id) == "scheduled"
                and task.agency in (context["params"].get("agencies") or [task.agency])
            ):
                begin(self.command, task._spec(context), _bundle(context))

    def _seconds_by_stage(self, context: Context) -> dict[str, float]:
        """Sum the run time of this run's stages so far, by stage."""
        ti = context["ti"]
        run_id = context["run_id"]
        states = ti.get_task_states(dag_id=self.dag_id, run_ids=[run_id]).get(run_id, {})
        total: dict[str, float] = {}
        for task in context["dag"].tasks:
            if isinstance(task, FLStageOperator) and states.get(task.task_id) == "success":
                value = ti.xcom_pull(task_ids=task.task_id, key=_RETURN_VALUE)
                total[task.stage] = total.get(task.stage, 0.0) + _seconds(value)
        return total

    def _step(self, state: Literal["done", "skipped", "burnt", "failed"], reason: str, seconds: float = 0.0) -> None:
        """Log what became of the stage in one line that a program can read."""
        fields = {
            "stage": self.stage,
            "agency": self.agency,
            "run": self.kind,
            "round": self.round,
            "state": state,
            "seconds": round(seconds, 3),
            "reason": reason,
        }
        self.log.info("%s %s", STEP, json.dumps(fields))


def _seconds(value: object) -> float:
    """Return the run time that a stage's XCom tells of; 0 if it tells of none, as an agency's own may."""
    seconds = value.get("seconds") if isinstance(value, dict) else None
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _MOST_SECONDS else 0.0


def _bundle(context: Context) -> DagBundle | None:
    """Return where the task's DAG comes from; None in a run of `dag.test`, which reads its file itself."""
    bundle = getattr(context["ti"], "bundle_instance", None)
    return None if bundle is None else DagBundle(name=bundle.name, version=bundle.version)


def _forget_trace(context: Context) -> None:
    """Take the trace from what a task failed of, so that no event holds it; the task's log has it already.

    It names folders of whoever's machine this is, and repeats what a chained error says, which nobody has looked at.
    """
    error = context.get("exception")
    if isinstance(error, BaseException):
        error.__traceback__ = error.__cause__ = None
        error.__suppress_context__ = True


def _started(context: Context) -> dt.datetime:
    """Return when a run was started. A run of `dag.test` calls its logical date its start."""
    run = context["dag_run"]
    return run.run_after if run.start_date is None else max(run.start_date, run.run_after)
