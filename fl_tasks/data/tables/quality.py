"""What is judged of a table: frames for Great Expectations (fl_tasks.data.quality.judge), pandas imported late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.data import Accepted, Distribution
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.data import drift, quality
from fl_tasks.data.series import Series
from fl_tasks.data.tables.declaration import SPLIT
from fl_tasks.data.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

Labels = Mapping[str, Sequence[str]]


def rows(table: Table, config: TableConfig) -> pd.DataFrame:
    """Return the released rows: one column for each of the schema's that is there, a missing value as null."""
    import pandas as pd  # noqa: PLC0415

    names = [column.column for column in config.columns if column.role not in ("direct_identifier", "key")]
    frame: dict[str, NDArray[Any]] = {}
    for name in names:
        values = table.columns.get(name)
        if values is not None:
            frame[name] = values.copy()
            if values.dtype == object:
                frame[name][values == ""] = None
    return pd.DataFrame(frame)


def columns(table: Table, labels: Labels) -> pd.DataFrame:
    """Return one row a column that anonymize left: as quality.columns, with the further kind `label`.

    A column of labels holds nothing but texts that the schema or the hierarchies list.

    Args:
        table: De-identified.
        labels: Column -> texts that may stand there.
    """
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, list[str]] = {}
    labelled = set()
    for name, values in table.columns.items():
        if name == SPLIT:
            continue
        if values.dtype != object:
            numbers[name] = values
        elif name in labels and set(values) <= {*labels[name], ""}:
            # The texts once each: a million rows say no more.
            texts[name] = sorted(set(values))
            labelled.add(name)
        else:
            texts[name] = values.tolist()
    cells = np.stack(list(numbers.values()), axis=1) if numbers else np.empty((len(table), 0))
    nowhen = np.empty(0, dtype="datetime64[us]")
    frame = quality.columns(Series(nowhen, tuple(numbers), cells, texts))
    frame.loc[frame["name"].isin(labelled) & (frame["kind"] == "text"), "kind"] = "label"
    return frame


def harvest(*, fit_rows: int, held_back_rows: int, quarantined: float, present: float, age_days: int) -> pd.DataFrame:
    """Return one row of what the stages got out of the raw data.

    Args:
        fit_rows: Rows to train on.
        held_back_rows: Those of the held-back part that has the fewest.
        quarantined: Share of the raw rows that were rejected, in [0, 1]; suppressed ones are not among them.
        present: Share of the values of the columns that the model sees, in [0, 1].
        age_days: Days from the newest day that a row speaks of to the end of the data interval.
    """
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        {
            "fit_rows": [fit_rows],
            "held_back_rows": [held_back_rows],
            "quarantined_share": [quarantined],
            "present_share": [present],
            "age_days": [age_days],
        }
    )


def privacy(report: PrivacyReport, *, sha256: str) -> pd.DataFrame:
    """Return one row of what the release was measured to reach.

    Args:
        report: As anonymize left it.
        sha256: Of the file that holds the released rows now.
    """
    import pandas as pd  # noqa: PLC0415

    policy = report.policy
    return pd.DataFrame(
        {
            "k": [report.k],
            "l": [report.l if policy.diversity == "distinct" else report.l_entropy],
            "t": [report.t],
            "suppressed_share": [report.suppressed / report.rows_in],
            "bound": [report.sha256 == sha256],
        }
    )


def distributions(table: Table, config: TableConfig, domains: Labels) -> dict[str, Distribution]:
    """Return how the values of what the model sees, and of the target, are distributed, for the next run's comparison.

    Args:
        table: Harmonized rows before they are generalized, so that other levels are no drift.
        config: The schema.
        domains: Categorical column -> its values, in order.
    """
    found = {}
    for name, values in _watched(table, config, domains).items():
        if values.size:
            found[name] = drift.distribution(values)
    return found


def moved(known: Accepted, table: Table, config: TableConfig, domains: Labels) -> pd.DataFrame:
    """Return one row a column: its population stability index against the last accepted run's rows."""
    import pandas as pd  # noqa: PLC0415

    watched = _watched(table, config, domains)
    compared = [name for name in watched if name in known.reference]
    return pd.DataFrame(
        {
            "column": compared,
            "psi": np.array([drift.psi(known.reference[name], watched[name]) for name in compared], dtype=np.float64),
        }
    )


def volume(*, ratio: float) -> pd.DataFrame:
    """Return one row: the rows, over those of the last accepted run."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame({"volume_ratio": [ratio]})


def _watched(table: Table, config: TableConfig, domains: Labels) -> dict[str, NDArray[np.float64]]:
    """Return column -> its values as numbers: itself, or each text's place among the values."""
    found = {}
    for column in config.columns:
        values = table.columns.get(column.column)
        if values is None or not (column.seen or column.role == "target"):
            continue
        if values.dtype == object:
            place = {text: at for at, text in enumerate(domains[column.column])}
            values = np.array([place.get(text, np.nan) for text in values], dtype=np.float64)
        found[column.column] = values[np.isfinite(values)]
    return found
