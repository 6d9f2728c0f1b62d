"""The end of a retraining, from the gate on, of scenarios that ask a person: see test_approval.py.

What the stages answer is a stand-in's; who is asked, what waits and what is skipped is Airflow's.
"""

from __future__ import annotations

import json
import os
import sys

from airflow.sdk import DAG
from fl_airflow.dag_builder import build_retraining_dag, is_wanted
from fl_airflow.installation import FEDERATION, REPOSITORY, retraining_dag_id
from fl_airflow.operator import FLStageOperator
from fl_airflow.stage_process import OWNER

from fl_tasks.contracts.approval import PromotionConfig
from fl_tasks.contracts.config import NotifyConfig, load_federation

MODEL = {"model": "ab" * 32}
PASSED = {"gate": {"reason": "better at 4 of 4", "digests": MODEL}, "promote": {"version": 3, "digests": MODEL}}
HELD = {"gate": {"reason": "held", "digests": MODEL, "finished": True}}
# Who may answer, for how long, what the stages say.
SCENARIOS = {
    "asked": ("admin", 72.0, PASSED),
    "refused": ("admin", 72.0, PASSED),
    "unanswered": ("admin", 0.005, PASSED),
    "of_others": ("somebody_else", 72.0, PASSED),
    "held": ("admin", 72.0, HELD),
}
END = ("gate", "approve", "promote", "report", "verdict")
LATE = NotifyConfig(webhook_connection="fl_webhook", deadline_hours=0.001)

FLStageOperator.command = (
    *(sys.executable, "-S", "-P"),
    str(REPOSITORY / "tests" / "airflow_side" / "stage_stand_in.py"),
)
os.environ.pop(OWNER, None)  # the stand-in is no daemon

federation = load_federation(FEDERATION)
scenario = federation.scenarios["traffic_districts"]


def end_of(name: str, approver: str, hours: float) -> DAG:
    """Return the last tasks of a retraining."""
    asked = PromotionConfig(approval=True, approvers=(approver,), deadline_hours=hours)
    notify = LATE if name == "of_others" else NotifyConfig()
    changed = scenario.model_copy(update={"scenario": name, "promotion": asked, "notify": notify})
    members = federation.members("traffic_districts")[:1]
    return build_retraining_dag(changed, members, federation=FEDERATION).partial_subset(END, include_upstream=False)


for name, (approver, hours, answers) in SCENARIOS.items():
    if is_wanted(retraining_dag_id(name)):
        os.environ["STAND_IN"] = json.dumps(answers)  # in a task's process only its own DAG is wanted
        globals()[name] = end_of(name, approver, hours)
