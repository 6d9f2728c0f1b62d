"""The gate's log: a line a refusal, whatever the request was made of."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fl_airflow.edge import TASK_API, WORKER_API
from fl_airflow.gate import middleware
from fl_airflow.gate.middleware import Gate

FORGED = "x\n2026-11-30 WARNING refused: GET 'all': of nobody\x1b[2J"


async def passed(scope, receive, send):
    raise AssertionError("the request passed the gate")


async def nothing():
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize("path", [f"{WORKER_API}{FORGED}", f"{TASK_API}{FORGED}", f"{TASK_API}{FORGED}/.."])
def test_a_request_cannot_write_lines_of_the_log(tmp_path, monkeypatch, caplog, path):
    # A token of some task of an agency, so that the path is looked at.
    monkeypatch.setattr(middleware, "_subject", lambda token: "a task")
    monkeypatch.setattr(middleware, "task_of", lambda task: ("east", ("dag", "run", "task")))
    gate = Gate(passed, tmp_path, tmp_path)
    monkeypatch.setattr(gate._federation, "queues", lambda: {"east": "east"})
    monkeypatch.setattr(gate, "_caller", lambda token: middleware.Caller("east", "east"))
    answers = []

    async def send(message):
        answers.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    with caplog.at_level(logging.WARNING):
        asyncio.run(gate(scope, nothing, send))
    assert answers[0]["status"] == 403
    (record,) = caplog.records
    line = record.getMessage()
    assert "NotYours" in line
    assert line.isprintable(), line
