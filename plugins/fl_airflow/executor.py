"""The executor of the agencies' tasks: Airflow's own for edge workers, with fewer looks at its table of jobs."""

from __future__ import annotations

import time
from typing import Any

from airflow.providers.edge3.executors import EdgeExecutor

LOOK_SECONDS = 10.0
"""Between two looks. Half a minute without a sign makes a worker lifeless, a minute a job."""


class SeldomEdgeExecutor(EdgeExecutor):
    """Airflow's edge executor, which reports what became of its jobs every ten seconds.

    A task's own process writes its state where the scheduler reads it; the job's state, which the worker writes,
    matters when that process could not. Airflow looks in every loop of the scheduler, and each job that was begun or
    is over then makes the scheduler decide once more about the whole run at once: with many agencies, most of what it
    does. A job that failed beside its task is seen ten seconds later instead.
    """

    _next_look = 0.0

    def sync(self, **session: Any) -> None:  # noqa: ANN401 - Airflow's decorator takes what it likes
        """Report what became of jobs and workers, if the last report was long enough ago. Arguments are Airflow's."""
        if time.monotonic() < self._next_look:
            return
        super().sync(**session)
        self._next_look = time.monotonic() + LOOK_SECONDS
