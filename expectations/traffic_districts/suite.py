"""The data checks of traffic_districts. Limits come from the scenario's YAML; here is what they apply to.

Frames (fl_tasks.data.quality makes them): `observations` is the grid in long form (timestamp, series, value), one
row for every value expected between the agency's first and last row; `harvest` is one row of what is left of it.
"""

# Great Expectations imports its expectations into this module without marking them as exported.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

import datetime as dt
from typing import Any

import great_expectations as gx
from great_expectations.expectations import core as gxe
from great_expectations.expectations.expectation import Expectation

from fl_tasks.contracts.config import SeriesConfig

STALE_AFTER = dt.timedelta(days=2)
"""Data that ends earlier before the interval's end is noted, not refused."""


def suites(config: SeriesConfig, interval: tuple[dt.datetime, dt.datetime]) -> dict[str, gx.ExpectationSuite]:
    """Return one suite a frame.

    Args:
        config: The scenario's range and limits.
        interval: The run's data interval [start, end), local wall time without an offset.
    """
    return {
        "observations": gx.ExpectationSuite(name="observations", expectations=_observations(config, interval)),
        "harvest": gx.ExpectationSuite(name="harvest", expectations=_harvest(config)),
    }


def _observations(config: SeriesConfig, interval: tuple[dt.datetime, dt.datetime]) -> list[Expectation]:
    quality = config.quality
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
            min_value=config.minimum,
            max_value=config.maximum,
            **_critical("ranges", f"every value in [{config.minimum:g}, {config.maximum:g}] {config.unit}"),
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
            min_value=end - STALE_AFTER,
            **_warning("recency", f"the newest row at most {STALE_AFTER.days} days before the interval's end"),
        ),
    ]


def _harvest(config: SeriesConfig) -> list[Expectation]:
    quality = config.quality
    return [
        gxe.ExpectColumnMinToBeBetween(
            column="fit_windows",
            min_value=quality.min_windows,
            **_critical("fit_windows", f"at least {quality.min_windows} windows to train on"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="test_windows", min_value=1, **_critical("test_windows", "at least 1 held-back window")
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="quarantined_share",
            max_value=quality.max_quarantined,
            **_critical("quarantined", f"at most {quality.max_quarantined:.0%} of the rows rejected"),
        ),
    ]


def _critical(check: str, needs: str) -> dict[str, Any]:
    return {"severity": "critical", "meta": {"check": check, "needs": needs}}


def _warning(check: str, needs: str) -> dict[str, Any]:
    return {"severity": "warning", "meta": {"check": check, "needs": needs}}
