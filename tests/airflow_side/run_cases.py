"""Run small DAGs of one scenario in this process once a case, with the stand-in as stages; one JSON line a case.

Usage: CASES_SCENARIO=... run_cases.py DAGS_FOLDER CASES_JSON, with cases {"name": {"dag": "retraining", "conf": {...},
"stand_in": {...}, "after": "name", "over": true}}; `after` is the case whose asset events start this run, as the
scheduler would have it; `over` ends the retrainings that wait for a scheduler first.
"""

import datetime as dt
import json
import os
import sys
from pathlib import Path

from airflow import settings
from airflow.dag_processing.dagbag import DagBag
from airflow.models import dagrun
from airflow.models.asset import AssetEvent
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.xcom import XComModel
from fl_airflow import installation
from fl_airflow.operator import FLStageOperator
from sqlalchemy import select

SCENARIO = os.environ.get("CASES_SCENARIO", "traffic_districts")
DAG_IDS = {
    "retraining": installation.retraining_dag_id(SCENARIO),
    "forecast": installation.forecast_dag_id(SCENARIO),
    "rollback": installation.rollback_dag_id(SCENARIO),
    "watch": installation.watch_dag_id(SCENARIO),
}
create_run = dagrun.get_or_create_dagrun
started_by: list[AssetEvent] = []


def create_started_run(*, session, **kwargs):
    """Make a run as dag.test does, with the asset events that started it."""
    run = create_run(session=session, **kwargs)
    run.consumed_asset_events.extend(session.merge(event) for event in started_by)
    session.commit()
    return run


def main() -> int:
    """Run all cases."""
    settings.configure_orm()
    dagrun.get_or_create_dagrun = create_started_run
    FLStageOperator.command = (sys.executable, "-S", "-P", str(Path(__file__).with_name("stage_stand_in.py")))
    run_ids: dict[str, str] = {}
    for index, (name, case) in enumerate(json.loads(sys.argv[2]).items()):
        # Parsed anew each time: a run's parameters are written into the DAG object, which a process runs once.
        kind = case.get("dag", "retraining")
        dag = DagBag(sys.argv[1]).dags[DAG_IDS[kind]]
        os.environ["STAND_IN"] = json.dumps(case.get("stand_in", {}))
        started_by[:] = events(run_ids[case["after"]]) if "after" in case else []
        if case.get("over"):
            end_waiting()
        run = dag.test(
            logical_date=dt.datetime(2012, 4, 1, 8, index, tzinfo=dt.UTC),
            run_after=dt.datetime.now(dt.UTC),
            run_conf=case.get("conf", {}),
        )
        run_ids[name] = run.run_id
        run_id = installation.federated_run_id(SCENARIO, run.run_id, kind)
        specs = installation.installation_home().glob(f"*/**/runs/*{run_id}/specs/*.json")
        query = select(XComModel.task_id, XComModel.key, XComModel.value).where(XComModel.run_id == run.run_id)
        history = select(TaskInstanceHistory).where(TaskInstanceHistory.run_id == run.run_id)
        found = {
            "state": str(run.state),
            "run_id": run_id,
            "airflow_run_id": run.run_id,
            "states": {ti.task_id: str(ti.state) for ti in run.get_task_instances()},
            "tries": {ti.task_id: ti.try_number for ti in run.get_task_instances()},
            "delays": {ti.task_id: ti.retry_delay_override for ti in settings.Session().scalars(history)},
            "specs": [json.loads(path.read_text()) for path in specs],
            "xcom": [list(row) for row in settings.Session().execute(query)],
            "waiting": [[waits.run_id, waits.conf] for waits in waiting(settings.Session())],
            "events": [[e.asset.name, e.asset.uri, e.source_task_id, e.extra] for e in events(run.run_id)],
        }
        print(f"CASE {json.dumps({'name': name} | found, default=str)}", flush=True)
    return 0


def events(airflow_run_id: str) -> list[AssetEvent]:
    """Return the asset events of a run."""
    query = select(AssetEvent).where(AssetEvent.source_run_id == airflow_run_id)
    return list(settings.Session().scalars(query))


def waiting(session) -> list[dagrun.DagRun]:
    """Return the scenario's retrainings that no scheduler has taken up."""
    query = select(dagrun.DagRun).where(dagrun.DagRun.dag_id == DAG_IDS["retraining"], dagrun.DagRun.state == "queued")
    return list(session.scalars(query))


def end_waiting() -> None:
    """Let them be over."""
    session = settings.Session()
    for run in waiting(session):
        run.state = "success"
    session.commit()


if __name__ == "__main__":
    sys.exit(main())
