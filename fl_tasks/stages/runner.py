"""Runs one stage: admits it, finds it, times it, posts an agency's word on its data, leaves the result."""

from __future__ import annotations

import importlib
import logging
import time
from pathlib import Path

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.stage import StageResult, StageSpec, read_spec, write_result
from fl_tasks.stages.admission import admit, journal_refusal
from fl_tasks.stages.checks import DATA_STAGES, post_check, withhold_identifiers
from fl_tasks.stages.context import StageSkipped

log = logging.getLogger(__name__)

# Stages whose module has another name than the stage: `list` is a builtin.
_MODULES = {"list": "key_list"}
# Kind of the scenario's data -> package of its data stages.
_KINDS = {"series": "series", "table": "tables"}


def run_stage(path: Path) -> StageResult:
    """Do the stage of a spec file and return its result, which is also left on disk.

    Raises:
        FLError: As the stage does.
    """
    spec = read_spec(path)
    started = time.monotonic()
    try:
        if spec.agency is not None:
            admit(spec)
        # Late, so that a stage imports only what it needs.
        result: StageResult = importlib.import_module(f"fl_tasks.stages.{_module(spec)}").run(spec)
    except StageSkipped as skipped:
        result = StageResult(stage=spec.stage, status="skipped", reason=str(skipped)[:500])
    except FLError as error:
        if spec.agency is not None:
            journal_refusal(spec, error)
        if spec.stage in DATA_STAGES:
            withhold_identifiers(spec, error)
            if not error.retryable:
                post_check(spec, error)
        raise
    if spec.stage == DATA_STAGES[-1]:
        post_check(spec, None)
    result = result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
    write_result(spec, result)
    log.info("stage=%s status=%s seconds=%.1f %s", spec.label, result.status, result.seconds, _where(spec))
    return result


def _module(spec: StageSpec) -> str:
    if spec.stage in (*DATA_STAGES, "predict"):
        kind = load_scenario(spec.federation, spec.scenario).data.kind
        return f"{_KINDS[kind]}.{spec.stage}"
    return _MODULES.get(spec.stage, spec.stage)


def _where(spec: StageSpec) -> str:
    return f"agency={spec.agency}" if spec.agency else "coordinator"
