"""Runs one stage: admits it, finds it, times it, posts an agency's word on its data, leaves the result.

A data stage that would make again what an earlier run made takes that (reuse.py).
"""

from __future__ import annotations

import importlib
import logging
import time
from pathlib import Path

from fl_tasks.approvals.errors import ApprovalRefused
from fl_tasks.contracts.config import load_scenario, one_reading
from fl_tasks.contracts.errors import DataRejected, FLError
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec, read_spec, write_failure, write_result
from fl_tasks.stages import reuse
from fl_tasks.stages.admission import admit, journal_refusal
from fl_tasks.stages.checks import DATA_STAGES, post_check, withhold_identifiers
from fl_tasks.stages.context import StageSkipped
from fl_tasks.stages.survey import failure
from fl_tasks.stages.survey.request import is_surveyed

log = logging.getLogger(__name__)

# Stages whose module has another name than the stage: `list` is a builtin.
_MODULES = {"list": "key_list", "survey": "survey.opening", "count": "survey.count", "recode": "survey.recode"}
# Kind of the scenario's data -> package of its data stages.
_KINDS = {"series": "series", "table": "tables"}


def run_stage(path: Path) -> StageResult:
    """Do the stage of a spec file and return its result, which is also left on disk.

    Raises:
        FLError: As the stage does.
    """
    spec = read_spec(path)
    started = time.monotonic()
    spec.failure_path.unlink(missing_ok=True)  # an earlier try's
    try:
        # One reading: the stage uses the very configuration that was admitted.
        with one_reading():
            if spec.agency is not None:
                admit(spec)
            # Late, so that a stage imports only what it needs.
            module = importlib.import_module(f"fl_tasks.stages.{_module(spec)}")
            result: StageResult = reuse.run(spec, module) if spec.stage in DATA_STAGES else module.run(spec)
    except StageSkipped as skipped:
        result = StageResult(stage=spec.stage, status="skipped", reason=str(skipped)[:500])
    except FLError as error:
        failure.note(spec, error)
        if isinstance(error, DataRejected | ApprovalRefused):
            judged = error.judged if isinstance(error, DataRejected) else ()
            write_failure(
                spec, StageResult(stage=spec.stage, status="done", failed=True, reason=error.code, inputs=judged)
            )
        if spec.agency is not None:
            journal_refusal(spec, error)
        if spec.stage in DATA_STAGES:
            withhold_identifiers(spec, error)
        told = spec.stage in (*DATA_STAGES, "receive") or isinstance(error, ApprovalRefused)
        if told and spec.agency is not None and not error.retryable:
            post_check(spec, error)
            _tell_survey(spec, error)
        raise
    failure.note(spec, None)
    if spec.stage == DATA_STAGES[-1]:
        post_check(spec, None)
    if spec.stage in DATA_STAGES:
        _tell_survey(spec, None)
    if spec.surveys:
        result = result.model_copy(update={part: _of_survey(getattr(result, part)) for part in ("inputs", "outputs")})
    result = result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
    write_result(spec, result)
    log.info("stage=%s status=%s seconds=%.1f %s", spec.label, result.status, result.seconds, _where(spec))
    return result


def _tell_survey(spec: StageSpec, error: FLError | None) -> None:
    """Post the word on the raw data where a survey invites the agencies that passed, before they go on."""
    if (
        spec.stage in ("receive", DATA_STAGES[0])
        and spec.retrains
        and is_surveyed(load_scenario(spec.federation, spec.scenario))
    ):
        post_check(spec.model_copy(update={"run_id": spec.survey_run_id}), error)


def _of_survey(refs: tuple[DatasetRef, ...]) -> tuple[DatasetRef, ...]:
    """Tell a survey's messages from those of the same name of the training that follows it."""
    return tuple(
        ref.model_copy(update={"name": f"survey/{ref.name}"}) if ref.namespace == "exchange" else ref for ref in refs
    )


def _module(spec: StageSpec) -> str:
    if spec.stage in (*DATA_STAGES, "predict"):
        kind = load_scenario(spec.federation, spec.scenario).data.kind
        return f"{_KINDS[kind]}.{spec.stage}"
    return _MODULES.get(spec.stage, spec.stage)


def _where(spec: StageSpec) -> str:
    return f"agency={spec.agency}" if spec.agency else "coordinator"
