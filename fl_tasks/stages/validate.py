"""validate: judge the standardized data, then freeze the examples that the run learns from and is judged on."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.data import (
    Standardized,
    fit_examples,
    held_back_examples,
    quality_path,
    standardized_path,
    standardized_record_path,
)
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.data.examples import freeze
from fl_tasks.data.ingest import local_interval
from fl_tasks.data.quality import harvest, judge, observations, require
from fl_tasks.data.series import read_series
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.windows import Windows

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Run the scenario's expectation suites; leave quality.json in any case, examples and prepared.json if it passes.

    Raises:
        MissingInput: If standardize has not run.
        ConfigError: If the scenario has no suite.
        DataRejected: If a critical check failed; the message names the checks, never a value.
    """
    scenario = load_scenario(spec.federation, spec.scenario)
    suite = load_suite(spec.scenario)
    grid = read_series(standardized_path(spec.folder))
    rows = Standardized.model_validate_json(standardized_record_path(spec.folder).read_bytes()).rows
    windows = Windows(grid, scenario.data)
    report = judge(
        {
            "observations": observations(grid),
            "harvest": harvest(
                fit_windows=windows.fit_count,
                test_windows=windows.test_count,
                quarantined=rows.quarantined / rows.rows_in,
            ),
        },
        suite.suites(scenario.data, local_interval(scenario.schedule, spec.data_interval)),
    )
    write_atomic(quality_path(spec.folder), report.model_dump_json(indent=1).encode())
    require(report)
    prepared = freeze(spec.folder, grid, windows, scenario.data, rows)
    warnings = ", ".join(check.name for check in report.failed("warning"))
    counts = publishable(
        {"series": prepared.series, "fit_windows": prepared.fit_windows, "test_windows": prepared.test_windows}
    )
    log.info(
        "stage=validate agency=%s checks=%d warnings=%d sha256=%s",
        spec.agency,
        len(report.checks),
        len(report.failed("warning")),
        prepared.sha256,
    )
    namespace, run_folder = f"agency:{spec.agency}", f"runs/{spec.run_id}"
    parts = (fit_examples(spec.folder), held_back_examples(spec.folder))
    return StageResult(
        stage="validate",
        status="done",
        reason=f"warning: {warnings}"[:500] if warnings else "",
        counts=counts,
        digests={"examples": prepared.sha256},
        inputs=(DatasetRef(namespace=namespace, name=f"{run_folder}/{standardized_path(spec.folder).name}"),),
        outputs=tuple(
            DatasetRef(namespace=namespace, name=f"{run_folder}/{part.relative_to(spec.folder)}") for part in parts
        ),
    )


def load_suite(scenario: str) -> ModuleType:
    """Return expectations/<scenario>/suite.py; raises ConfigError if there is none."""
    name = f"expectations.{scenario}.suite"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise ConfigError(
            f"scenario {scenario!r} has a YAML but no data checks; add expectations/{scenario}/suite.py"
        ) from error
