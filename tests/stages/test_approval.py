"""promote and report where a scenario asks a person: agreed, rejected, not answered, not asked."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
import yaml

from fl_tasks.contracts.approval import Approval
from fl_tasks.contracts.report import Report
from fl_tasks.registry.mlflow_store import open_store
from fl_tasks.stages.approval import ApprovalMissing
from tests.registry.trained_run import AGENCIES, SCENARIO, Installation, evaluation

AT = dt.datetime(2012, 2, 3, 12, tzinfo=dt.UTC)
AGREED = Approval(answer="approved", by="Ana", at=AT)
REJECTED = Approval(answer="rejected", by="Ben", at=AT)
OVERDUE = Approval(answer="overdue", at=AT)


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow")
    with open_store(folder, SCENARIO) as store:
        store.repair([], lambda _: b"")
    return folder / "mlflow.db"


@pytest.fixture
def installation(tmp_path, monkeypatch, empty_mlflow) -> Installation:
    """One whose scenario asks, with a run that the gate let pass."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Installation(tmp_path).install()
    path = made.federation / "scenarios" / f"{SCENARIO}.yaml"
    asks = {"approval": True, "approvers": ["ana", "ben"], "deadline_hours": 72}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"promotion": asks}))
    made.home.mlflow.mkdir(parents=True)
    shutil.copy(empty_mlflow, made.home.mlflow)
    made.train(1, 1, {agency: evaluation(0.8, persistence=1.0) for agency in AGENCIES})
    assert made.stage("gate", 1).reason.startswith("promoted")
    return made


def report_of(installation, approval: Approval | None) -> Report:
    installation.stage("report", 1, approval=approval)
    folder = installation.home.report(installation.spec("report", 1).run_id)
    return Report.model_validate_json((folder / "report.json").read_bytes())


def test_what_was_agreed_to_is_promoted_and_the_report_says_by_whom(installation):
    assert "Ana approved it on 2012-02-03" in installation.stage("promote", 1, approval=AGREED).reason
    assert len(installation.chain()) == 1
    report = report_of(installation, AGREED)
    assert report.status == "promoted"
    assert report.reason.endswith("; Ana approved it on 2012-02-03")


@pytest.mark.parametrize(
    ("answer", "why"),
    [(REJECTED, "but Ben rejected it on 2012-02-03"), (OVERDUE, "but nobody approved it until 2012-02-03 12:00 UTC")],
)
def test_what_was_rejected_or_not_answered_in_time_is_held_with_the_reason_in_the_report(installation, answer, why):
    result = installation.stage("promote", 1, approval=answer)
    assert result.status == "skipped"
    assert installation.chain() == []
    report = report_of(installation, answer)
    assert report.status == "held"
    assert report.reason == result.reason
    assert why in report.reason
    assert report.model.version is None


def test_nothing_is_promoted_while_nobody_was_asked(installation):
    with pytest.raises(ApprovalMissing, match="clear its task approve"):
        installation.stage("promote", 1)
    assert installation.chain() == []


def test_a_promotion_that_stands_is_not_asked_about_again(installation):
    installation.stage("promote", 1, approval=AGREED)
    assert installation.stage("promote", 1).version == 1
    assert len(installation.chain()) == 1


def test_a_gate_that_holds_says_that_nobody_needs_to_be_asked(installation):
    assert not installation.stage("gate", 1).finished
    installation.train(2, 2, {agency: evaluation(3.0, persistence=2.0, champion=2.0) for agency in AGENCIES})
    assert installation.stage("gate", 2).finished
