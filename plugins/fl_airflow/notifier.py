"""Who hears of a red or late run: one notice, in the log always, to a webhook and by e-mail where the scenario says so.

It is the DAG's callback, not the tasks': a task that fails at one agency leaves the run green. A notice holds names
and reasons, never data. A channel that fails is logged, and neither stops the next one nor changes the run.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from asgiref.sync import sync_to_async

from fl_airflow.installation import DagKind, federated_run_id, installation_home
from fl_tasks.contracts.config import NotifyConfig, ScenarioConfig
from fl_tasks.contracts.paths import Home

log = logging.getLogger(__name__)

_WEBHOOK_SECONDS = 10
_RUNBOOKS: dict[DagKind, str] = {
    "retraining": "docs/runbooks/retraining.md",
    "forecast": "docs/runbooks/forecast.md",
    "rollback": "docs/runbooks/model_rollback.md",
    "watch": "docs/runbooks/drift-watch.md",
}

Notice = dict[str, str | None]


@dataclass(frozen=True)
class RedRunNotifier:
    """A DAG's on_failure_callback.

    Attributes:
        scenario: Whose run.
        kind: Of which DAG.
        agencies: All members; a task's agency is told by its name.
        notify: The channels beside the log.
    """

    scenario: str
    kind: DagKind
    agencies: frozenset[str] = field(repr=False)
    notify: NotifyConfig = field(repr=False)

    def __call__(self, context: Mapping[str, Any]) -> None:
        """Tell of the run that a callback's context is about."""
        _tell("red run", self._notice(context), self.notify)

    def _notice(self, context: Mapping[str, Any]) -> Notice:
        run_id = federated_run_id(self.scenario, context["run_id"], self.kind)
        ti = context.get("ti")  # the last that failed; a run that got stuck may have none
        task_id = None if ti is None else str(ti.task_id)
        return {
            "dag": str(context["dag"].dag_id),
            "run_id": run_id,
            "scenario": self.scenario,
            "task": task_id,
            "agency": next((word for word in (task_id or "").split(".") if word in self.agencies), None),
            "reason": _reported_reason(run_id) or str(context.get("reason") or "unknown"),
            "runbook": _RUNBOOKS[self.kind],
        }


def _reported_reason(run_id: str) -> str | None:
    """Return why a run failed, as its report says; nothing if it has no such report here."""
    try:
        report = json.loads((Home(installation_home()).report(run_id) / "report.json").read_bytes())
    except (OSError, ValueError):
        return None
    return str(report["reason"]) if report.get("status") == "failed" and report.get("reason") else None


def late_run_alert(scenario: ScenarioConfig, kind: DagKind) -> DeadlineAlert | None:
    """Return a DAG's deadline: only a retraining has one, where its scenario says so."""
    if kind != "retraining" or scenario.notify.deadline_hours is None:
        return None
    told = {"scenario": scenario.scenario, "notify": scenario.notify.model_dump(mode="json")}
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=dt.timedelta(hours=scenario.notify.deadline_hours),
        # Of the two kinds of callback only this one, which runs in the triggerer, may read a connection.
        callback=AsyncCallback(tell_of_late_run, kwargs=told),
    )


async def tell_of_late_run(context: Mapping[str, Any], scenario: str, notify: Mapping[str, Any]) -> None:
    """Tell of a retraining that is not over in time; Airflow calls it, in the triggerer, with what it stored.

    Args:
        context: Holds what the API says of the run.
        scenario: Whose run.
        notify: The channels, a NotifyConfig as JSON.
    """
    channels = NotifyConfig.model_validate_json(json.dumps(notify))
    run = context["dag_run"]
    notice: Notice = {
        "dag": str(run["dag_id"]),
        "run_id": federated_run_id(scenario, run["dag_run_id"]),
        "scenario": scenario,
        "task": None,
        "agency": None,
        "reason": f"not over {channels.deadline_hours:g} hours after it was queued; it runs on",
        "runbook": _RUNBOOKS["retraining"],
    }
    await sync_to_async(_tell)("late run", notice, channels)


def _tell(what: str, notice: Notice, notify: NotifyConfig) -> None:
    log.error("%s: %s", what, " ".join(f"{name}={value!r}" for name, value in notice.items() if value))
    if notify.webhook_connection is not None:
        _try(what, "webhook", notify.webhook_connection, lambda name: _post(name, notice))
    if notify.email_connection is not None:
        _try(what, "e-mail", notify.email_connection, lambda name: _mail(name, notify.email_to, what, notice))


def _try(what: str, channel: str, connection: str, send: Callable[[str], None]) -> None:
    try:
        send(connection)
    except Exception as error:  # whatever a channel does, the run's end stands
        # Without the error's text: an address may hold a secret.
        kind = type(error).__name__
        log.error("%s: no notice by %s: %s; check the Airflow connection %s", what, channel, kind, connection)
    else:
        log.info("%s: notice sent by %s, connection %s", what, channel, connection)


def _post(connection: str, notice: Notice) -> None:
    from airflow.providers.http.hooks.http import HttpHook  # noqa: PLC0415 - not at parse time

    HttpHook(method="POST", http_conn_id=connection).run(json=notice, extra_options={"timeout": _WEBHOOK_SECONDS})


def _mail(connection: str, to: tuple[str, ...], what: str, notice: Notice) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook  # noqa: PLC0415 - not at parse time

    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in notice.items() if value)
    with SmtpHook(smtp_conn_id=connection) as hook:
        hook.send_email_smtp(
            to=list(to), subject=f"Huiliu: {what} {notice['run_id']}", html_content=f"<table>{rows}</table>"
        )
