"""traffic_districts: four districts of one city forecast the next hour of speed at every sensor.

Examples: 12 steps of 5 minutes, each the speed in standard deviations of its district and sine and cosine of the time
of day; 12 steps ahead. Data: the Los Angeles loop detectors (split_real), or a generator of the same shape and flaws
(generate).
"""

from __future__ import annotations

from fl_tasks.scenarios.forecast_metrics import metrics, persistence, pool, pool_scaled, profile
from fl_tasks.scenarios.forecaster import build_model, loss, shapes
from fl_tasks.scenarios.los_angeles import DISTRICTS, split_real
from fl_tasks.scenarios.traffic_generator import generate

__all__ = [
    "DEMO_INTERVAL_END",
    "DEMO_ROUNDS",
    "DISTRICTS",
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

DEMO_INTERVAL_END = "2012-04-01"
"""End of the month in which both the real file and the generated data lie."""

DEMO_ROUNDS = 3
