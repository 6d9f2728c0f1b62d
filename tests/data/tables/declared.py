"""A small schema, declarations of sources for it, and a reader of what lies in a folder."""

from __future__ import annotations

import datetime as dt

from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.table_source import TableSource
from fl_tasks.data.tables.declaration import declare
from fl_tasks.data.tables.harmonize import Dates, Domain
from fl_tasks.data.tables.ingest import ingest
from fl_tasks.data.tables.table import read_reasons, read_table

SPAN = (dt.date(2024, 4, 1), dt.date(2024, 7, 1))
CANARY = "31337"

COLUMNS = (
    {"column": "id", "role": "direct_identifier", "treatment": "hash"},
    {"column": "age", "role": "quasi_identifier", "kind": "numeric", "minimum": 0.0, "maximum": 120.0, "unit": "years"},
    {"column": "born", "role": "quasi_identifier", "hierarchy": "born.yaml"},
    {"column": "income", "role": "feature", "kind": "numeric", "minimum": 0.0, "maximum": 9e4, "optional": True},
    {"column": "work", "role": "feature", "values": ("yes", "no"), "optional": True},
    {"column": "poor", "role": "target", "values": ("no", "yes")},
)


def config(columns=COLUMNS, **changes):
    values = {
        "kind": "table",
        "columns": columns,
        "classes": ("no", "yes"),
        "privacy": {"k": 2} if any(column["role"] == "quasi_identifier" for column in columns) else None,
        "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
        "quality": {"min_rows": 1, "min_completeness": 0.0, "max_quarantined": 1.0},
    }
    return TableConfig(**(values | changes))


def source(**changes):
    values = {"kind": "table", "path": "people.csv", "snapshot": dt.date(2024, 6, 30)}
    return TableSource(**{name: value for name, value in (values | changes).items() if value is not None})


def domains(schema):
    """What each categorical column may hold; a quasi-identifier that is no number holds days, written day first."""
    found = {}
    for column in schema.columns:
        if column.role == "quasi_identifier" and column.kind == "categorical":
            days = (dt.date(1980, 1, 1) + dt.timedelta(days=day) for day in range(4000))
            found[column.column] = Domain({f"{day:%d/%m/%Y}" for day in days}, Dates("%d/%m/%Y"))
        elif column.role == "target":
            found[column.column] = Domain(schema.classes)
        elif column.values:
            found[column.column] = Domain(column.values)
    return found


class Outcome:
    """What ingest left: the record, the rows that fit as columns of lists, the rejected ones, the reasons."""

    def __init__(self, record, folder):
        self.record = record
        self.rows = {name: values.tolist() for name, values in read_table(folder / "raw.parquet").columns.items()}
        self.rejected = read_table(folder / "rejected.parquet").columns
        self.reasons = read_reasons(folder / "rejected.parquet")


def read(folder, declaration=None, *, schema=None, span=SPAN, scoring=False):
    """Ingest what lies in a folder."""
    schema = schema or config()
    declared = declare(schema, declaration or source(), scoring=scoring)
    record = ingest(
        declared,
        domains(schema),
        folder,
        declared.source.where,
        span=span,
        raw=folder / "raw.parquet",
        rejected=folder / "rejected.parquet",
    )
    return Outcome(record, folder)


HEADER = "id,age,born,income,work,poor"
GOOD = "a,34,24/12/1989,1000,yes,no"


def lines(*rows, header=HEADER):
    return "\n".join((header, *rows)) + "\n"
