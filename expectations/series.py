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

import great_expectations as gx
from great_expectations.expectations import core as gxe
from great_expectations.expectations.expectation import Expectation

from expectations.checks import VOLUME, critical, left_in_columns, warning
from fl_tasks.contracts.data import FIGURE_LEAST
from fl_tasks.contracts.series_config import QualityConfig, SeriesConfig
from fl_tasks.contracts.source import SourceConfig


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
        "columns": left_in_columns(
            ["number", "hash"], "only numbers and keyed hashes, no other text", "declare it under identifiers"
        ),
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
            column_set=columns, exact_match=True, **critical("schema", f"the columns {', '.join(columns)}")
        ),
        gxe.ExpectColumnValuesToBeOfType(
            column="value", type_="float64", **critical("schema_value", "values that are numbers")
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="timestamp", **critical("schema_timestamp", "a timestamp in every row")
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["timestamp", "series"], **critical("duplicates", "one value a series and timestamp")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="value",
            min_value=source.minimum,
            max_value=source.maximum,
            **critical("ranges", f"every value in [{source.minimum:g}, {source.maximum:g}] {source.unit}"),
        ),
        gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column="value",
            min_value=quality.min_completeness,
            **critical("completeness", f"at least {quality.min_completeness:.0%} of the values present"),
        ),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="series",
            min_value=quality.min_series,
            **critical("series", f"at least {quality.min_series} series"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="timestamp",
            min_value=start,
            max_value=end,
            strict_max=True,
            **critical("freshness", f"the newest row inside [{start:%Y-%m-%d %H:%M}, {end:%Y-%m-%d %H:%M})"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="timestamp",
            min_value=end - dt.timedelta(days=quality.max_age_days),
            **warning("recency", f"the newest row at most {quality.max_age_days} days before the interval's end"),
        ),
    ]


def _harvest(quality: QualityConfig) -> list[Expectation]:
    return [
        gxe.ExpectColumnMinToBeBetween(
            column="fit_windows",
            min_value=quality.min_windows,
            **critical("fit_windows", f"at least {quality.min_windows} windows to train on"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="held_back_windows",
            min_value=FIGURE_LEAST,
            **critical("held_back_windows", f"at least {FIGURE_LEAST} windows in each part that is held back"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="nonzero_values",
            min_value=quality.min_nonzero,
            **critical("nonzero", f"at least {quality.min_nonzero} values other than zero to train on"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="quarantined_share",
            max_value=quality.max_quarantined,
            **critical("quarantined", f"at most {quality.max_quarantined:.0%} of the rows rejected"),
        ),
    ]


def _history(quality: QualityConfig) -> list[Expectation]:
    least, most = VOLUME
    return [
        gxe.ExpectColumnMaxToBeBetween(
            column="psi",
            max_value=quality.max_psi,
            **warning("drift", f"a PSI of at most {quality.max_psi:g} against the last accepted month"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="volume_ratio",
            min_value=least,
            max_value=most,
            **warning("volume", f"{least:g} to {most:g} times the values a day of the last accepted month"),
        ),
    ]
