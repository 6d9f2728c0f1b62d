"""A person's word on a promotion, and a run that is late: asked and told by a real scheduler and API server."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fl_airflow.installation import federated_run_id, retraining_dag_id
from fl_airflow.server.errors import ApiError

from tests.airflow_side import sinks
from tests.server.airflow_server import OVER, AirflowServer, reachable_folder

DAGS = Path(__file__).parent / "approval_dags"
ENDED_HELD = {"gate": "success", "approve": "success", "promote": "skipped", "report": "success", "verdict": "success"}
ENDED_PROMOTED = ENDED_HELD | {"promote": "success"}

# The server starts in the first test's time.
pytestmark = pytest.mark.timeout(600)


class Asking:
    """A server on which each scenario's run has been started."""

    def __init__(self, server: AirflowServer, hook) -> None:
        self.server = server
        self.hook = hook
        names = ("asked", "refused", "unanswered", "of_others", "held")
        self.runs = {name: self.first(retraining_dag_id(name)) for name in names}

    def first(self, dag_id: str) -> str:
        """The run of the last interval that is over, which the scheduler starts by itself."""
        self.server.unpause(dag_id)
        end = time.monotonic() + 90
        while not (runs := self.server.runs(dag_id)):
            assert time.monotonic() < end, self.server.logs()
            time.sleep(0.5)
        return str(runs[0]["dag_run_id"])

    def place(self, name: str) -> str:
        return f"/dags/{retraining_dag_id(name)}/dagRuns/{self.runs[name]}/taskInstances/approve/-1/hitlDetails"

    def question(self, name: str) -> dict:
        """What is asked, once it is."""
        end = time.monotonic() + 180
        while self.states(name)["approve"] != "awaiting_input":
            assert time.monotonic() < end, f"nobody is asked: {self.states(name)}\n{self.server.logs()}"
            time.sleep(0.5)
        return self.server.api.call("GET", self.place(name))

    def answer(self, name: str, word: str) -> None:
        self.server.api.call("PATCH", self.place(name), {"chosen_options": [word]})

    def states(self, name: str) -> dict[str, str]:
        found = self.server.task_instances(retraining_dag_id(name), self.runs[name])
        return {task: instance["state"] for task, instance in found.items()}

    def ended(self, name: str, word: str | None = None) -> dict[str, str]:
        """How it ended, given an answer as often as it is asked: Airflow asks again when one comes too quickly."""
        end = time.monotonic() + 180
        while (state := self.server.wait(retraining_dag_id(name), self.runs[name], 1)) not in OVER:
            assert time.monotonic() < end, f"{self.states(name)}\n{self.server.logs()}"
            if word is not None and self.states(name)["approve"] == "awaiting_input":
                with suppress(ApiError):  # it has just been answered
                    self.answer(name, word)
        assert state == "success"
        return self.states(name)

    def told(self, name: str, stage: str) -> dict | None:
        """What a stage was told of the answer."""
        run = federated_run_id(name, self.runs[name])
        path = self.server.home / "coordinator" / "runs" / run / "specs" / f"{stage}.json"
        return json.loads(path.read_text())["approval"]


@pytest.fixture(scope="module")
def asking(postgres_programs):
    with reachable_folder() as folder, sinks.webhook() as hook:
        server = AirflowServer(folder / "home", DAGS)
        try:
            server.start()
            host = f"http://127.0.0.1:{hook.server_address[1]}/hooks/fl"
            webhook = {"connection_id": "fl_webhook", "conn_type": "http", "host": host}
            server.api.call("POST", "/connections", webhook)  # as an operator does; the environment's are not ours
            yield Asking(server, hook)
        finally:
            server.stop()


def test_the_model_is_promoted_once_an_approver_agrees(asking):
    asked = asking.question("asked")
    assert asked["options"] == ["Approve", "Reject"]
    assert "better at 4 of 4" in asked["body"]
    assert "ab" * 32 in asked["body"]
    assert asking.states("asked")["promote"] is None
    assert asking.ended("asked", "Approve") == ENDED_PROMOTED
    for stage in ("promote", "report"):
        told = asking.told("asked", stage)
        assert (told["answer"], told["by"]) == ("approved", "admin")


def test_a_rejection_holds_the_model_and_the_report_is_told_who_said_no(asking):
    assert asking.ended("refused", "Reject") == ENDED_HELD
    told = asking.told("refused", "report")
    assert (told["answer"], told["by"]) == ("rejected", "admin")


def test_a_question_that_nobody_answers_in_time_holds_the_model(asking):
    assert asking.ended("unanswered") == ENDED_HELD
    told = asking.told("unanswered", "report")
    assert (told["answer"], told["by"]) == ("overdue", None)


def test_nobody_is_asked_about_a_model_that_the_gate_holds(asking):
    assert asking.ended("held") == ENDED_HELD | {"approve": "skipped"}
    assert asking.told("held", "report") is None


def test_who_is_no_approver_cannot_agree_be_it_the_admin(asking):
    asking.question("of_others")
    with pytest.raises(ApiError) as refused:
        asking.answer("of_others", "Approve")
    assert refused.value.status == 403
    assert asking.states("of_others")["promote"] is None


def test_a_run_that_is_late_is_told_of_once_and_runs_on(asking):
    end = time.monotonic() + 180
    while not asking.hook.received:
        assert time.monotonic() < end, asking.server.logs()
        time.sleep(0.5)
    ((path, notice),) = asking.hook.received
    assert path == "/hooks/fl"
    assert notice["run_id"] == federated_run_id("of_others", asking.runs["of_others"])
    assert "0.001 hours" in notice["reason"]
    assert asking.states("of_others")["approve"] == "awaiting_input"
