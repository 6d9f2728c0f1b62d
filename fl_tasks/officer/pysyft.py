"""Asks PySyft, which lives in an environment of its own, by one short process a question."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

import fl_tasks
from fl_tasks.approvals.places import COORDINATOR, identity, syftbox
from fl_tasks.contracts.base import Contract, describe
from fl_tasks.contracts.errors import ConfigError, FLError

_PROGRAM = Path(__file__).with_name("datasite.py")
_MOST_SECONDS = 300.0
_LAST_CHARACTERS = 500

Method = Literal["manual", "auto"]


class PySyftFailed(FLError):
    """PySyft did not do what it was asked; the message holds its own words."""


class Job(Contract):
    """A job as PySyft's client sees it."""

    name: str
    submitter: str
    state: str
    method: str | None
    reason: str | None


def pysyft_python() -> Path:
    """Interpreter of PySyft's environment: HUILIU_SYFT_PYTHON, or .venv-syft beside the package."""
    default = Path(fl_tasks.__file__).parents[1] / ".venv-syft" / "bin" / "python"
    path = Path(os.environ.get("HUILIU_SYFT_PYTHON", default))
    if not path.exists():
        raise ConfigError(f"{path}: there is no PySyft; run `make officer-setup` or set HUILIU_SYFT_PYTHON")
    return path


@dataclass(frozen=True)
class Datasite:
    """PySyft's view of one agency: its jobs, and its data sets with their mock data.

    Attributes:
        officer: The officer's own folder.
        agency: Whose datasite it is.
    """

    officer: Path
    agency: str

    def hand_in(self, job: str, code: Path) -> None:
        """Hand in a job, as the coordinator; one that is there already stays as it is.

        Args:
            job: Its name.
            code: Folder with main.py; it is copied.
        """
        self._ask("hand_in", job=job, submitter=COORDINATOR, code=str(code))

    def jobs(self) -> list[Job]:
        """Return all jobs of the datasite, the newest first."""
        answer = self._ask("jobs")
        try:
            return TypeAdapter(list[Job]).validate_python(answer)
        except ValidationError as error:
            raise PySyftFailed(f"PySyft's list of jobs is of another form: {describe(error)}") from error

    def states(self) -> dict[str, Job]:
        """Return the jobs that were handed in for a plan, by name."""
        return {job.name: job for job in self.jobs() if job.submitter == COORDINATOR}

    def approve(self, job: str, reason: str, method: Method) -> None:
        """Approve a job that waits; `auto` says that it falls under a standing approval. Again is fine."""
        self._ask("approve", job=job, submitter=COORDINATOR, reason=reason, method=method)

    def reject(self, job: str, reason: str) -> None:
        """Reject a job that waits, or take its approval back. Again is fine."""
        self._ask("reject", job=job, submitter=COORDINATOR, reason=reason)

    def register(self, name: str, mock: Path, private: Path, summary: str) -> None:
        """Register a data set in place of the one of that name.

        Args:
            name: Of the data set.
            mock: Folder with the mock files; they are copied.
            private: A file that is copied too: never data.
            summary: What it is, in a line.
        """
        self._ask("register", name=name, mock=str(mock), private=str(private), summary=summary)

    def mock(self, name: str) -> list[Path] | None:
        """Return the mock files of a data set, or None if it is not registered."""
        answer = self._ask("mock", name=name)
        return None if answer is None else [Path(path) for path in answer]

    def _ask(self, do: str, **words: str) -> Any:  # noqa: ANN401 - each question has an answer of its own
        asked = {"do": do, "syftbox": str(syftbox(self.officer)), "identity": identity(self.agency), **words}
        try:
            # Isolated, and with no variable of ours: nothing says to any library that it may call somewhere.
            done = subprocess.run(
                [pysyft_python(), "-I", _PROGRAM],
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                timeout=_MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PySyftFailed(f"PySyft: {do} was not done after {_MOST_SECONDS:.0f} s; try again") from error
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            raise PySyftFailed(
                f"PySyft: {do} ended with code {done.returncode} and no answer; `make officer-setup` makes its "
                f"environment anew. Its last words: {done.stderr[-_LAST_CHARACTERS:].strip()}"
            ) from error
        if "error" in answer:
            raise PySyftFailed(f"PySyft: {do}: {answer['error']}")
        return answer["answer"]
