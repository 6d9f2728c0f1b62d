"""The gate between a request and Airflow: what passes, what is answered by the gate itself, what its log says."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import logging
import shutil

import pytest
from fl_airflow.edge import EDGE_EXECUTOR, TASK_API, WORKER_API
from fl_airflow.gate import middleware
from fl_airflow.gate.lookups import Federation, Task
from fl_airflow.gate.middleware import Gate
from fl_airflow.installation import FEDERATION

from fl_tasks.contracts.errors import ConfigError

FORGED = "x\n2026-11-30 WARNING refused: GET 'all': of nobody\x1b[2J"
ID = "0198b0a4-0000-7000-8000-000000000001"
NAMES = ("dag", "run", "prepare.east.ingest")
JOB = "/".join([NAMES[0], NAMES[2], NAMES[1], "1", "-1"])
OF_EAST = Task("east", EDGE_EXECUTOR, NAMES)


def token_of(subject) -> str:
    """A token that names somebody, with a signature that Airflow would check later."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


class Gated:
    """A gate of a federation with one agency, east; whether a request passed it, with which body, or its answer."""

    def __init__(self, folder, monkeypatch, *, task=OF_EAST, job=None):
        monkeypatch.setattr(middleware, "task_of", lambda asked: task if asked == ID else None)
        monkeypatch.setattr(middleware, "job_of", lambda asked: job)
        self._gate = Gate(self._app, folder, folder)
        monkeypatch.setattr(self._gate._federation, "queues", lambda: {"east": "east"})
        monkeypatch.setattr(self._gate, "_caller", lambda token: middleware.Caller("east", "east"))
        self.passed = None

    async def _app(self, scope, receive, send):
        self.passed = (await receive())["body"]

    def ask(self, method, path, body=b"", token=None):
        """Return the status with which the gate itself answered; None if the request passed."""
        self.passed, answers = None, []
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        left = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive():
            return left.pop()  # once, as a server gives it

        async def send(message):
            answers.append(message)

        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        asyncio.run(self._gate({"type": "http", "method": method, "path": path, "headers": headers}, receive, send))
        assert (self.passed is None) == bool(answers)
        assert self.passed in (None, content)
        self.said = b"".join(answer.get("body", b"") for answer in answers)
        return answers[0]["status"] if answers else None


@pytest.mark.parametrize("path", [f"{WORKER_API}{FORGED}", f"{TASK_API}{FORGED}", f"{TASK_API}{FORGED}/.."])
def test_a_request_cannot_write_lines_of_the_log(tmp_path, monkeypatch, caplog, path):
    gated = Gated(tmp_path, monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert gated.ask("GET", path, token=token_of(ID)) == 403
    (record,) = caplog.records
    line = record.getMessage()
    assert "NotYours" in line
    assert line.isprintable(), line


def test_a_task_of_an_agency_says_of_itself_that_it_has_ended_and_nothing_that_the_coordinator_would_do(
    tmp_path, monkeypatch
):
    gated, token = Gated(tmp_path, monkeypatch), token_of(ID)
    state = f"{TASK_API}task-instances/{ID}/state"
    end = dt.datetime.now(dt.UTC).isoformat()
    assert gated.ask("PATCH", state, {"state": "success", "end_date": end}, token) is None
    deferred = {"state": "deferred", "classpath": "subprocess.Popen", "trigger_kwargs": {"args": ["id"]}}
    assert gated.ask("PATCH", state, deferred, token) == 403
    assert gated.ask("PATCH", state, b"{", token) == 403
    assert gated.ask("PATCH", state, b"[" * 100_000, token) == 403
    assert gated.ask("POST", f"{TASK_API}xcoms/{'/'.join(NAMES)}/return_value", b" " * (1 << 20) + b"1", token) == 403


@pytest.mark.parametrize(
    ("task", "restricted"),
    [
        (OF_EAST, True),
        (Task("east", EDGE_EXECUTOR, None), True),
        (Task("default", None, None), False),
        (Task("east", None, NAMES), True),
        (Task("of_an_agency_that_left", EDGE_EXECUTOR, NAMES), True),
        (Task("default", None, NAMES), False),
    ],
)
def test_only_the_coordinators_own_tasks_have_the_rights_that_airflow_gives(tmp_path, monkeypatch, task, restricted):
    gated = Gated(tmp_path, monkeypatch, task=task)
    assert (gated.ask("GET", f"{TASK_API}variables/any", token=token_of(ID)) == 403) == restricted


def test_a_task_of_an_agency_names_no_other_host_than_its_worker(tmp_path, monkeypatch):
    start = {"state": "running", "unixname": "x", "pid": 1, "start_date": dt.datetime.now(dt.UTC).isoformat()}
    run, token = f"{TASK_API}task-instances/{ID}/run", token_of(ID)
    assert Gated(tmp_path, monkeypatch).ask("PATCH", run, {**start, "hostname": "east"}, token) is None
    assert Gated(tmp_path, monkeypatch).ask("PATCH", run, {**start, "hostname": "127.0.0.1:1/"}, token) == 403
    left = Task("of_an_agency_that_left", EDGE_EXECUTOR, NAMES)
    assert Gated(tmp_path, monkeypatch, task=left).ask("PATCH", run, {**start, "hostname": "east"}, token) == 403


def test_a_token_of_a_task_that_is_not_there_any_more_reaches_nothing_but_that_task(tmp_path, monkeypatch):
    former = "0198b0a4-0000-7000-8000-000000000002"
    gated, token = Gated(tmp_path, monkeypatch), token_of(former)
    xcom = f"{TASK_API}xcoms/{'/'.join(NAMES)}/return_value"
    for method, path in [("GET", f"{TASK_API}connections/any"), ("GET", f"{TASK_API}variables/any"), ("GET", xcom)]:
        assert gated.ask(method, path, token=token) == 403
    assert gated.ask("PUT", f"{TASK_API}task-instances/{former}/heartbeat", {}, token) is None


def test_a_test_of_a_connection_is_the_coordinators(tmp_path, monkeypatch):
    tested, other = "0198b0a4-0000-7000-8000-000000000003", "0198b0a4-0000-7000-8000-000000000004"
    gated, token = Gated(tmp_path, monkeypatch), token_of(tested)
    assert gated.ask("GET", f"{TASK_API}connection-tests/{tested}/connection", token=token) is None
    assert gated.ask("GET", f"{TASK_API}connection-tests/{other}/connection", token=token) == 403


def test_files_of_the_server_that_cannot_be_read_are_no_refusal_and_are_not_shown(tmp_path, monkeypatch):
    gated = Gated(tmp_path, monkeypatch)

    def unreadable() -> dict:
        raise ConfigError(f"{tmp_path}/agencies/east.yaml: is no YAML")

    monkeypatch.setattr(gated._gate._federation, "queues", unreadable)
    assert gated.ask("PUT", f"{TASK_API}task-instances/{ID}/heartbeat", {}, token_of(ID)) == 500
    assert b"own files" in gated.said
    assert str(tmp_path).encode() not in gated.said


@pytest.mark.parametrize("subject", ["nobody", 5, None, ["x"], {}])
def test_a_token_that_names_no_task_is_airflows_to_refuse(tmp_path, monkeypatch, subject):
    assert Gated(tmp_path, monkeypatch).ask("GET", f"{TASK_API}variables/any", token=token_of(subject)) is None


@pytest.mark.parametrize("job", [None, ("west", "west"), ("east", "west"), ("west", "east"), ("east", None)])
@pytest.mark.parametrize("call", [f"jobs/state/{JOB}/success", f"logs/push/{JOB}"])
def test_a_job_that_is_not_the_agencys_is_refused(tmp_path, monkeypatch, job, call):
    assert Gated(tmp_path, monkeypatch, job=job).ask("POST", f"{WORKER_API}{call}") == 403


def test_the_agencys_own_job_passes_and_its_log_ends_at_the_gate(tmp_path, monkeypatch, caplog):
    gated = Gated(tmp_path, monkeypatch, job=("east", "east"))
    assert gated.ask("PATCH", f"{WORKER_API}jobs/state/{JOB}/success") is None
    assert gated.ask("GET", f"{WORKER_API}logs/logfile_path/{JOB}") == 403
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert gated.ask("POST", f"{WORKER_API}logs/push/{JOB}", {"log_chunk_data": "a line"}) == 204
    (record,) = caplog.records
    assert "PUSH_LOGS" in record.getMessage()
    assert "a line" not in record.getMessage()


def test_while_an_agencys_file_cannot_be_read_the_queues_stay_as_they_were(tmp_path, caplog):
    copy = tmp_path / "federation"
    shutil.copytree(FEDERATION, copy)
    queues = Federation(copy).queues
    before = queues()
    assert before
    path = next((copy / "agencies").iterdir())
    whole = path.read_text()
    path.write_text("agency: [")
    with caplog.at_level(logging.WARNING):
        assert queues() == before
    assert "stay as they were" in caplog.text
    path.write_text(whole.replace("queue: ", "queue: q_"))
    assert queues() != before
    path.write_text("agency: [")
    with pytest.raises(ConfigError, match="cannot be read"):
        Federation(copy).queues()
