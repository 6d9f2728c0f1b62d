"""The program that runs beside PySyft, in its environment: one request as JSON on stdin, one answer on stdout.

It imports nothing of this package, which that environment does not have, and calls PySyft's own client. It never calls
PySyft's runner, and runs nothing of what was handed in. PySyft prints to stdout for people; that goes to stderr here.

    {"do": "jobs", "syftbox": "...", "identity": "..."}  ->  {"answer": [...]}  or  {"error": "..."}
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from syft_job.client import JobClient
from syft_job.config import SyftJobConfig
from syft_job.job import JobInfo
from syft_job.models import JobState, JobStatus

# PySyft writes into run.sh what its runner would install. Nobody runs it, and here is nothing to be installed.
_NOTHING_TO_INSTALL = "/nonexistent"


def hand_in(asked: dict[str, Any]) -> None:
    """Hand a job in as its submitter; one that an interrupted call left half is made anew."""
    owner, name = asked["identity"], asked["job"]
    client = _jobs(asked, asked["submitter"])
    client.peer_install_sources[owner] = _NOTHING_TO_INSTALL
    there = client.manager.submission_dir(client.manager.new_submission_ref(owner, name))
    # PySyft writes config.yaml last, and does not list a job without it.
    if there.exists() and not (there / "config.yaml").exists():
        shutil.rmtree(there)
    if not there.exists():
        client.submit_python_job(owner, asked["code"], name, entrypoint="main.py")


def jobs(asked: dict[str, Any]) -> list[dict[str, str | None]]:
    """Return the datasite's jobs as PySyft sees them, the newest first."""
    return [
        {
            "name": job.name,
            "submitter": job.submitted_by,
            "state": job.status,
            "method": job.approval_method,
            "reason": job.review_reason,
        }
        for job in _jobs(asked, asked["identity"]).jobs
        if job.datasite_owner_email == asked["identity"]
    ]


def approve(asked: dict[str, Any]) -> None:
    """Approve a job that waits, with PySyft's own approve(); one that was approved in this way already stays.

    One that was approved in another way (by hand, or not) waits again first: PySyft changes no approval.
    """
    job = _job(asked)
    if (job.status, job.approval_method) == ("approved", asked["method"]):
        return
    if job.status == "approved":
        _write(asked, JobState(status=JobStatus.PENDING, received_at=_read(asked).received_at))
        job = _job(asked)
    if job.status != "pending":
        raise ValueError(f"the job is {job.status}, which PySyft does not change; the next run brings a new plan")
    job.approve(reason=asked["reason"], approval_method=asked["method"])


def reject(asked: dict[str, Any]) -> None:
    """Reject a job that waits, with PySyft's own reject(); one that was rejected already stays.

    Of one that was approved PySyft's storage is told, since its client takes no approval back.
    """
    job = _job(asked)
    if job.status == "approved":
        state = _read(asked)
        state.status = JobStatus.REJECTED
        state.rejected_by, state.rejected_at = asked["identity"], datetime.now(UTC)
        state.review_reason = asked["reason"]
        _write(asked, state)
    elif job.status != "rejected":
        job.reject(reason=asked["reason"])


def register(asked: dict[str, Any]) -> None:
    """Register a data set in place of the one of that name, which PySyft does not change."""
    datasets = _datasets(asked)
    if any(found.name == asked["name"] for found in datasets.get_all(datasite=asked["identity"])):
        datasets.delete(asked["name"], require_confirmation=False)
    datasets.create(asked["name"], asked["mock"], asked["private"], summary=asked["summary"])


def mock(asked: dict[str, Any]) -> list[str] | None:
    """Return the paths of a data set's mock files, or None if there is no such data set."""
    datasets = _datasets(asked)
    found = [one for one in datasets.get_all(datasite=asked["identity"]) if one.name == asked["name"]]
    return [str(path) for path in sorted(found[0].mock_files)] if found else None


def _datasets(asked: dict[str, Any]) -> Any:  # noqa: ANN401 - PySyft's manager, imported where it is needed: it is slow
    from syft_datasets.dataset_manager import SyftDatasetManager  # noqa: PLC0415

    return SyftDatasetManager(asked["syftbox"], asked["identity"])


def _jobs(asked: dict[str, Any], who: str) -> JobClient:
    return JobClient(SyftJobConfig.from_syftbox_folder(asked["syftbox"], who))


def _job(asked: dict[str, Any]) -> JobInfo:
    found = [
        job
        for job in _jobs(asked, asked["identity"]).jobs
        if (job.name, job.submitted_by, job.datasite_owner_email)
        == (asked["job"], asked["submitter"], asked["identity"])
    ]
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} jobs of that name; needed is one")
    return found[0]


def _read(asked: dict[str, Any]) -> JobState:
    storage = _jobs(asked, asked["identity"]).manager
    return storage.read_state(storage.find_submission_ref(asked["identity"], asked["job"], asked["submitter"]))


def _write(asked: dict[str, Any], state: JobState) -> None:
    storage = _jobs(asked, asked["identity"]).manager
    storage.write_state(storage.find_submission_ref(asked["identity"], asked["job"], asked["submitter"]), state)


_ASKED = {one.__name__: one for one in (hand_in, jobs, approve, reject, register, mock)}


def main() -> int:
    """Answer one request; the exit code says whether it was done."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.umask(0o022)  # the daemon, another user, reads what is written here
    asked = json.load(sys.stdin)
    Path(asked["syftbox"]).mkdir(exist_ok=True)
    answer: dict[str, Any]
    try:
        answer = {"answer": _ASKED[asked["do"]](asked)}
    except Exception as error:  # told to whoever asked
        answer = {"error": f"{type(error).__name__}: {error}"}
    with answers:
        json.dump(answer, answers)
    return int("error" in answer)


if __name__ == "__main__":
    sys.exit(main())
