"""Judging prepared data by Great Expectations, suites as code, without a value leaving the judgement.

Great Expectations is imported inside the functions: it takes seconds. What it would send is off: the context lives
in memory only and statistics are disabled. A report says passed or not and nothing else (what Great Expectations calls
BOOLEAN_ONLY). Data Docs, which stay at the agency, say how many values failed and what was observed, but list no value.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.data import SMALL_CELL, QualityCheck, QualityReport
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.contracts.stage import DatasetRef
from fl_tasks.data import data_docs, identifiers
from fl_tasks.data.pseudonymize import looks_like
from fl_tasks.data.series import Series

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# Counts and observed summaries, never the values themselves.
_SUMMARY = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
_HASH = re.compile(r"[0-9a-f]{64}|")


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


def columns(deidentified: Series) -> pd.DataFrame:
    """Return one row a column that anonymize left: its name and its kind.

    The kind is `number`, `hash` (keyed hashes and nothing else), `text`, or `identifier` for a series whose name is one
    itself. `unhashed` is the name again, and nothing for a column of hashes. `identifier` says which identifiers stand
    in a column, with their count unless it is a small cell, and `suspicious` what only looks like some; both are empty
    where there is nothing of the kind.
    """
    import pandas as pd  # noqa: PLC0415

    kinds = {name: "identifier" if looks_like([name]) else "number" for name in deidentified.names} | {
        name: "hash" if all(map(_HASH.fullmatch, texts)) else "text" for name, texts in deidentified.identifiers.items()
    }
    unhashed = [None if kind == "hash" else name for name, kind in kinds.items()]
    left = [_left_in_numbers(values) for values in deidentified.values.T]
    left += [_left_in_texts(texts) for texts in deidentified.identifiers.values()]
    return pd.DataFrame(
        {
            "name": list(kinds),
            "kind": list(kinds.values()),
            "unhashed": unhashed,
            "identifier": [certain for certain, _ in left],
            "suspicious": [doubtful for _, doubtful in left],
        }
    )


def told(columns: pd.DataFrame) -> dict[str, str]:
    """Return what a refusal may say beside a check's name: columns, kinds, and counts that are no small cells."""
    found = columns[columns["identifier"].notna()]
    words = [f"column {name!r} holds {kinds}" for name, kinds in zip(found["name"], found["identifier"], strict=True)]
    return {"no_identifier_left": "; ".join(words[:5])}


def harvest(*, fit_windows: int, held_back_windows: int, nonzero: int, quarantined: float) -> pd.DataFrame:
    """Return one row of what the stages got out of the raw data.

    Args:
        fit_windows: Windows to train on.
        held_back_windows: Those of the held-back part that has the fewest.
        nonzero: Values of the fit part that are neither missing nor zero.
        quarantined: Share of the raw rows, in [0, 1].
    """
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        {
            "fit_windows": [fit_windows],
            "held_back_windows": [held_back_windows],
            "nonzero_values": [nonzero],
            "quarantined_share": [quarantined],
        }
    )


def history(*, psi: float, volume_ratio: float) -> pd.DataFrame:
    """Return one row of how the month compares with the last accepted one.

    Args:
        psi: Population stability index of the values, 0 or more.
        volume_ratio: Values a day, now over then.
    """
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame({"psi": [psi], "volume_ratio": [volume_ratio]})


def judge(frames: dict[str, pd.DataFrame], suites: dict[str, Any], *, docs: Path | None = None) -> QualityReport:
    """Validate each frame by the suite of the same name.

    Args:
        frames: Name -> data; a suite without a frame is not asked.
        suites: Name -> `great_expectations.ExpectationSuite`; every expectation's `meta` holds `check` (the
            check's name) and `needs` (what passes, in words).
        docs: Folder that gets Great Expectations' Data Docs of this judgement; it must never leave the agency.

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
    passed: dict[str, bool] = {}
    for name, frame in frames.items():
        asked = gx.ValidationDefinition(
            name=name,
            data=source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name),
            suite=context.suites.add(suites[name]),
        )
        outcome = context.validation_definitions.add(asked).run(
            batch_parameters={"dataframe": frame}, result_format=_SUMMARY
        )
        passed[name] = bool(outcome.success)
        for result in outcome.results:
            expectation = result.expectation_config
            assert expectation is not None  # every result of a suite has one
            checks.append(
                QualityCheck(
                    name=f"{expectation.meta['check']}/{expectation.type}",
                    severity=expectation.severity.value,
                    needs=expectation.meta["needs"],
                    passed=bool(result.success),
                )
            )
    if docs is not None:
        data_docs.build(context, docs, passed)
    return QualityReport(checks=tuple(sorted(checks, key=lambda check: check.name)))


def require(
    report: QualityReport, found: Mapping[str, str] = MappingProxyType({}), judged: tuple[DatasetRef, ...] = ()
) -> None:
    """Refuse data that failed a critical check.

    Args:
        report: What was judged.
        found: Check -> what may be told of why it failed (see told).
        judged: The data sets, with their checks, for lineage.

    Raises:
        DataRejected: It names the checks that failed and what passes, never a value that was observed.
    """
    failed = report.failed("critical")
    if failed:
        reasons = [(check, found.get(check.name.partition("/")[0])) for check in failed]
        error = DataRejected(
            f"{len(failed)} critical data checks failed: "
            + "; ".join(f"{check.name} needs {check.needs}" + (f": {why}" if why else "") for check, why in reasons)
            + ". The agency is left out of this run; correct the data and run ingest again"
        )
        error.judged = judged
        raise error


_WORDS = {
    "resident_id": "resident ids",
    "credit_code": "unified social credit codes",
    "plate": "plates",
    "mobile": "mobile numbers",
    "e_mail": "e-mail addresses",
    "bank_card": "bank cards",
}


def _left_in_texts(texts: Sequence[str]) -> tuple[str | None, str | None]:
    """Return `identifier` and `suspicious` of a column of texts: one certain identifier is enough."""
    return _left(identifiers.held(texts), sum(map(bool, texts)), one_is_enough=True)


def _left_in_numbers(values: NDArray[np.float64]) -> tuple[str | None, str | None]:
    """Return the same of a column of numbers, among which a single one is chance.

    As a float64, an id of 18 digits has lost the last ones and with them its check digit: the form has to do.
    """
    large = values[(values >= 1e10) & (values < 1e18)]
    texts = large[large == np.floor(large)].astype(np.int64).astype(str).tolist()
    return _left(identifiers.held(texts), int(np.isfinite(values).sum()), one_is_enough=False)


def _left(held: Sequence[identifiers.Held], filled: int, *, one_is_enough: bool) -> tuple[str | None, str | None]:
    """Return the words for what a column holds and for what only looks like it.

    Args:
        held: What was found.
        filled: Cells that are not empty. A tenth of them, and no small cell, is no chance, whatever the check digits.
        one_is_enough: Whether one certain identifier is.
    """
    certain: list[str] = []
    doubtful: list[str] = []
    for entry in held:
        cells = entry.cells + entry.suspicious
        if (one_is_enough and entry.cells) or (cells >= SMALL_CELL and 10 * cells >= filled):
            certain.append(_WORDS[entry.kind] + (f" in {cells} cells" if cells >= SMALL_CELL else ""))
        else:
            doubtful.append(_WORDS[entry.kind])
    return ", ".join(certain) or None, ", ".join(doubtful) or None
