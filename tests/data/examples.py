"""Small grids and a configuration that the tests of the data rooms share."""

from __future__ import annotations

import numpy as np

from fl_tasks.contracts.series_config import QualityConfig, SeriesConfig, SplitConfig
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.series import Series

START = np.datetime64("2012-03-01T00:00", "us")


def config(**changes):
    values = {
        "step_minutes": 5,
        "input_steps": 4,
        "horizons": {"10min": 2},
        "split": SplitConfig(train=0.7, validation=0.1, test=0.2),
        "quality": QualityConfig(min_completeness=0.8, min_series=2, min_windows=10, max_quarantined=0.05),
    }
    return SeriesConfig(**(values | changes))


def source(**changes):
    values = {
        "path": "incoming",
        "source_unit": "mph",
        "unit": "mph",
        "step_minutes": 5,
        "minimum": 0.0,
        "maximum": 120.0,
        "zero_is_missing": True,
    }
    return SourceConfig(**(values | changes))


def steps(*numbers):
    """Times of the grid's steps; a fraction lies off the grid."""
    return START + (np.array(numbers, dtype=np.float64) * 300_000_000).astype("timedelta64[us]")


def series(numbers, values):
    """A series with a row at each step; values of shape (T, S) or (T,)."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    return Series(steps(*numbers), tuple(f"s{i}" for i in range(values.shape[1])), values)
