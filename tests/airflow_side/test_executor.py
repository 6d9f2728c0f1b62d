"""The executor of the agencies' tasks, on Airflow's own table of jobs."""

from __future__ import annotations

import datetime as dt
from importlib import import_module

import pytest
from airflow.providers.edge3.models.edge_job import EdgeJobModel
from airflow.providers.edge3.models.edge_worker import EdgeWorkerModel
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from fl_airflow import executor as module
from fl_airflow.edge import AGENCY_EXECUTOR
from fl_airflow.executor import LOOK_SECONDS


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(module, "time", Clock())
    return module.time


@pytest.fixture
def job():
    """A job of an agency in the table; gives what changes its state, and its key."""
    made = EdgeJobModel(
        dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, state=TaskInstanceState.RUNNING, queue="east",
        concurrency_slots=1, command="{}", last_update=dt.datetime.now(dt.UTC),
    )  # fmt: skip
    with create_session() as session:
        EdgeWorkerModel.metadata.create_all(session.get_bind())
        session.merge(made)

    def change(state):
        with create_session() as session:
            session.query(EdgeJobModel).update({"state": state})

    yield change, made.key
    with create_session() as session:
        session.query(EdgeJobModel).delete()


def test_what_became_of_a_job_is_reported_at_the_next_look_and_not_before(clock, job):
    change, key = job
    folder, _, name = AGENCY_EXECUTOR.rpartition(".")
    ours = getattr(import_module(folder), name)()
    ours.running.add(key)

    def reported():
        ours.heartbeat()
        return {found: state for found, (state, _) in ours.get_event_buffer().items()}

    assert reported() == {key: TaskInstanceState.RUNNING}
    change(TaskInstanceState.FAILED)
    clock.now += LOOK_SECONDS - 1
    assert reported() == {}
    clock.now += 1
    assert reported() == {key: TaskInstanceState.FAILED}
    assert key not in ours.running
