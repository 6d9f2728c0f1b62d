"""Run a small retraining DAG in this process once a case, with the stand-in as stages; one JSON line a case.

Usage: run_cases.py DAGS_FOLDER CASES_JSON, with cases {"name": {"conf": {...}, "stand_in": {...}}}.
"""

import datetime as dt
import json
import os
import sys
from pathlib import Path

from airflow import settings
from airflow.dag_processing.dagbag import DagBag
from airflow.models.xcom import XComModel
from fl_airflow.installation import federated_run_id, installation_home, retraining_dag_id
from fl_airflow.operator import FLStageOperator
from sqlalchemy import select

SCENARIO = "traffic_districts"


def main() -> int:
    """Run all cases."""
    settings.configure_orm()
    FLStageOperator.command = (sys.executable, "-S", "-P", str(Path(__file__).with_name("stage_stand_in.py")))
    for index, (name, case) in enumerate(json.loads(sys.argv[2]).items()):
        # Parsed anew each time: a run's parameters are written into the DAG object, which a process runs once.
        dag = DagBag(sys.argv[1]).dags[retraining_dag_id(SCENARIO)]
        os.environ["STAND_IN"] = json.dumps(case.get("stand_in", {}))
        run = dag.test(
            logical_date=dt.datetime(2012, 4, 1, 8, index, tzinfo=dt.UTC),
            run_after=dt.datetime.now(dt.UTC),
            run_conf=case.get("conf", {}),
        )
        home = installation_home()
        run_id = federated_run_id(SCENARIO, run.run_id)
        specs = home.glob(f"*/**/runs/{run_id}/specs/*.json")
        query = select(XComModel.task_id, XComModel.key, XComModel.value).where(XComModel.run_id == run.run_id)
        found = {
            "state": str(run.state),
            "run_id": run_id,
            "states": {ti.task_id: str(ti.state) for ti in run.get_task_instances()},
            "tries": {ti.task_id: ti.try_number for ti in run.get_task_instances()},
            "specs": [json.loads(path.read_text()) for path in specs],
            "xcom": [list(row) for row in settings.Session().execute(query)],
        }
        print(f"CASE {json.dumps({'name': name} | found, default=str)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
