"""Runs one learning job in a process of the learning environment and reads what it left."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import fl_tasks
from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.channel import receive, send
from fl_tasks.contracts.errors import ConfigError, LearningFailed
from fl_tasks.contracts.jobs import Job, JobFile, JobResult
from fl_tasks.contracts.stage import EXIT_FINAL, EXIT_RETRY

log = logging.getLogger(__name__)


CHANNEL = "HUILIU_LEARNING_CHANNEL"
"""Set by a daemon for its stages: the file descriptor on which it takes learning jobs."""


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
    """Do a job and return its result: by the daemon's worker where a daemon runs this stage, else in a process.

    The child inherits stdout and stderr instead of a pipe: whatever it leaves behind cannot make us wait.

    Args:
        job: What to do.
        path: The job file; results lie beside it.

    Raises:
        LearningFailed: If the job was refused.
        LearningCrashed: If the process died.
    """
    write_atomic(path, JobFile(job=job).model_dump_json().encode())
    channel = os.environ.get(CHANNEL)
    if channel is None:
        code = subprocess.run([learning_python(), "-P", "-m", "fl_tasks.learning", path], check=False).returncode
    else:
        code = _by_worker(int(channel), path, _weight(job))
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


def _weight(job: Job) -> int:
    """Return how much work a job is beside others of its kind: the bytes of its examples."""
    folder: Path | None = getattr(job, "examples", None)
    examples = None if folder is None else folder / "x.npy"
    return examples.stat().st_size if examples is not None and examples.exists() else 0


def _by_worker(channel: int, path: Path, weight: int) -> int:
    """Have the daemon's worker do a job, its output going into this process's own; return the exit code."""
    learning_python()  # a missing environment is said here, where it is read
    sys.stdout.flush()
    with socket.socket(fileno=os.dup(channel)) as daemon:
        try:
            send(daemon, {"job": str(path), "weight": weight}, [sys.stdout.fileno()])
        except OSError:
            return EXIT_RETRY
        answer = receive(daemon)
    return EXIT_RETRY if answer is None else int(answer.body["code"])
