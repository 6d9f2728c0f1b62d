"""Declarations of sources that the tests of ingest share, and a reader of what lies in a folder."""

from __future__ import annotations

import datetime as dt

from fl_tasks.contracts.source import SourceConfig, SqlConfig, TimeConfig
from fl_tasks.data.ingest import read_source

SPAN = (dt.datetime(2012, 3, 1), dt.datetime(2012, 4, 1))
CANARY = "31337"


def source(path="speed.csv", *, time=None, sql=None, **changes):
    """A declaration; `time` and `sql` are fields of TimeConfig and SqlConfig."""
    values = {
        "path": None if sql else path,
        "sql": SqlConfig(**sql) if sql else None,
        "time": TimeConfig(**(time or {})),
        "source_unit": "mph",
        "unit": "mph",
        "step_minutes": 5,
        "minimum": 0.0,
        "maximum": 120.0,
        "zero_is_missing": True,
    }
    return SourceConfig(**(values | changes))


def write(folder, files):
    """Write files of a folder; text as UTF-8."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(folder, declared, span=SPAN, **options):
    """Read a source as the ingest stage does, under its own name."""
    return read_source(declared, folder, span, name=declared.where, **options)
