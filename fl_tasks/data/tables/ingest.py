"""From an agency's source to harmonized rows and rejected ones, piece by piece, and the checks of the rows as such."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from fl_tasks.contracts.data import Harmonized, RowCounts
from fl_tasks.contracts.errors import DataRejected, InputError
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.tables.declaration import Declared
from fl_tasks.data.tables.harmonize import Days, Domain, Harmonizer
from fl_tasks.data.tables.read import read_pieces
from fl_tasks.data.tables.table import table_writer


def ingest(
    declared: Declared,
    domains: Mapping[str, Domain],
    folder: Path,
    name: str,
    *,
    span: Days,
    raw: Path,
    rejected: Path,
) -> Harmonized:
    """Read, harmonize and write the rows of a run's span.

    Args:
        declared: Schema and source.
        domains: Categorical column -> what it may hold.
        folder: The agency's folder.
        name: How messages call the source.
        span: First day and the day after the last one. Of a source without a column of days all rows are read.
        raw: Gets the rows that fit, harmonized, identifiers included but for those that are dropped.
        rejected: Gets the others, as they came, each with its reason.

    Raises:
        InputError: If the source is missing or malformed, or holds no row of the span.
    """
    harmonizer = Harmonizer(declared, domains, span)
    rows_out = merged = 0
    with table_writer(raw) as kept, table_writer(rejected) as quarantine:
        for piece in read_pieces(declared.source, folder, name, harmonizer.wanted):
            part = harmonizer.take(piece)
            kept.write(part.table)
            quarantine.write(part.rejected, part.reasons)
            rows_out += len(part.table)
            merged += part.merged
        if not harmonizer.rows_in:
            raise InputError(f"{name}: no row speaks of a day from {span[0]} to before {span[1]}; deliver newer data")
    quarantined = sum(harmonizer.by_reason.values())
    rows = RowCounts(rows_in=harmonizer.rows_in, rows_out=rows_out, quarantined=quarantined, merged=merged)
    check_balance(rows, name)
    return Harmonized(
        rows=rows,
        quarantined_by_reason=dict(sorted(harmonizer.by_reason.items())),
        identifiers=harmonizer.identifiers,
        present=harmonizer.present,
        newest=_newest(declared.source, harmonizer, span, name),
    )


def check_balance(rows: RowCounts, name: str) -> None:
    """Hold rows in = rows out + quarantined + merged; raises InputError."""
    if rows.rows_in != rows.rows_out + rows.quarantined + rows.merged:
        raise InputError(f"{name}: rows got lost: rows in are not rows out + quarantined + merged; start a new run")


def replay_note(source: TableSource, span: Days) -> tuple[str, ...]:
    """Say, outside real duty, that an old snapshot is taken for one of the run's own time."""
    if source.production or source.snapshot in (None, _last(span)):
        return ()
    return (f"replay: the table as of {source.snapshot} is taken as of {_last(span)}",)


def require_rows(found: Harmonized, config: TableConfig, span: Days, name: str) -> None:
    """Refuse rows that no later stage can make good.

    Raises:
        DataRejected: If too many rows were rejected or too many values are missing, too few rows are left, or the
            newest day is too old; the message names the limits, never a count.
    """
    limits, rows = config.quality, found.rows
    oldest = span[1] - dt.timedelta(days=limits.max_age_days)
    failed = {
        f"at most {limits.max_quarantined:.0%} of the rows rejected": rows.quarantined
        > limits.max_quarantined * rows.rows_in,
        f"at least {limits.min_completeness:.0%} of the values present": found.present < limits.min_completeness,
        f"at least {limits.min_rows} rows": rows.rows_out < limits.min_rows,
        f"a newest day on or after {oldest}": found.newest < oldest,
    }
    missed = [needs for needs, wrong in failed.items() if wrong]
    if missed:
        raise DataRejected(
            f"{name}: the rows need {'; '.join(missed)}. The agency is left out of this run; its quarantine says why "
            "rows were rejected; correct the data and run ingest again"
        )


def _newest(source: TableSource, harmonizer: Harmonizer, span: Days, name: str) -> dt.date:
    if source.snapshot is None:
        assert harmonizer.newest is not None  # every row of the span has a day
        return harmonizer.newest
    if not source.production:
        return _last(span)
    if source.snapshot >= span[1]:
        raise InputError(
            f"{name}: field snapshot: {source.snapshot} is not before the run's end {span[1]}; a run reads only "
            "what was known before"
        )
    return source.snapshot


def _last(span: Days) -> dt.date:
    return span[1] - dt.timedelta(days=1)
