"""Build a scenario's DAGs from its YAML: a graph's nodes become tasks, its groups task groups."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, CronDataIntervalTimetable, TaskGroup, get_parsing_context
from airflow.sdk.definitions.param import ParamsDict

from fl_airflow import params
from fl_airflow.approval import PromotionApproval
from fl_airflow.assets import global_model
from fl_airflow.early import EarlyRetrainingOperator
from fl_airflow.edge import AGENCIES_COME, EDGE_EXECUTOR
from fl_airflow.graph import (
    APPROVE,
    OFFICERS,
    RECEIVE,
    Node,
    forecast_graph,
    retraining_graph,
    rollback_graph,
    watch_graph,
)
from fl_airflow.installation import DagKind, forecast_dag_id, retraining_dag_id, rollback_dag_id, watch_dag_id
from fl_airflow.notifier import RedRunNotifier, late_run_alert
from fl_airflow.officers import OfficersSensor
from fl_airflow.operator import FLStageOperator
from fl_airflow.retry_policy import retry_policy
from fl_airflow.stage_docs import APPROVE_DOC, BARRIER_DOC, EARLY_DOC, OFFICERS_DOC, STAGE_DOCS
from fl_tasks.contracts.config import AgencyConfig, ScenarioConfig
from fl_tasks.contracts.stage import Stage
from fl_tasks.contracts.table_config import TableConfig

_POOLED: tuple[Stage, ...] = ("train", "evaluate")
_ANSWERED: tuple[Stage, ...] = ("promote", "report")


def build_retraining_dag(
    scenario: ScenarioConfig, agencies: Sequence[AgencyConfig], *, federation: Path, doc_md: str | None = None
) -> DAG:
    """Return the DAG that retrains one scenario on its schedule.

    Args:
        scenario: What, when and how often.
        agencies: Its members; each one's tasks run on its own queue only.
        federation: Folder with scenarios/ and agencies/, for the stages.
        doc_md: What the UI shows about the DAG.
    """
    builder = _Builder("retraining", scenario, tuple(agencies), federation)
    dag = builder.dag(
        retraining_dag_id(scenario.scenario),
        f"Federated retraining: {scenario.title}",
        schedule=CronDataIntervalTimetable(builder.cron, timezone=scenario.schedule.timezone),
        doc_md=doc_md,
    )
    graph = retraining_graph(
        builder.names,
        scenario.rounds.groups,
        surveyed=_surveyed(scenario),
        asked=scenario.asks,
        planned=scenario.officers is not None,
    )
    builder.add(graph, dag)
    dag.params = ParamsDict(params.retraining_params(scenario, builder.names))  # after the tasks: each would copy them
    return dag


def build_forecast_dag(
    scenario: ScenarioConfig, agencies: Sequence[AgencyConfig], *, federation: Path, doc_md: str | None = None
) -> DAG:
    """Return the DAG in which each agency forecasts with the champion, started by a promotion; arguments as above."""
    builder = _Builder("forecast", scenario, tuple(agencies), federation)
    dag = builder.dag(
        forecast_dag_id(scenario.scenario),
        f"Forecast: {scenario.title}",
        schedule=[global_model(scenario.scenario)],
        doc_md=doc_md,
    )
    builder.add(forecast_graph(builder.names), dag)
    dag.params = ParamsDict(params.forecast_params(builder.names))  # after the tasks: each would copy them
    return dag


def build_watch_dag(
    scenario: ScenarioConfig,
    agencies: Sequence[AgencyConfig],
    *,
    federation: Path,
    doc_md: str | None = None,
) -> DAG:
    """Return the DAG that looks whether agencies' data have moved, of a scenario with `drift`; arguments as above."""
    builder = _Builder("watch", scenario, tuple(agencies), federation)
    dag = builder.dag(
        watch_dag_id(scenario.scenario),
        f"Drift watch: {scenario.title}",
        schedule=CronDataIntervalTimetable(builder.cron, timezone=scenario.schedule.timezone),
        doc_md=doc_md,
    )
    builder.add(watch_graph(builder.names), dag)
    early = EarlyRetrainingOperator(
        task_id="retrain",
        retraining=retraining_dag_id(scenario.scenario),
        scenario=scenario.scenario,
        watched=builder.cron,
        cron=scenario.schedule.cron,
        timezone=scenario.schedule.timezone,
        doc_md=EARLY_DOC,
        dag=dag,
    )
    dag.get_task("drift") >> early
    dag.params = ParamsDict(params.forecast_params(builder.names))  # after the tasks: each would copy them
    return dag


def build_rollback_dag(scenario: ScenarioConfig, *, federation: Path, doc_md: str | None = None) -> DAG:
    """Return the DAG that restores a former champion, started by hand only; arguments as above."""
    builder = _Builder("rollback", scenario, (), federation)
    dag = builder.dag(
        rollback_dag_id(scenario.scenario),
        f"Model rollback: {scenario.title}",
        schedule=None,
        doc_md=doc_md,
    )
    builder.add(rollback_graph(), dag)
    dag.params = ParamsDict(params.rollback_params())  # after the tasks: each would copy them
    return dag


def is_wanted(dag_id: str) -> bool:
    """Say whether this parse needs a DAG: a task's process parses its file for the sake of one."""
    return get_parsing_context().dag_id in (None, dag_id)


@dataclass(frozen=True)
class _Builder:
    kind: DagKind
    scenario: ScenarioConfig
    agencies: tuple[AgencyConfig, ...]
    federation: Path

    @property
    def names(self) -> list[str]:
        return sorted(agency.agency for agency in self.agencies)

    @property
    def cron(self) -> str:
        """Its schedule, of whose last interval a run by hand is."""
        drift = self.scenario.drift
        return drift.cron if self.kind == "watch" and drift is not None else self.scenario.schedule.cron

    def dag(
        self,
        dag_id: str,
        title: str,
        *,
        schedule: CronDataIntervalTimetable | list[Asset] | None,
        doc_md: str | None,
    ) -> DAG:
        when, tasks = self.scenario.schedule, self.scenario.tasks
        delay = dt.timedelta(seconds=tasks.retry_delay_seconds)
        return DAG(
            dag_id=dag_id,
            dag_display_name=title,
            schedule=schedule,
            start_date=dt.datetime.combine(when.start_date, dt.time(), tzinfo=ZoneInfo(when.timezone)),
            catchup=when.catchup,
            max_active_runs=when.max_active_runs,
            max_active_tasks=len(self.agencies) + 2,  # every agency's at once, and the coordinator's
            default_args={
                "owner": tasks.owner,
                "retries": tasks.retries,
                "retry_delay": delay,
                "retry_exponential_backoff": 2,
                "max_retry_delay": dt.timedelta(seconds=tasks.max_retry_delay_seconds),
                "retry_policy": retry_policy(delay),
                "execution_timeout": dt.timedelta(minutes=tasks.timeout_minutes),
            },
            on_failure_callback=RedRunNotifier(
                self.scenario.scenario, self.kind, frozenset(self.names), self.scenario.notify
            ),
            deadline=late_run_alert(self.scenario, self.kind),
            tags=["federated", self.kind, self.scenario.scenario],
            doc_md=doc_md,
        )

    def add(self, graph: Iterable[Node], dag: DAG) -> None:
        queues = {agency.agency: agency.queue for agency in self.agencies}
        groups: dict[tuple[str, ...], TaskGroup | None] = {(): None}
        tasks: dict[str, BaseOperator] = {}
        for node in graph:
            task = self._task(node, queues, dag=dag, group=_group(node.groups, groups, dag))
            tasks[node.task_id] = task
            # What set_upstream does, which besides hashes the whole DAG for every edge: a quarter of the parse.
            for before in node.upstream:
                task.upstream_task_ids.add(before)
                tasks[before].downstream_task_ids.add(task.task_id)

    def _task(self, node: Node, queues: dict[str, str], *, dag: DAG, group: TaskGroup | None) -> BaseOperator:
        common: dict[str, Any] = {
            "task_id": node.task_id.rsplit(".", 1)[-1],
            "trigger_rule": node.rule,
            "dag": dag,
            "task_group": group,
        }
        if node.task_id == APPROVE and self.scenario.promotion is not None:
            asked = self.scenario.promotion
            return PromotionApproval(title=self.scenario.title, promotion=asked, doc_md=APPROVE_DOC, **common)
        if node.task_id == OFFICERS and self.scenario.officers is not None:
            return OfficersSensor(
                scenario=self.scenario.scenario,
                agencies=self.names,
                receive=RECEIVE,
                deadline_hours=self.scenario.officers.deadline_hours,
                execution_timeout=None,  # an officer may take longer than a stage
                doc_md=OFFICERS_DOC,
                **common,
            )
        if node.stage is None:
            return EmptyOperator(doc_md=BARRIER_DOC, **common)
        if node.agency is not None:
            common["queue"] = queues[node.agency]
            if AGENCIES_COME in os.environ:
                common["executor"] = EDGE_EXECUTOR
            elif node.stage in _POOLED:  # all on this machine's cores
                common["pool"] = self.scenario.tasks.training_pool
        if node.stage == "promote":
            # Also read, so that a version which was announced is not announced again.
            common["inlets"] = common["outlets"] = [global_model(self.scenario.scenario)]
        return FLStageOperator(
            stage=node.stage,
            scenario=self.scenario.scenario,
            federation=str(self.federation),
            cron=self.cron,
            timezone=self.scenario.schedule.timezone,
            kind="survey" if node.survey else self.kind,
            agency=node.agency,
            round=node.round,
            skips=node.skips,
            approval=APPROVE if self.scenario.asks and node.stage in _ANSWERED else None,
            doc_md=STAGE_DOCS[node.stage],
            **common,
        )


def _surveyed(scenario: ScenarioConfig) -> bool:
    """Whether agencies have to agree on something before their data can be prepared."""
    return isinstance(scenario.data, TableConfig) and scenario.data.surveyed


def _group(path: tuple[str, ...], groups: dict[tuple[str, ...], TaskGroup | None], dag: DAG) -> TaskGroup | None:
    if path not in groups:
        parent = _group(path[:-1], groups, dag)
        groups[path] = TaskGroup(path[-1], parent_group=parent, dag=dag)
    return groups[path]
