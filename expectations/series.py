"""The data checks of every scenario that forecasts series. Limits come from YAML; here is what they apply to.

Frames (fl_tasks.data.quality makes them): `observations` is the grid in long form (timestamp, series, value), one
row for every value expected between the agency's first and last row; `columns` is one row a column that anonymize
left; `harvest` is one row of what is left of the data; `history` is one row of how the month compares with the last
accepted one, where there is one.
"""

# Great Expectations imports its expectations into this module without marking them as exported.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import datetime as dt
from typing import Any

import great_expectations as gx
from great_expectations.expectations import core as gxe
from great_expectations.expectations.expectation import Expectation

from fl_tasks.contracts.data import FIGURE_LEAST
from fl_tasks.contracts.series_config import QualityConfig, SeriesConfig
from fl_tasks.contracts.source import SourceConfig

VOLUME = (0.5, 2.0)
"""Values a day, over those of the last accepted month: beyond is noted."""

# A column name that says who somebody is.
_IDENTIFYING = (
    r"(?i)(?<![a-z])(?:plates?|phone|mobile|telephone|passport|e-?mail|resident.?id|id.?card|ssn|address|"
    r"social.?credit.?code|(?:first|last|full|sur)[ _-]?name)(?![a-z])"
    r"|姓名|身份证|手机|电话|车牌|号牌|住址|地址|信用代码"
)


def suites(
    source: SourceConfig, config: SeriesConfig, interval: tuple[dt.datetime, dt.datetime]
) -> dict[str, gx.ExpectationSuite]:
    """Return one suite a frame.

    Args:
        source: The agency's unit and range.
        config: The scenario's limits.
        interval: The run's data interval [start, end), local wall time without an offset.
    """
    found = {
        "observations": _observations(source, config.quality, interval),
        "columns": _columns(),
        "harvest": _harvest(config.quality),
        "history": _history(config.quality),
    }
    return {name: gx.ExpectationSuite(name=name, expectations=expectations) for name, expectations in found.items()}


def _observations(
    source: SourceConfig, quality: QualityConfig, interval: tuple[dt.datetime, dt.datetime]
) -> list[Expectation]:
    start, end = interval
    columns = ["series", "timestamp", "value"]
    return [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=columns, exact_match=True, **_critical("schema", f"the columns {', '.join(columns)}")
        ),
        gxe.ExpectColumnValuesToBeOfType(
            column="value", type_="float64", **_critical("schema_value", "values that are numbers")
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="timestamp", **_critical("schema_timestamp", "a timestamp in every row")
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["timestamp", "series"], **_critical("duplicates", "one value a series and timestamp")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="value",
            min_value=source.minimum,
            max_value=source.maximum,
            **_critical("ranges", f"every value in [{source.minimum:g}, {source.maximum:g}] {source.unit}"),
        ),
        gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column="value",
            min_value=quality.min_completeness,
            **_critical("completeness", f"at least {quality.min_completeness:.0%} of the values present"),
        ),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="series",
            min_value=quality.min_series,
            **_critical("series", f"at least {quality.min_series} series"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="timestamp",
            min_value=start,
            max_value=end,
            strict_max=True,
            **_critical("freshness", f"the newest row inside [{start:%Y-%m-%d %H:%M}, {end:%Y-%m-%d %H:%M})"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="timestamp",
            min_value=end - dt.timedelta(days=quality.max_age_days),
            **_warning("recency", f"the newest row at most {quality.max_age_days} days before the interval's end"),
        ),
    ]


def _columns() -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="kind",
            value_set=["number", "hash"],
            **_critical("leakage", "only numbers and keyed hashes, no other text; declare it under identifiers"),
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="unhashed",
            regex=_IDENTIFYING,
            **_critical("leakage_name", "no column named like an identifier; declare it under identifiers"),
        ),
        gxe.ExpectColumnValuesToBeNull(
            column="identifier",
            **_critical("no_identifier_left", "no identifier in any text; declare its column under identifiers"),
        ),
        gxe.ExpectColumnValuesToBeNull(
            column="suspicious",
            **_warning("suspicious_text", "no text of an identifier's form, be its check digit wrong"),
        ),
    ]


def _harvest(quality: QualityConfig) -> list[Expectation]:
    return [
        gxe.ExpectColumnMinToBeBetween(
            column="fit_windows",
            min_value=quality.min_windows,
            **_critical("fit_windows", f"at least {quality.min_windows} windows to train on"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="held_back_windows",
            min_value=FIGURE_LEAST,
            **_critical("held_back_windows", f"at least {FIGURE_LEAST} windows in each part that is held back"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="nonzero_values",
            min_value=quality.min_nonzero,
            **_critical("nonzero", f"at least {quality.min_nonzero} values other than zero to train on"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="quarantined_share",
            max_value=quality.max_quarantined,
            **_critical("quarantined", f"at most {quality.max_quarantined:.0%} of the rows rejected"),
        ),
    ]


def _history(quality: QualityConfig) -> list[Expectation]:
    least, most = VOLUME
    return [
        gxe.ExpectColumnMaxToBeBetween(
            column="psi",
            max_value=quality.max_psi,
            **_warning("drift", f"a PSI of at most {quality.max_psi:g} against the last accepted month"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="volume_ratio",
            min_value=least,
            max_value=most,
            **_warning("volume", f"{least:g} to {most:g} times the values a day of the last accepted month"),
        ),
    ]


def _critical(check: str, needs: str) -> dict[str, Any]:
    return {"severity": "critical", "meta": {"check": check, "needs": needs}}


def _warning(check: str, needs: str) -> dict[str, Any]:
    return {"severity": "warning", "meta": {"check": check, "needs": needs}}
