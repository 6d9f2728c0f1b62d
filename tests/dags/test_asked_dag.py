"""A retraining whose scenario asks a person, and one that has a deadline: what is in the DAG, and only then."""

from __future__ import annotations

import datetime as dt

import pytest
from airflow.sdk.definitions.deadline import DeadlineReference
from airflow.serialization.serialized_objects import DagSerialization
from fl_airflow.approval import PromotionApproval
from fl_airflow.dag_builder import build_forecast_dag, build_retraining_dag
from fl_airflow.graph import APPROVE, retraining_graph
from fl_airflow.installation import FEDERATION
from pydantic import ValidationError

from fl_tasks.contracts.approval import PromotionConfig
from fl_tasks.contracts.config import NotifyConfig, load_federation

CONFIG = load_federation(FEDERATION)
SCENARIO = CONFIG.scenarios["traffic_districts"]
MEMBERS = CONFIG.members("traffic_districts")
ASKS = PromotionConfig(approval=True, approvers=("ana", "ben"), deadline_hours=72.0)
LATE = NotifyConfig(webhook_connection="hook", deadline_hours=36.0)


def dag_of(**changes):
    return build_retraining_dag(SCENARIO.model_copy(update=changes), MEMBERS, federation=FEDERATION)


def test_the_approval_stands_between_gate_and_promotion_and_nowhere_else():
    asked = {node.task_id: node for node in retraining_graph(("east", "west"), 2, asked=True)}
    plain = {node.task_id: node for node in retraining_graph(("east", "west"), 2)}
    assert set(asked) - set(plain) == {APPROVE}
    assert asked[APPROVE].upstream == ("gate",)
    assert asked["promote"].upstream == (APPROVE,)
    assert (asked["promote"].rule, asked[APPROVE].rule) == ("all_success", "all_success")
    assert asked["gate"].skips == (APPROVE,)
    changed = {task for task, node in plain.items() if asked[task] != node and not node.skips}
    assert changed == {"gate", "promote"}


def test_a_dry_run_or_too_few_agencies_skip_the_approval_too():
    cohort = next(node for node in retraining_graph(("east", "west"), 1, asked=True) if node.task_id == "cohort")
    assert APPROVE in cohort.skips


def test_the_approvers_of_the_yaml_are_asked_and_no_answer_is_a_rejection():
    task = dag_of(promotion=ASKS).get_task(APPROVE)
    assert isinstance(task, PromotionApproval)
    assert [user["id"] for user in task.assigned_users] == ["ana", "ben"]
    assert task.response_timeout == dt.timedelta(hours=72)
    assert task.defaults == [task.REJECT]


def test_only_what_acts_on_the_answer_is_told_it():
    dag = dag_of(promotion=ASKS)
    told = {task.task_id for task in dag.tasks if getattr(task, "approval", None) == APPROVE}
    assert told == {"promote", "report"}


@pytest.mark.parametrize("promotion", [None, ASKS.model_copy(update={"approval": False})])
def test_nobody_is_asked_where_the_scenario_does_not_ask(promotion):
    dag = dag_of(promotion=promotion)
    assert APPROVE not in dag.task_ids
    assert not any(getattr(task, "approval", None) for task in dag.tasks)


def test_an_approval_without_approvers_is_refused():
    with pytest.raises(ValidationError, match="approvers"):
        PromotionConfig(approval=True, approvers=(), deadline_hours=72.0)


def test_a_retraining_has_the_deadline_of_its_yaml_and_keeps_it_when_it_is_stored():
    dag = dag_of(notify=LATE)
    (alert,) = dag.deadline
    assert alert.interval == dt.timedelta(hours=36)
    assert alert.reference == DeadlineReference.DAGRUN_QUEUED_AT
    assert alert.callback.path == "fl_airflow.notifier.tell_of_late_run"
    assert alert.callback.kwargs["notify"]["webhook_connection"] == "hook"
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).deadline


def test_without_one_in_the_yaml_and_in_other_dags_there_is_no_deadline():
    assert not dag_of().deadline
    late = SCENARIO.model_copy(update={"notify": LATE})
    assert not build_forecast_dag(late, MEMBERS, federation=FEDERATION).deadline
