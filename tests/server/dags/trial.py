"""DAGs for the tests of the server itself: one that ends at once, one that starts a child and takes long."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

from airflow.sdk import dag, task


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


trial_note()
trial_long()
