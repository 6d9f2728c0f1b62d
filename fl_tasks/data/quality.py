"""Judging prepared data by Great Expectations, suites as code, without a value leaving the judgement.

Great Expectations is imported inside the functions: it takes seconds. What it would send or keep is off: the
context lives in memory only, statistics are disabled, and results say passed or not (BOOLEAN_ONLY).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_tasks.contracts.data import QualityCheck, QualityReport
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.series import Series

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def observations(grid: Series) -> pd.DataFrame:
    """Return the grid in long form: columns timestamp, series (category), value; one row a value expected."""
    import pandas as pd  # noqa: PLC0415

    steps, series = grid.values.shape
    return pd.DataFrame(
        {
            "timestamp": np.repeat(grid.times, series),
            "series": pd.Categorical.from_codes(np.tile(np.arange(series), steps), categories=pd.Index(grid.names)),
            "value": grid.values.ravel(),
        }
    )


def harvest(*, fit_windows: int, test_windows: int, quarantined: float) -> pd.DataFrame:
    """Return one row of what the stages got out of the raw data: two counts, and a share in [0, 1]."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        {"fit_windows": [fit_windows], "test_windows": [test_windows], "quarantined_share": [quarantined]}
    )


def judge(frames: dict[str, pd.DataFrame], suites: dict[str, Any]) -> QualityReport:
    """Validate each frame by the suite of the same name.

    Args:
        frames: Name -> data.
        suites: Name -> `great_expectations.ExpectationSuite`; every expectation's `meta` holds `check` (the
            check's name) and `needs` (what passes, in words).

    Returns:
        One entry an expectation, in order of name. An expectation that could not be evaluated has not passed.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # noqa: PLC0415
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("agency")
    checks: list[QualityCheck] = []
    for name, frame in frames.items():
        definition = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        batch = definition.get_batch(batch_parameters={"dataframe": frame})
        for result in batch.validate(suites[name], result_format="BOOLEAN_ONLY").results:
            expectation = result.expectation_config
            checks.append(
                QualityCheck(
                    name=f"{expectation.meta['check']}/{expectation.type}",
                    severity=expectation.severity.value,
                    needs=expectation.meta["needs"],
                    passed=bool(result.success),
                )
            )
    return QualityReport(checks=tuple(sorted(checks, key=lambda check: check.name)))


def require(report: QualityReport) -> None:
    """Refuse data that failed a critical check.

    Raises:
        DataRejected: It names the checks that failed and what passes, never what was observed.
    """
    failed = report.failed("critical")
    if failed:
        raise DataRejected(
            f"{len(failed)} critical data checks failed: "
            + "; ".join(f"{check.name} needs {check.needs}" for check in failed)
            + ". The agency is left out of this run; correct the data and run ingest again"
        )
