"""The executor of a coordinator's own tasks, where the agencies' tasks run on machines of their own."""

from __future__ import annotations

from typing import Any

from airflow.executors.local_executor import LocalExecutor

from fl_airflow.settings import tasks_here


class CoordinatorExecutor(LocalExecutor):
    """Airflow's LocalExecutor, which runs as many tasks as this machine bears.

    Airflow has one limit, `[core] parallelism`, for all executors together, and the LocalExecutor forks so many
    processes when it starts. The agencies' tasks need a high one, and cost this machine nothing.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the executor loader's own
        super().__init__(parallelism=tasks_here(), **options)  # type: ignore[no-untyped-call]
