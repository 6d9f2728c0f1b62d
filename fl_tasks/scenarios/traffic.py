"""traffic: four cities that measure different things forecast the next three hours at each of their series.

Examples: 24 hourly steps, each the value in standard deviations of its agency and sine and cosine of the time of day
and of the week; 3 steps ahead. Los Angeles gives speeds, California and Minneapolis flows, New York taxi trips: the
model sees none of the units, and errors are given in each agency's own.
Data: the real files (split_real), or a generator of cities with the same columns and flaws (generate).
"""

from __future__ import annotations

from pathlib import Path

from fl_tasks.contracts.errors import InputError
from fl_tasks.scenarios.city_generator import generate
from fl_tasks.scenarios.forecast_metrics import metrics, persistence, pool, pool_scaled, profile
from fl_tasks.scenarios.forecaster import build_model, loss, shapes
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.real_data import traffic_folder

__all__ = [
    "DEMO_INTERVAL_END",
    "DEMO_ROUNDS",
    "build_model",
    "generate",
    "loss",
    "metrics",
    "persistence",
    "pool",
    "pool_scaled",
    "profile",
    "shapes",
    "split_real",
]

DEMO_INTERVAL_END = "2018-07-01"
"""End of the month that holds all four cities, after their replay."""

DEMO_ROUNDS = 10

_REAL_FILES = {
    "los_angeles": {"incoming/speed_5min.csv.gz": "los_angeles_speed_5min.csv.gz"},
    "california_pems": {
        "incoming/lane_flow_1.csv.gz": "pems_california_lane_flow_5min_train.csv.gz",
        "incoming/lane_flow_2.csv.gz": "pems_california_lane_flow_5min_test.csv.gz",
    },
    "minneapolis_i94": {"incoming/volume_1h.csv.gz": "minneapolis_i94_volume_1h.csv.gz"},
    "new_york": {
        "incoming/zone_pickups_1h.csv.gz": "new_york_taxi_zone_pickups_1h.csv.gz",
        "trips/origin_destination.csv.gz": "new_york_taxi_od_1h_first_week.csv.gz",
    },
}


def split_real(data: Path) -> Files:
    """Return each city's own files as they are; what is in them, its agency's ingest checks.

    Args:
        data: A folder with `traffic/`, or with the files of `traffic/` themselves.

    Raises:
        InputError: If the folder or a file is missing.
    """
    folder = traffic_folder(data)
    files: Files = {}
    for agency, names in _REAL_FILES.items():
        files[agency] = {}
        for target, name in names.items():
            path = folder / name
            if not path.is_file():
                raise InputError(f"{path}: there is no such file; {agency} needs it")
            files[agency][target] = path.read_bytes()
    return files
