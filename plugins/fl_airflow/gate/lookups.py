"""What the gate has to know from the server's database and its files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.providers.edge3.models.edge_job import EdgeJobModel
from airflow.providers.edge3.worker_api import auth
from airflow.utils.session import create_session
from sqlalchemy import select

from fl_airflow.gate.rules import Job
from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import ConfigError

log = logging.getLogger("huiliu.gate")


class Federation:
    """The agencies' queues, as the server's federation folder names them.

    Args:
        folder: With scenarios/ and agencies/.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_at = -1
        self._queues: dict[str, str] = {}

    def queues(self) -> dict[str, str]:
        """Return agency -> queue; the folder is read again when an agency's file came, went or changed.

        While it cannot be read, as when somebody is writing it, what was read before stays.

        Raises:
            ConfigError: If it could never be read.
        """
        agencies = self._folder / "agencies"
        try:
            changed = max(path.stat().st_mtime_ns for path in (agencies, *agencies.iterdir()))
            if changed != self._read_at or not self._queues:
                self._read_at = changed  # what cannot be read is not tried again before it has changed
                read = load_federation(self._folder).agencies.values()
                self._queues = {agency.agency: agency.queue for agency in read}
        except (ConfigError, OSError) as error:
            if not self._queues:
                raise ConfigError(f"{self._folder}: the agencies cannot be read: {error}") from error
            log.warning("the agencies' queues stay as they were read before: %s", error)
        return self._queues


def job_of(job: Job) -> tuple[str, str | None] | None:
    """Return the queue of a job and the worker that has it; None if there is no such job."""
    with create_session(scoped=False) as session:
        found = session.execute(
            select(EdgeJobModel.queue, EdgeJobModel.edge_worker).where(
                EdgeJobModel.dag_id == job.dag_id,
                EdgeJobModel.task_id == job.task_id,
                EdgeJobModel.run_id == job.run_id,
                EdgeJobModel.try_number == job.try_number,
                EdgeJobModel.map_index == job.map_index,
            )
        ).first()
    return None if found is None else (found[0], found[1])


@dataclass(frozen=True)
class Task:
    """A task instance, or a former try of one.

    Attributes:
        queue: On which it runs.
        executor: Who runs it; None for the server's first one.
        names: Its (dag_id, run_id, task_id); None for a former try, which is not the task any more.
    """

    queue: str | None
    executor: str | None
    names: tuple[str, str, str] | None


def task_of(task_instance: str) -> Task | None:
    """Return a task instance; None if there never was one of this id. Each try of a task has an id of its own."""
    with create_session(scoped=False) as session:
        if found := session.execute(
            select(
                TaskInstance.queue,
                TaskInstance.executor,
                TaskInstance.dag_id,
                TaskInstance.run_id,
                TaskInstance.task_id,
            ).where(TaskInstance.id == task_instance)
        ).first():
            return Task(found[0], found[1], (found[2], found[3], found[4]))
        former = session.execute(
            select(TaskInstanceHistory.queue, TaskInstanceHistory.executor).where(
                TaskInstanceHistory.task_instance_id == task_instance
            )
        ).first()
    return None if former is None else Task(former[0], former[1], None)


class TrustedKeys:
    """Lets Airflow's worker API read its file of trusted keys again once it has changed; it reads a file only once.

    Args:
        path: The file, as [edge] trusted_jwks_url names it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1

    def refresh(self) -> None:
        """Have the file read again at the next token if it is another one than at the last call."""
        changed = self._path.stat().st_mtime_ns if self._path.exists() else 0
        if changed != self._read_at:
            auth.jwt_validator.cache_clear()
            auth._oidc_authenticator.cache_clear()
            self._read_at = changed
