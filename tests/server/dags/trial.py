"""DAGs for the tests of the server itself: one that ends at once, one that starts a child and takes long, some stages.

Stages read a federation that is not there, or one whose file never ends: see test_server.py.
"""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

from airflow.sdk import dag, task
from fl_airflow.installation import installation_home
from fl_airflow.operator import FLStageOperator


@dag(schedule=None, catchup=False, params={"file": ""})
def trial_note():
    @task
    def note(**context):
        Path(context["params"]["file"]).write_text(context["run_id"])

    note()


@dag(schedule=None, catchup=False, params={"file": ""})
def trial_long():
    @task(retries=1, retry_delay=dt.timedelta(seconds=1))
    def sleep(**context):
        # A session of its own, like a stage's process: it is in no process group that Airflow could kill.
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(context["params"]["file"]).write_text(str(child.pid))
        child.wait()

    sleep()


def stage(name, **arguments):
    return FLStageOperator(
        task_id=name,
        stage=name,
        scenario="trial",
        federation=str(installation_home() / "trial"),
        cron="0 4 1 * *",
        timezone="UTC",
        **arguments,
    )


@dag(schedule=None, catchup=False)
def trial_stages():
    stage("cohort")
    stage("list")


@dag(schedule=None, catchup=False)
def trial_timeout():
    stage("close", execution_timeout=dt.timedelta(seconds=5))


trial_note()
trial_long()
trial_stages()
trial_timeout()
