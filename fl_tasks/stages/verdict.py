"""verdict: the one leaf that decides the run's colour."""

from __future__ import annotations

from fl_tasks.contracts.errors import MissingInput
from fl_tasks.contracts.report import Report
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec


def run(spec: StageSpec) -> StageResult:
    """Read the report's status; raises MissingInput if there is no report."""
    path = spec.places.report(spec.run_id) / "report.json"
    if not path.exists():
        raise MissingInput(f"{path}: there is no report; the report stage did not run")
    report = Report.model_validate_json(path.read_bytes())
    return StageResult(
        stage="verdict",
        status="done",
        failed=report.status == "failed",
        reason=f"{report.status}: {report.reason}"[:500],
        inputs=(DatasetRef(namespace="coordinator", name=f"runs/{spec.run_id}/report.json"),),
    )
