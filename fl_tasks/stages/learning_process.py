"""Runs one learning job in a process of the learning environment and reads what it left."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import fl_tasks
from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import ConfigError, LearningFailed
from fl_tasks.contracts.jobs import Job, JobFile, JobResult
from fl_tasks.contracts.stage import EXIT_FINAL

log = logging.getLogger(__name__)


class LearningCrashed(LearningFailed):
    """The learning process died (out of memory, killed): worth another try."""

    retryable = True


def learning_python() -> Path:
    """Interpreter of the learning environment: HUILIU_FL_PYTHON, or .venv-fl beside the package."""
    default = Path(fl_tasks.__file__).parents[1] / ".venv-fl" / "bin" / "python"
    path = Path(os.environ.get("HUILIU_FL_PYTHON", default))
    if not path.exists():
        raise ConfigError(f"{path}: no learning environment there; run `make setup` or set HUILIU_FL_PYTHON")
    return path


def run_job(job: Job, path: Path) -> JobResult:
    """Do a job and return its result.

    The child inherits stdout and stderr instead of a pipe: whatever it leaves behind cannot make us wait.

    Args:
        job: What to do.
        path: The job file; results lie beside it.

    Raises:
        LearningFailed: If the job was refused.
        LearningCrashed: If the process died.
    """
    write_atomic(path, JobFile(job=job).model_dump_json().encode())
    code = subprocess.run([learning_python(), "-P", "-m", "fl_tasks.learning", path], check=False).returncode
    if code == EXIT_FINAL:
        raise LearningFailed(f"learning job {job.kind}: refused; its reason stands above in the log")
    if code != 0:
        raise LearningCrashed(f"learning job {job.kind}: the process ended with code {code}; see the log above")
    result = JobResult.model_validate_json(path.with_name(f"{path.name}.result.json").read_bytes())
    log.info(
        "job=%s parameters=%d import=%.1fs work=%.1fs",
        job.kind,
        result.parameters,
        result.seconds_import,
        result.seconds_work,
    )
    return result
