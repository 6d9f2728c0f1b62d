"""How a retraining grows: with its agencies, parameters, rows and rounds, each alone, and what is fixed of a round.

Each row is one embedded retraining as a whole program, as in `round`, of a small made-up federation. Columns and
bounds: docs/performance.md.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fl_airflow.federation import prepare_airflow
from fl_airflow.settings import airflow_home

from tests.benchmarks import growth_curves
from tests.benchmarks.growth_federation import Size, found
from tests.benchmarks.round_measure import REPOSITORY, TookTooLong
from tests.benchmarks.round_retraining import retrain

AXES: dict[str, tuple[int, ...]] = {
    "rounds": (1, 2, 4, 8),
    "parameters": (10_000, 100_000, 1_000_000, 10_000_000),
    "agencies": (4, 8, 16, 32, 64),
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
}
ROWS_OF_AN_AGENCY = 5_000
MOST_SECONDS = 420.0
"""What one point may take."""
ALL_SECONDS = 1500.0
"""What all points may take together; preparing their federations is part of it."""
LEAST_SECONDS = 60.0
"""With less time left no point is begun."""
Say = Callable[[str], None]


def rows(say: Say, axes: Mapping[str, tuple[int, ...]] = AXES, curves: Path | None = None) -> Iterator[dict]:
    """Measure every point; of an axis none beyond the first that does not end in its time.

    Args:
        say: Gets what happens.
        axes: Field of Size -> its values, ascending.
        curves: Where the curves are drawn; by default var/bench/growth.svg.
    """
    until = time.monotonic() + ALL_SECONDS
    measured: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        ready = Path(name) / "ready"
        prepare_airflow(ready)
        for axis, values in axes.items():
            points: list[dict] = []
            for value in values:
                left = min(MOST_SECONDS, until - time.monotonic())
                if left < LEAST_SECONDS:
                    say(f"bench: {axis} from {value:,} on: no time is left")
                    break
                say(f"bench: {axis} {value:,}")
                with tempfile.TemporaryDirectory(dir=name) as folder:
                    try:
                        row = _row(axis, _size(axis, value), Path(folder), ready, left, points)
                    except TookTooLong:
                        say(f"bench: {axis} from {value:,} on: not within {left:.0f} s")
                        break
                points.append(row)
                measured.append(row)
                yield row
    if measured:
        growth_curves.draw(measured, curves or REPOSITORY / "var" / "bench" / "growth.svg")


def _size(axis: str, value: int) -> Size:
    """The base size but for one axis; a further agency brings rows of its own."""
    size = replace(Size(), **{axis: value})
    return replace(size, rows=value * ROWS_OF_AN_AGENCY) if axis == "agencies" else size


def _row(axis: str, size: Size, folder: Path, ready: Path, seconds: float, before: list[dict]) -> dict:
    founded = found(size, folder)
    # A migrated database takes seconds to make and is the same for all.
    shutil.copytree(airflow_home(ready), airflow_home(founded.home.root))
    run = retrain(founded.home, folder / "run", founded.config, rounds=size.rounds, seconds=seconds, dags=founded.dags)
    steps, series = size.shape
    work = {
        "axis": axis,
        "agencies": size.agencies,
        "rounds": size.rounds,
        "parameters": run.parameters,
        "rows": steps * series * size.agencies,
    }
    ours = {**run.cost, "fixed": run.fixed_cost(size.names, size.rounds)}
    return {"work": work, "ours": ours | _growth(work, ours, before), "peer": {}, "ratio": {}, "limit_ratio": {}}


def _growth(work: Mapping[str, object], ours: Mapping[str, float], before: list[dict]) -> dict[str, float]:
    """How an axis' point compares with the one before it, and its memory with the first one's.

    `exponent` is that of the power law through both walls: 1.0 is linear, 0.0 is no growth.
    """
    if not before:
        return {}
    axis = str(work["axis"])
    last, first = before[-1], before[0]
    times = float(work[axis]) / last["work"][axis]
    growth = {"exponent": math.log(ours["wall"] / last["ours"]["wall"]) / math.log(times)}
    if axis == "agencies":
        further = work[axis] - first["work"][axis]
        growth["pss_of_a_further_agency"] = (ours["peak_pss"] - first["ours"]["peak_pss"]) / further
    return growth
