"""The notice of a red run: what stands in it, and that nothing which goes wrong with it matters to the run."""

import logging
from types import SimpleNamespace

import pytest
from fl_airflow.installation import REPOSITORY
from fl_airflow.notifier import _RUNBOOKS, RedRunNotifier

from fl_tasks.contracts.config import NotifyConfig
from tests.airflow_side import sinks

BOTH = NotifyConfig(webhook_connection="fl_webhook", email_connection="fl_mail", email_to=("a@example.org",))
CONTEXT = {
    "dag": SimpleNamespace(dag_id="federated_retraining__traffic"),
    "run_id": "manual__2018-07-01",
    "reason": "task_failure",
    "ti": SimpleNamespace(task_id="round_02.train.east"),
    "params": {"canary": "canary-value"},
    "exception": ValueError("canary-value"),
}
RUN_ID = "traffic__manual__2018-07-01"


def notifier(notify: NotifyConfig) -> RedRunNotifier:
    return RedRunNotifier("traffic", "retraining", frozenset({"east", "west"}), notify)


@pytest.fixture
def servers(monkeypatch, tmp_path):
    monkeypatch.setenv("HUILIU_HOME", str(tmp_path))
    with sinks.webhook() as hook, sinks.mailbox() as mail:
        for name, value in sinks.connections(hook, mail).items():
            monkeypatch.setenv(name, value)
        yield hook, mail


def test_a_notice_says_which_run_task_and_agency_and_where_the_runbook_is(servers, caplog):
    hook, mail = servers
    notifier(BOTH)(CONTEXT)
    expected = {
        "dag": "federated_retraining__traffic",
        "run_id": RUN_ID,
        "scenario": "traffic",
        "task": "round_02.train.east",
        "agency": "east",
        "reason": "task_failure",
        "runbook": "docs/runbooks/retraining.md",
    }
    assert hook.received == [("/hooks/fl", expected)]
    (message,) = mail.received
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    for text in (sinks.text_of(message), line):
        assert all(value in text for value in expected.values())
        assert "canary" not in text
    assert message["From"] == "huiliu@example.org"


def test_the_reason_is_the_reports_if_the_run_left_one(servers, tmp_path):
    hook, _ = servers
    folder = tmp_path / "runs" / RUN_ID
    folder.mkdir(parents=True)
    (folder / "report.json").write_text('{"status": "failed", "reason": "2 agencies passed, 3 are needed"}')
    notifier(BOTH)(CONTEXT)
    (folder / "report.json").write_text('{"status": "held", "reason": "not better"}')
    notifier(BOTH)(CONTEXT)
    assert [notice["reason"] for _, notice in hook.received] == ["2 agencies passed, 3 are needed", "task_failure"]


def test_a_run_that_got_stuck_without_a_failed_task_is_told_too(servers):
    hook, _ = servers
    notifier(BOTH)({name: CONTEXT[name] for name in ("dag", "run_id", "reason")})
    assert [(notice["task"], notice["agency"]) for _, notice in hook.received] == [(None, None)]


def test_only_the_log_hears_of_it_where_nobody_else_is_named(servers, caplog):
    hook, mail = servers
    notifier(NotifyConfig())(CONTEXT)
    assert hook.received == mail.received == []
    assert RUN_ID in caplog.text


def test_a_channel_that_fails_is_logged_without_its_address_and_stops_nothing(servers, caplog, monkeypatch):
    _, mail = servers
    secret = "http://127.0.0.1:9/hooks/canary-token"
    monkeypatch.setenv("AIRFLOW_CONN_FL_WEBHOOK", f'{{"conn_type": "http", "host": "{secret}"}}')
    notifier(BOTH)(CONTEXT)
    assert len(mail.received) == 1
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("fl_airflow")]
    assert any("no notice by webhook" in line and "fl_webhook" in line for line in lines)
    assert not any("canary" in line for line in lines)
    monkeypatch.delenv("AIRFLOW_CONN_FL_MAIL")
    notifier(BOTH)(CONTEXT)
    assert "no notice by e-mail" in caplog.text


@pytest.mark.parametrize("runbook", sorted(_RUNBOOKS.values()))
def test_every_runbook_that_a_notice_points_at_is_there(runbook):
    assert (REPOSITORY / runbook).is_file()
