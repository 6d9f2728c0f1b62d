"""Run one DAG to its end in this process: `python -m fl_airflow.embedded.dag_run`.

It is what `airflow dags test` does, with the run's id known beforehand, so that whoever starts it can point
the lineage and the memory samples at the run's own folder.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
from pathlib import Path

from fl_airflow.stage_process import AHEAD, OWNER


def airflow_run_id(run_after: dt.datetime) -> str:
    """Return the id that Airflow gives to a manual run."""
    return f"manual__{run_after.isoformat()}"


def main(argv: list[str] | None = None) -> int:
    """Run the DAG; 0 if the run is green, 1 if it is red or there is no such DAG."""
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.embedded.dag_run")
    parser.add_argument("dags_folder", type=Path)
    parser.add_argument("dag_id")
    parser.add_argument("--logical-date", type=dt.datetime.fromisoformat, required=True)
    parser.add_argument("--run-after", type=dt.datetime.fromisoformat, required=True)
    parser.add_argument("--conf", type=json.loads, default={})
    options = parser.parse_args(argv)

    # Tasks run here one after another: a daemon that ends with this process works for all of a moment's siblings.
    os.environ |= {OWNER: str(os.getpid()), AHEAD: "1"}

    from airflow import settings  # noqa: PLC0415 - takes seconds, and is needed by this process alone
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415

    settings.configure_orm()  # type: ignore[no-untyped-call]
    bag = DagBag(str(options.dags_folder))
    for file, trouble in bag.import_errors.items():
        sys.stderr.write(f"{file}: {trouble}\n")
    dag = bag.dags.get(options.dag_id)
    if dag is None:
        sys.stderr.write(f"error: there is no DAG {options.dag_id} in {options.dags_folder}\n")
        return 1
    run = dag.test(logical_date=options.logical_date, run_after=options.run_after, run_conf=options.conf)
    return 0 if run.state == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
