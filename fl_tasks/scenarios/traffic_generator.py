"""Four districts of one made-up city: the shape, the rhythm and the flaws of real loop-detector data.

Speed of a sensor = free-flow speed - depth x congestion + noise of measurement. Congestion is a logistic function
of the hour's demand (two rush-hours on working days, one flat bump at the week-end) plus disturbances that spread
over neighbouring sensors and fade: one slow, one quick. All districts follow the same law, each with its own roads,
so what one learns helps the others; the noise of measurement is what a last-value forecast cannot see through.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.los_angeles import DISTRICT_FILE, DISTRICTS

Array = NDArray[np.float64]

SENSORS = (73, 30, 31, 73)
"""Of DISTRICTS, in their order: as many as the Los Angeles sensors give."""

START = np.datetime64("2012-03-01T00:00", "m")
DAYS = 7
STEP_MINUTES = 5
STEPS = DAYS * 24 * 60 // STEP_MINUTES

_CENTRES = np.array([(0.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)])  # of DISTRICTS, in units of a district's width
_REACH = 0.25  # distance over which a disturbance falls to 61 %, same unit
_SLOW_MINUTES, _QUICK_MINUTES = 180.0, 40.0  # time in which a disturbance falls to 37 %
_MISSING = 0.08  # share of zeros that stand for missing values, as in raw METR-LA
_OUTAGE_STEPS = 24.0  # mean length of an outage: two hours


@dataclass(frozen=True)
class _Roads:
    """What one district's S sensors are like; arrays of shape (S,), or (S, S) for the factor."""

    free: Array
    depth: Array
    threshold: Array
    morning: Array
    evening: Array
    late: Array  # hours by which a sensor's rush-hour comes later
    factor: Array  # Cholesky factor of the correlation over distance


def generate(seed: int) -> Files:
    """Return four districts' files: seven days from 2012-03-01 (a Thursday), 5 min, miles per hour.

    Flaws, as in the real thing: bursts of zeros that mean missing (8 %), repeated timestamps (some identical, some
    that differ), and missing timestamps (two gaps a district).

    Args:
        seed: Decides everything; the same seed gives the same bytes.

    Returns:
        District -> its one file, CSV, gzip without a time stamp: `timestamp`, then one column a sensor.
    """
    files: Files = {}
    first = 0
    children = np.random.SeedSequence(seed).spawn(len(DISTRICTS))
    for district, sensors, centre, child in zip(DISTRICTS, SENSORS, _CENTRES, children, strict=True):
        draw = np.random.Generator(np.random.PCG64(child))
        speed = _speed(draw, _roads(draw, sensors, centre))
        speed[_outages(draw, sensors)] = 0.0
        names = [str(900_001 + first + index) for index in range(sensors)]
        files[district] = {DISTRICT_FILE: _csv(names, *_with_clock_flaws(draw, speed))}
        first += sensors
    return files


def _roads(draw: np.random.Generator, sensors: int, centre: Array) -> _Roads:
    places = centre + draw.uniform(-0.5, 0.5, (sensors, 2))
    squared = ((places[:, None] - places[None, :]) ** 2).sum(axis=-1)
    # The small diagonal keeps the factor real where two sensors lie side by side.
    correlation = 0.7 * np.exp(-squared / (2 * _REACH**2)) + 0.3 * np.eye(sensors)
    inbound = draw.uniform(0.0, 1.0, sensors)
    return _Roads(
        free=draw.normal(65.0, 2.5, sensors).clip(55.0, 69.0),
        depth=draw.uniform(20.0, 48.0, sensors),
        threshold=draw.normal(2.3, 0.8, sensors),
        morning=0.6 + 2.0 * inbound,
        evening=0.8 + 2.0 * (1.0 - inbound),
        late=draw.normal(0.0, 0.35, sensors),
        factor=np.linalg.cholesky(correlation),
    )


def _speed(draw: np.random.Generator, roads: _Roads) -> Array:
    """Return speed in mph, shape (STEPS, S), without flaws."""
    hours = np.arange(STEPS) * STEP_MINUTES / 60.0
    day = START.astype("datetime64[D]") + (hours // 24).astype(np.int64)
    working = np.is_busday(day)[:, None]
    clock = (hours % 24)[:, None] - roads.late
    rush = (
        roads.morning * _bump(clock, 7.9, 1.1) + roads.evening * _bump(clock, 17.2, 1.6) + 0.5 * _bump(clock, 12.5, 3.0)
    )
    demand = np.where(working, rush, 1.0 * _bump(clock, 14.0, 3.5))
    disturbance = 0.85 * _fading(draw, roads, _SLOW_MINUTES) + 0.45 * _fading(draw, roads, _QUICK_MINUTES)
    congestion = 1.0 / (1.0 + np.exp(-(demand + disturbance - roads.threshold) / 0.3))
    # Where traffic is neither free nor jammed, single cars make the mean speed of five minutes jump.
    spread = 1.9 + 9.0 * congestion * (1.0 - congestion)
    speed = roads.free - roads.depth * congestion + spread * draw.standard_normal(congestion.shape)
    return speed.clip(3.0, 70.0)


def _bump(clock: Array, hour: float, width: float) -> Array:
    return np.exp(-0.5 * ((clock - hour) / width) ** 2)


def _fading(draw: np.random.Generator, roads: _Roads, minutes: float) -> Array:
    """Return a first-order autoregression of unit variance, correlated over distance, shape (STEPS, S)."""
    keep = float(np.exp(-STEP_MINUTES / minutes))
    shocks = draw.standard_normal((STEPS, len(roads.free))) @ roads.factor.T
    state = np.empty_like(shocks)
    state[0] = shocks[0]
    for step in range(1, STEPS):
        state[step] = keep * state[step - 1] + np.sqrt(1.0 - keep**2) * shocks[step]
    return state


def _outages(draw: np.random.Generator, sensors: int) -> NDArray[np.bool_]:
    """Return where a sensor is silent, shape (STEPS, S): bursts, their lengths geometric."""
    silent = np.zeros((STEPS, sensors), dtype=bool)
    # Bursts overlap: the number is what makes the share that no burst covers 1 - _MISSING.
    expected = -np.log1p(-_MISSING) * STEPS / _OUTAGE_STEPS
    for sensor, bursts in enumerate(draw.poisson(expected, sensors)):
        starts = draw.integers(0, STEPS, bursts)
        for start, length in zip(starts, draw.geometric(1.0 / _OUTAGE_STEPS, bursts), strict=True):
            silent[start : start + length, sensor] = True
    return silent


def _with_clock_flaws(draw: np.random.Generator, speed: Array) -> tuple[list[str], Array]:
    """Return the rows' timestamps and values: some rows twice, some missing."""
    order = np.arange(STEPS)
    for length in (3, 7):
        gap = int(draw.integers(STEPS // 10, STEPS * 9 // 10))
        order = order[(order < gap) | (order >= gap + length)]
    repeated = np.sort(draw.choice(order[1:-1], 8, replace=False))
    order = np.sort(np.concatenate([order, repeated]))
    values = speed[order]
    for step in repeated[::2]:
        # A second reading of the same five minutes, a little different.
        second = int(np.searchsorted(order, step)) + 1
        values[second] = np.where(values[second] > 0.0, (values[second] + draw.normal(0.0, 0.5)).clip(3.0, 70.0), 0.0)
    times = START.astype("datetime64[s]") + order * np.timedelta64(STEP_MINUTES * 60, "s")
    return [str(time).replace("T", " ") for time in times], values


def _csv(names: list[str], times: list[str], values: Array) -> bytes:
    text = io.StringIO()
    text.write(",".join(["timestamp", *names]) + "\n")
    pattern = ",".join(["%s"] + ["%.3f"] * len(names)) + "\n"
    for time, row in zip(times, values.tolist(), strict=True):
        text.write(pattern % (time, *row))
    return gzip.compress(text.getvalue().encode("ascii"), compresslevel=6, mtime=0)
