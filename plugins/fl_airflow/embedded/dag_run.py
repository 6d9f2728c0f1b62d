"""Run one DAG to its end in this process: `python -m fl_airflow.embedded.dag_run`.

It is what `airflow dags test` does, with the run's id known beforehand, so that whoever starts it can point
the lineage and the memory samples at the run's own folder.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fl_airflow.stage_process import AHEAD
from fl_tasks.daemon.parent import die_with_parent

if TYPE_CHECKING:
    from airflow.sdk import DAG


def airflow_run_id(run_after: dt.datetime) -> str:
    """Return the id that Airflow gives to a manual run."""
    return f"manual__{run_after.isoformat()}"


def main(argv: list[str] | None = None) -> int:
    """Run the DAG; 0 if the run is green, 1 if it is red or there is no such DAG."""
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.embedded.dag_run")
    parser.add_argument("dag_file", type=Path)
    parser.add_argument("dag_id")
    parser.add_argument("--logical-date", type=dt.datetime.fromisoformat, required=True)
    parser.add_argument("--run-after", type=dt.datetime.fromisoformat, required=True)
    parser.add_argument("--conf", type=json.loads, default={})
    options = parser.parse_args(argv)

    # The daemon ends with whoever started this: nothing would run any more.
    die_with_parent()
    os.environ[AHEAD] = "1"

    from airflow import settings  # noqa: PLC0415 - takes seconds, and is needed by this process alone
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415
    from airflow.sdk.definitions._internal.dag_parsing_context import (  # noqa: PLC0415
        _airflow_parsing_context_manager,
    )
    from sqlalchemy import Engine, event  # noqa: PLC0415

    event.listen(Engine, "connect", _commit_without_waiting)
    settings.configure_orm()  # type: ignore[no-untyped-call]
    # `test` parses the whole folder once more: so each file makes this DAG only, as for the process of a task.
    with _airflow_parsing_context_manager(dag_id=options.dag_id):
        bag = DagBag(str(options.dag_file))
        for file, trouble in bag.import_errors.items():
            sys.stderr.write(f"{file}: {trouble}\n")
        dag = bag.dags.get(options.dag_id)
        if dag is None:
            sys.stderr.write(f"error: there is no DAG {options.dag_id} in {options.dag_file}\n")
            return 1
        run = dag.test(
            logical_date=options.logical_date,
            run_after=options.run_after,
            run_conf=options.conf,
            # As a scheduler does: a barrier has no work, and is over once it may begin.
            mark_success_pattern=re.compile("|".join(re.escape(task_id) for task_id in _barriers(dag)) or "(?!)"),
        )
    return 0 if run.state == "success" else 1


def _barriers(dag: DAG) -> list[str]:
    """Return the tasks without work."""
    from airflow.providers.standard.operators.empty import EmptyOperator  # noqa: PLC0415

    return [task.task_id for task in dag.tasks if isinstance(task, EmptyOperator)]


def _commit_without_waiting(connection: sqlite3.Connection, record: object) -> None:
    """Leave it to the system when a commit reaches the disk.

    A run commits several times a task. What a power cut could take is Airflow's record of a run that the cut ended
    anyway; journals and models are not kept there, and are waited for.
    """
    connection.execute("PRAGMA synchronous = OFF")


if __name__ == "__main__":
    sys.exit(main())
