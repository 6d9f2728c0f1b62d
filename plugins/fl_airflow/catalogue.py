"""The list of DAGs in docs/dags.md, made from the DAG files: `python -m fl_airflow.catalogue` writes it.

With --check nothing is written, and the exit code is 1 if the file is not what it would be.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fl_airflow.installation import DAGS_FOLDER, REPOSITORY

if TYPE_CHECKING:
    from airflow.sdk import DAG

CATALOGUE = REPOSITORY / "docs" / "dags.md"
_HEAD = """# The DAGs

Made from the DAG files by `python -m fl_airflow.catalogue`; with `--check` it says whether this page is stale.
A row of a first table is one scenario of `dags/federation/scenarios/`.
"""


def catalogue(dags_folder: Path = DAGS_FOLDER) -> str:
    """Return the catalogue of a DAG folder, as Markdown.

    Raises:
        RuntimeError: If a DAG file does not import.
    """
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - after its environment is set

    bag = DagBag(str(dags_folder))
    if bag.import_errors:
        raise RuntimeError(f"the DAG files do not import: {bag.import_errors}")
    files: dict[str, list[DAG]] = {}
    for _, dag in sorted(bag.dags.items()):
        files.setdefault(Path(dag.fileloc).name, []).append(dag)
    return "\n".join([_HEAD, *(_section(name, dags) for name, dags in sorted(files.items()))])


def _section(file: str, dags: list[DAG]) -> str:
    title, _, text = (dags[0].doc_md or "").strip().removeprefix("# ").partition("\n")
    rows = [
        f"| `{dag.dag_id}` | {_schedule(dag)} | {dag.max_active_runs} | {_list(_owners(dag))} | {len(dag.tasks)} | "
        f"{_list(sorted({task.queue for task in dag.tasks}))} | {_list(_updates(dag))} |"
        for dag in dags
    ]
    table = [
        "| DAG | starts | runs at a time | owner | tasks | queues | updates |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    params = ["| parameter | default | |", "|---|---|---|", *_params(dags[0])]
    return "\n".join([f"## {title}", "", f"`dags/{file}`", "", text.strip(), "", *table, "", *params, ""])


def _schedule(dag: DAG) -> str:
    from airflow.sdk import Asset, CronDataIntervalTimetable  # noqa: PLC0415 - as above

    if dag.schedule is None:
        return "by hand"
    if isinstance(dag.schedule, CronDataIntervalTimetable):
        start = "" if dag.start_date is None else f" from {dag.start_date:%Y-%m-%d}"
        return f"`{dag.schedule.expression}` {dag.timezone}{start}{', catching up' if dag.catchup else ''}"
    if isinstance(dag.schedule, Sequence):
        return f"on {_list(asset.name for asset in dag.schedule if isinstance(asset, Asset))}"
    raise TypeError(f"{dag.dag_id}: the catalogue cannot say when a {type(dag.schedule).__name__} starts")


def _owners(dag: DAG) -> list[str]:
    return sorted({str(task.owner) for task in dag.tasks})


def _updates(dag: DAG) -> list[str]:
    return [asset.name for task in dag.tasks for asset in task.outlets]


def _params(dag: DAG) -> list[str]:
    """Return a row for each parameter; its limits differ between scenarios, and are in the UI's form."""
    params = {name: dag.params.get_param(name) for name in sorted(dag.params)}
    return [
        f"| `{name}` | {'' if param.value is None else f'`{param.value}`'} | {param.description or ''} |"
        for name, param in params.items()
    ]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def main(argv: list[str] | None = None) -> int:
    """Write the catalogue, or check it; 1 if it is stale."""
    parser = argparse.ArgumentParser(prog="python -m fl_airflow.catalogue")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the file is stale")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        # An Airflow of its own: reading DAG files needs no database, but Airflow makes itself a folder.
        from fl_airflow.settings import environment  # noqa: PLC0415

        os.environ.update({name: value for name, value in environment(Path(home)).items() if "AIRFLOW" in name})
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        text = catalogue()
    if not options.check:
        CATALOGUE.write_text(text, encoding="utf-8")
        return 0
    if CATALOGUE.is_file() and CATALOGUE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/dags.md is stale: run python -m fl_airflow.catalogue\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
