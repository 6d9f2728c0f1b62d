"""Build a scenario's DAG from its YAML: the graph's nodes become tasks, its groups task groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, CronDataIntervalTimetable, Param, TaskGroup

from fl_airflow.graph import Node, retraining_graph
from fl_airflow.installation import retraining_dag_id
from fl_airflow.operator import FLStageOperator
from fl_tasks.contracts.config import AgencyConfig, ScenarioConfig
from fl_tasks.contracts.stage import Stage

_ISO_TIME = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$"

# What the UI and the lineage say of a task; without it each lineage event would repeat the DAG's page.
_STAGE_DOCS: dict[Stage, str] = {
    "ingest": "Read the agency's own data, at the agency.",
    "standardize": "Bring the rows to the scenario's step, unit and series; rejected rows go to quarantine.",
    "validate": "Judge the data and freeze this run's examples. Red: the agency is left out of the run.",
    "cohort": "Invite the agencies that passed. Red: fewer than the threshold t did.",
    "keys": "Make fresh keys for every round and post the public ones.",
    "list": "Freeze whose keys count. Red: fewer than t agencies posted theirs.",
    "shares": "Post encrypted shares of the round secrets, one file for each peer.",
    "ready": "Open and keep the shares that the peers sent, and say which.",
    "close": "Freeze the set A of the session. Red: fewer than t agencies hold each other's shares.",
    "train": "Train on the agency's own data, mask the model delta, post the masked update.",
    "manifest": "Freeze whose updates are in the sum; fewer than t burn the round.",
    "ack": "Check the manifest and confirm it.",
    "reveal": "Post the shares that unmask the sum, and no single update.",
    "aggregate": "Unmask the sum and take the server optimizer's step. Red: fewer than t agencies revealed.",
    "close_round": "Pass the newest model on, or end the rounds. Red: too many rounds were burnt.",
    "evaluate": "Judge the model on the agency's held-back data.",
    "report": "Write report.json; also for a run that failed.",
    "verdict": "Decide the colour of the run.",
}
_BARRIER_DOC = "Over when every agency's step before it is over, whatever became of it; the next step counts them."


def build_retraining_dag(
    scenario: ScenarioConfig, agencies: Sequence[AgencyConfig], *, federation: Path, doc_md: str | None = None
) -> DAG:
    """Return the DAG that retrains one scenario.

    Args:
        scenario: What, when and how often.
        agencies: Its members; each one's tasks run on its own queue only.
        federation: Folder with scenarios/ and agencies/, for the stages.
        doc_md: What the UI shows about the DAG.
    """
    zone = ZoneInfo(scenario.schedule.timezone)
    dag = DAG(
        dag_id=retraining_dag_id(scenario.scenario),
        dag_display_name=f"Federated retraining: {scenario.title}",
        schedule=CronDataIntervalTimetable(scenario.schedule.cron, timezone=scenario.schedule.timezone),
        start_date=dt.datetime.combine(scenario.schedule.start_date, dt.time(), tzinfo=zone),
        catchup=scenario.schedule.catchup,
        max_active_runs=scenario.schedule.max_active_runs,
        default_args={
            "owner": scenario.tasks.owner,
            "retries": scenario.tasks.retries,
            "retry_delay": dt.timedelta(seconds=scenario.tasks.retry_delay_seconds),
            "retry_exponential_backoff": 2,
            "execution_timeout": dt.timedelta(minutes=scenario.tasks.timeout_minutes),
        },
        params=_params(scenario, [agency.agency for agency in agencies]),
        tags=["federated", scenario.scenario],
        doc_md=doc_md,
    )
    queues = {agency.agency: agency.queue for agency in agencies}
    groups: dict[tuple[str, ...], TaskGroup | None] = {(): None}
    tasks: dict[str, BaseOperator] = {}
    for node in retraining_graph(sorted(queues), scenario.rounds.groups):
        task = _task(node, scenario, federation, queues, dag=dag, group=_group(node.groups, groups, dag))
        tasks[node.task_id] = task
        task.set_upstream([tasks[before] for before in node.upstream])
    return dag


def _params(scenario: ScenarioConfig, agencies: list[str]) -> dict[str, Param]:
    """Return what a manual run may set; it can only make a run smaller."""
    return {
        "rounds": Param(
            None,
            type=["integer", "null"],
            minimum=1,
            maximum=scenario.rounds.wanted,
            description=f"Fewer rounds than the {scenario.rounds.wanted} of the scenario.",
        ),
        "agencies": Param(
            None,
            type=["array", "null"],
            items={"enum": agencies},
            minItems=1,
            uniqueItems=True,
            description="Fewer agencies than the roster has.",
        ),
        "interval": Param(
            None,
            type=["array", "null"],
            items={"type": "string", "pattern": _ISO_TIME},
            minItems=2,
            maxItems=2,
            description="Start and end of the data interval instead of the scheduled one; "
            f"without a UTC offset in {scenario.schedule.timezone}.",
        ),
    }


def _group(path: tuple[str, ...], groups: dict[tuple[str, ...], TaskGroup | None], dag: DAG) -> TaskGroup | None:
    if path not in groups:
        parent = _group(path[:-1], groups, dag)
        groups[path] = TaskGroup(path[-1], parent_group=parent, dag=dag)
    return groups[path]


def _task(
    node: Node,
    scenario: ScenarioConfig,
    federation: Path,
    queues: dict[str, str],
    *,
    dag: DAG,
    group: TaskGroup | None,
) -> BaseOperator:
    common: dict[str, Any] = {
        "task_id": node.task_id.rsplit(".", 1)[-1],
        "trigger_rule": node.rule,
        "dag": dag,
        "task_group": group,
    }
    if node.stage is None:
        return EmptyOperator(doc_md=_BARRIER_DOC, **common)
    if node.agency is not None:
        common["queue"] = queues[node.agency]
    return FLStageOperator(
        stage=node.stage,
        scenario=scenario.scenario,
        federation=str(federation),
        timezone=scenario.schedule.timezone,
        agency=node.agency,
        round=node.round,
        skips=node.skips,
        doc_md=_STAGE_DOCS[node.stage],
        **common,
    )
