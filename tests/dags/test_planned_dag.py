"""A retraining whose agencies are sent the plan first: what comes before any data are opened, and only then."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import TaskDeferred
from fl_airflow.dag_builder import build_forecast_dag, build_retraining_dag
from fl_airflow.graph import OFFICERS, retraining_graph
from fl_airflow.installation import FEDERATION
from fl_airflow.officers import AnswersTrigger, OfficersSensor

from fl_tasks.contracts.approval import OfficersConfig
from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.errors import ExchangeUnreachable
from fl_tasks.exchange.folder import FolderExchange

AGENCIES = ("east", "west")
CONFIG = load_federation(FEDERATION)
SCENARIO = CONFIG.scenarios["traffic_districts"].model_copy(update={"officers": OfficersConfig(deadline_hours=72.0)})
MEMBERS = CONFIG.members("traffic_districts")
NEW = {"plan", "receive.east", "receive.west", "all_received", OFFICERS}
RUN_ID = "traffic_districts__manual__1"
STARTED = dt.datetime(2012, 4, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("surveyed", [False, True])
def test_only_the_first_step_of_the_data_changes(surveyed):
    planned = {node.task_id: node for node in retraining_graph(AGENCIES, 2, surveyed=surveyed, planned=True)}
    plain = {node.task_id: node for node in retraining_graph(AGENCIES, 2, surveyed=surveyed)}
    assert set(planned) - set(plain) == NEW
    changed = {task for task, node in plain.items() if planned[task] != node}
    assert changed == {f"prepare.{agency}.ingest" for agency in AGENCIES}
    for agency in AGENCIES:
        node = planned[f"prepare.{agency}.ingest"]
        assert (node.upstream, node.rule) == ((OFFICERS, f"receive.{agency}"), "all_success")


@pytest.mark.parametrize("surveyed", [False, True])
def test_every_task_comes_after_its_upstream(surveyed):
    seen = set()
    for node in retraining_graph(AGENCIES, 2, surveyed=surveyed, planned=True):
        assert set(node.upstream) <= seen, node.task_id
        seen.add(node.task_id)


def test_an_agency_that_received_nothing_keeps_nobody_waiting_and_a_failed_plan_stops_the_run():
    graph = {node.task_id: node for node in retraining_graph(AGENCIES, 1, planned=True)}
    assert (graph["all_received"].rule, graph["all_received"].upstream) == (
        "all_done",
        ("receive.east", "receive.west"),
    )
    assert (graph[OFFICERS].rule, graph[OFFICERS].upstream) == ("all_success", ("all_received", "plan"))


def test_the_sensor_is_in_the_retraining_alone():
    dag = build_retraining_dag(SCENARIO, MEMBERS, federation=FEDERATION)
    sensor = dag.get_task(OFFICERS)
    assert isinstance(sensor, OfficersSensor)
    assert (sensor.deadline_hours, sensor.execution_timeout) == (72.0, None)
    assert all(sensor.receive.format(name) in dag.task_ids for name in sensor.agencies)
    assert OFFICERS not in build_forecast_dag(SCENARIO, MEMBERS, federation=FEDERATION).task_ids
    without = SCENARIO.model_copy(update={"officers": None})
    assert OFFICERS not in build_retraining_dag(without, MEMBERS, federation=FEDERATION).task_ids


class Task:
    """As much of a task instance as the sensor looks at."""

    def __init__(self, states):
        self.states = states

    def get_task_states(self, *, dag_id, run_ids):
        return dict.fromkeys(run_ids, self.states)


@pytest.fixture
def exchange(tmp_path, monkeypatch):
    monkeypatch.setenv("HUILIU_HOME", str(tmp_path))
    return FolderExchange(Home(tmp_path).exchange(RUN_ID))


def look(*states):
    sensor = OfficersSensor(
        task_id=OFFICERS, scenario="traffic_districts", agencies=AGENCIES, receive="receive.{}", deadline_hours=1.0
    )
    told = dict(zip(("receive.east", "receive.west"), states, strict=True))
    return sensor.execute({"run_id": "manual__1", "ti": Task(told), "dag_run": SimpleNamespace(start_date=STARTED)})


def test_whoever_has_answered_or_received_nothing_is_not_waited_for(exchange):
    exchange.put("plan/answer/east", b"x")
    assert look("success", "failed") == {"undecided": []}


def test_an_officer_is_waited_for_by_the_triggerer_until_the_deadline(exchange):
    exchange.put("plan/answer/east", b"x")
    with pytest.raises(TaskDeferred) as deferred:
        look("success", "success")
    trigger = deferred.value.trigger
    assert isinstance(trigger, AnswersTrigger)
    assert dt.datetime.fromisoformat(trigger.until) == STARTED + dt.timedelta(hours=1), "however late it is tried"
    path, arguments = trigger.serialize()
    assert path == "fl_airflow.officers.AnswersTrigger"
    assert AnswersTrigger(**arguments).serialize() == (path, arguments)


def waited(home, seconds):
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()

    async def first():
        async for event in AnswersTrigger(str(home), RUN_ID, AGENCIES, until).run():
            return event.payload

    return asyncio.run(first())


def test_the_triggerer_stops_when_everybody_has_answered(exchange, tmp_path, monkeypatch):
    monkeypatch.setattr("fl_airflow.officers._POLL_SECONDS", 0.05)
    exchange.put("plan/answer/east", b"x")
    later = threading.Timer(0.5, exchange.put, ("plan/answer/west", b"x"))
    later.start()
    assert waited(tmp_path, 24 * 3600) == {"undecided": []}  # longer than a test may take
    later.join()


def test_the_triggerer_names_who_has_not_decided_in_time(exchange, tmp_path):
    exchange.put("plan/answer/west", b"x")
    assert waited(tmp_path, 0.2) == {"undecided": ["east"]}


def test_an_exchange_that_is_away_for_a_while_ends_nothing(exchange, tmp_path, monkeypatch):
    monkeypatch.setattr("fl_airflow.officers._POLL_SECONDS", 0.05)
    for name in ("east", "west"):
        exchange.put(f"plan/answer/{name}", b"x")
    failures = iter([ExchangeUnreachable("the store does not answer"), ExchangeUnreachable("nor now")])
    names = FolderExchange.names

    def away(self, folder=""):
        for failure in failures:
            raise failure
        return names(self, folder)

    monkeypatch.setattr(FolderExchange, "names", away)
    assert waited(tmp_path, 24 * 3600) == {"undecided": []}


def test_an_exchange_that_is_wrong_is_told_at_once(tmp_path, exchange, monkeypatch):
    def wrong(self, folder=""):
        raise ConfigError("connection.yaml: field exchange: ...")

    monkeypatch.setattr(FolderExchange, "names", wrong)
    with pytest.raises(ConfigError):
        waited(tmp_path, 24 * 3600)
