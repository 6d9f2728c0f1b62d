"""The data checks of every scenario that classifies rows. Limits come from YAML; here is what they apply to.

Frames (fl_tasks.data.tables.quality makes them): `rows` are the released rows in the schema's columns; `columns` is one
row a column that anonymize left; `harvest` is one row of what is left of the data; `privacy` one row of what the
release was measured to reach, where there are quasi-identifiers; `drift` is one row a column and `volume` one row of
how the run compares with the last accepted one, where there is one.
"""

# Great Expectations imports its expectations into this module without marking them as exported.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from collections.abc import Mapping, Sequence

import great_expectations as gx
from great_expectations.expectations import core as gxe
from great_expectations.expectations.expectation import Expectation

from expectations.checks import VOLUME, critical, left_in_columns, warning
from fl_tasks.contracts.anonymize import PrivacyPolicy
from fl_tasks.contracts.data import FIGURE_LEAST
from fl_tasks.contracts.table_config import TableColumn, TableConfig, TableQualityConfig


def suites(config: TableConfig, labels: Mapping[str, Sequence[str]]) -> dict[str, gx.ExpectationSuite]:
    """Return one suite a frame.

    Args:
        config: The scenario's schema and limits.
        labels: Categorical or generalized column -> texts that may stand there.
    """
    found: dict[str, list[Expectation]] = {
        "rows": _rows(config, labels),
        "columns": left_in_columns(
            ["number", "label", "hash"],
            "only numbers, labels of the schema and keyed hashes, no other text",
            "give its column the role of one",
        ),
        "harvest": _harvest(config.quality),
        "privacy": [] if config.privacy is None else _privacy(config.privacy),
        "drift": [
            gxe.ExpectColumnMaxToBeBetween(
                column="psi",
                max_value=config.quality.max_psi,
                **warning("drift", f"a PSI of at most {config.quality.max_psi:g} of every column since the last run"),
            )
        ],
        "volume": _volume(),
    }
    return {name: gx.ExpectationSuite(name=name, expectations=expectations) for name, expectations in found.items()}


def _rows(config: TableConfig, labels: Mapping[str, Sequence[str]]) -> list[Expectation]:
    schema = [column for column in config.columns if column.role not in ("direct_identifier", "key")]
    names = [column.column for column in schema]
    found: list[Expectation] = [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=names, exact_match=True, **critical("schema", "the columns of the schema and no others")
        )
    ]
    for column in schema:
        found.append(_values(column, labels.get(column.column)))
        if not column.optional:
            found.append(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column.column, **critical("present", f"a value of {column.column!r} in every row")
                )
            )
    return found


def _values(column: TableColumn, labels: Sequence[str] | None) -> Expectation:
    if labels is not None:
        return gxe.ExpectColumnValuesToBeInSet(
            column=column.column,
            value_set=list(labels),
            **critical("values", f"in {column.column!r} only texts that the schema or its hierarchy lists"),
        )
    return gxe.ExpectColumnValuesToBeBetween(
        column=column.column,
        min_value=column.minimum,
        max_value=column.maximum,
        **critical("ranges", f"every value of {column.column!r} in [{column.minimum:g}, {column.maximum:g}]"),
    )


def _harvest(quality: TableQualityConfig) -> list[Expectation]:
    return [
        gxe.ExpectColumnMinToBeBetween(
            column="fit_rows",
            min_value=quality.min_rows,
            **critical("fit_rows", f"at least {quality.min_rows} rows to train on"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="held_back_rows",
            min_value=FIGURE_LEAST,
            **critical("held_back_rows", f"at least {FIGURE_LEAST} rows in each part that is held back"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="quarantined_share",
            max_value=quality.max_quarantined,
            **critical("quarantined", f"at most {quality.max_quarantined:.0%} of the rows rejected"),
        ),
        gxe.ExpectColumnMinToBeBetween(
            column="present_share",
            min_value=quality.min_completeness,
            **critical("completeness", f"at least {quality.min_completeness:.0%} of the values present"),
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="age_days",
            max_value=quality.max_age_days,
            **critical("freshness", f"the newest day at most {quality.max_age_days} days before the interval's end"),
        ),
    ]


def _privacy(policy: PrivacyPolicy) -> list[Expectation]:
    found: list[Expectation] = [
        gxe.ExpectColumnMinToBeBetween(
            column="k", min_value=policy.k, **critical("privacy_k", f"at least {policy.k} rows alike")
        ),
        gxe.ExpectColumnMaxToBeBetween(
            column="suppressed_share",
            max_value=policy.suppression + 1e-9,
            **critical("privacy_suppression", f"at most {policy.suppression:.0%} of the rows suppressed"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="bound", value_set=[True], **critical("privacy_bound", "a privacy report on this very file")
        ),
    ]
    if policy.l > 1:
        needs = f"{policy.diversity} l-diversity of at least {policy.l} in every class"
        found.append(
            gxe.ExpectColumnMinToBeBetween(column="l", min_value=policy.l - 1e-9, **critical("privacy_l", needs))
        )
    if policy.t < 1.0:
        found.append(
            gxe.ExpectColumnMaxToBeBetween(
                column="t",
                max_value=policy.t + 1e-9,
                **critical("privacy_t", f"every class at most {policy.t:g} from the whole (t-closeness)"),
            )
        )
    return found


def _volume() -> list[Expectation]:
    least, most = VOLUME
    return [
        gxe.ExpectColumnMinToBeBetween(
            column="volume_ratio",
            min_value=least,
            max_value=most,
            **warning("volume", f"{least:g} to {most:g} times the rows of the last accepted run"),
        )
    ]
