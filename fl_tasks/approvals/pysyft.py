"""What PySyft's files say of a plan's job, read without PySyft: layout and state of syft-job 0.1.40, job protocol 1.

PySyft's own client lives in another environment and with another OS user; a test holds this reading against it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import AwareDatetime, Field, ValidationError

from fl_tasks.approvals.errors import JobAltered, StateMissing, StateUnreadable
from fl_tasks.contracts.base import Contract, describe, sha256_file

_MOST_STATE_BYTES = 64 * 1024
_MOST_JOB_FILES = 20_000


class JobState(Contract):
    """PySyft's state.yaml of a job; unsigned, so that it proves nothing alone."""

    canonical_name: Literal["JobState"]
    version: Literal["1"]
    status: Literal["received", "pending", "approved", "rejected", "running", "done", "failed"]
    received_at: AwareDatetime | None
    approved_by: str | None
    approved_at: AwareDatetime | None
    approval_method: str | None = Field(description="manual or auto.")
    rejected_by: str | None
    rejected_at: AwareDatetime | None
    review_reason: str | None
    completed_at: AwareDatetime | None
    return_code: int | None


def read_state(review: Path) -> tuple[JobState, int]:
    """Read PySyft's state of a job.

    Args:
        review: The job's folder below PySyft's `review`.

    Returns:
        The state, and the OS user whose file it is.

    Raises:
        StateMissing: If there is none.
        StateUnreadable: If it is another version's, has a field too many or too few, or is no file of its own.
    """
    path = review / "state.yaml"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise StateMissing(f"{path}: PySyft knows no such job; the officer runs `fl officer receive`") from error
    except OSError as error:
        raise StateUnreadable(f"{path}: {error.strerror}; it must be a file that the daemon can read") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_STATE_BYTES:
            raise StateUnreadable(f"{path}: is no file of at most {_MOST_STATE_BYTES} bytes; restore it")
        data = file.read(_MOST_STATE_BYTES)
    try:
        value = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StateUnreadable(f"{path}: is no YAML; restore it") from error
    # PySyft writes texts, numbers and nulls; anything deeper, or a date that YAML itself reads, is not its writing.
    if not isinstance(value, dict) or not all(isinstance(v, str | int | None) for v in (*value, *value.values())):
        raise StateUnreadable(f"{path}: is no state that PySyft writes; restore it")
    try:
        return JobState.model_validate_json(json.dumps(value)), status.st_uid
    except ValidationError as error:
        raise StateUnreadable(
            f"{path}: {describe(error)}; needed is a state of syft-job 0.1.40. Restore it, or install that version"
        ) from error


def job_files(inbox: Path) -> dict[str, str]:
    """Return name -> SHA-256 of every file of a job, below its folder in PySyft's `inbox`.

    Raises:
        JobAltered: If there is no such folder, or it holds what is neither file nor folder, or cannot be read.
    """
    try:
        if inbox.is_symlink() or not inbox.is_dir():
            raise JobAltered(f"{inbox}: there is no such job; the officer runs `fl officer receive`")
        return {path.relative_to(inbox).as_posix(): sha256_file(path) for path in _files(inbox)}
    except OSError as error:
        raise JobAltered(
            f"{error.filename}: {error.strerror}; the daemon must be able to read all of the job"
        ) from error


def _files(folder: Path) -> Iterator[Path]:
    """Return all files below a folder; raises OSError where a folder cannot be listed, which rglob would pass over."""
    found = 0
    for place, folders, files in os.walk(folder, onerror=_raise):
        for path in (Path(place) / name for name in (*folders, *files)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise JobAltered(f"{path}: is neither file nor folder; take it away")
        found += len(files)
        if found > _MOST_JOB_FILES:
            raise JobAltered(f"{folder}: holds more than {_MOST_JOB_FILES} files; take away what is not its own")
        yield from (Path(place) / name for name in files)


def _raise(error: OSError) -> None:
    raise error
