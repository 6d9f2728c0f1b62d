"""Why the coordinator gave a survey up, kept for the run's report."""

from __future__ import annotations

from pathlib import Path

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.survey import SurveyFailure


def note(spec: StageSpec, error: FLError | None) -> None:
    """Note how a stage of the coordinator ended: a step that ends well takes the note of an earlier try away."""
    if not spec.surveys or spec.agency is not None:
        return
    path = _path(spec)
    if error is None:
        path.unlink(missing_ok=True)
    elif not error.retryable:
        write_atomic(path, SurveyFailure(code=error.code, reason=str(error)[:2000]).model_dump_json().encode())


def read_failure(spec: StageSpec) -> SurveyFailure | None:
    """Return why the survey of a run was given up, if it was."""
    path = _path(spec)
    return SurveyFailure.model_validate_json(path.read_bytes()) if path.exists() else None


def _path(spec: StageSpec) -> Path:
    return spec.places.coordinator_run(spec.survey_run_id) / "survey_failed.json"
