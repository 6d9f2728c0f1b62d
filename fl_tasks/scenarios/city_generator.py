"""Four made-up cities with the columns, units, sampling and flaws of the real files of the scenario `traffic`.

Every series follows one law: a level, the rhythm of its day (two rush-hours on working days, one flat bump at the
week-end) and a disturbance that fades within hours. A speed falls where demand rises, a flow or a number of trips
rises with it. So what one city learns helps the others, although none measures what another does.

The flaws: Los Angeles has zeros that mean missing and repeated timestamps; California delivers two files, working
days only, with the plate of the last vehicle; Minneapolis has an hour's row once for each kind of weather, zeros that
mean missing, gaps and plates; New York counts hours by number, and its trips between zones are mostly small counts.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.scenarios.hand_out import Files

Array = NDArray[np.float64]

DAYS = 91
"""From 2018-04-01 to 2018-06-30, after the replay by whole weeks that the agencies' YAMLs declare."""
_START = np.datetime64("2018-04-01T00:00", "m")
_REPLAY_WEEKS = {"los_angeles": 329, "california_pems": 117}
_DETECTORS, _ZONES = 20, 30
_FADING_HOURS = 5.0  # time in which a disturbance falls to 37 %


def generate(seed: int) -> Files:
    """Return four cities' files; the same seed gives the same bytes."""
    draws = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(4)]
    return {
        "los_angeles": {"incoming/speed_5min.csv.gz": _los_angeles(draws[0])},
        "california_pems": {
            f"incoming/lane_flow_{part}.csv.gz": content for part, content in enumerate(_california(draws[1]), start=1)
        },
        "minneapolis_i94": {"incoming/volume_1h.csv.gz": _minneapolis(draws[2])},
        "new_york": _new_york(draws[3]),
    }


def _demand(draw: np.random.Generator, step_minutes: int, series: int) -> Array:
    """Return relative demand, about 0.1 at night and 1 at the rush-hour, shape (steps, series)."""
    steps = DAYS * 24 * 60 // step_minutes
    hours = np.arange(steps) * step_minutes / 60.0
    days = _START.astype("datetime64[D]") + (hours // 24).astype(np.int64)
    working = np.is_busday(days)[:, None]
    clock = (hours % 24)[:, None] - draw.normal(0.0, 0.3, series)
    morning = draw.uniform(0.5, 1.0, series)
    rhythm = np.where(
        working,
        morning * _bump(clock, 8.0, 1.8) + (1.5 - morning) * _bump(clock, 17.3, 2.2) + 0.45 * _bump(clock, 13.0, 4.0),
        0.75 * _bump(clock, 14.5, 4.5),
    )
    keep = float(np.exp(-step_minutes / 60.0 / _FADING_HOURS))
    # What a city shares (weather, events), and what each series has of its own.
    shocks = 0.7 * draw.standard_normal((steps, 1)) + 0.7 * draw.standard_normal((steps, series))
    state = shocks
    for step in range(1, steps):
        state[step] = keep * state[step - 1] + np.sqrt(1.0 - keep**2) * shocks[step]
    demand: Array = (0.1 + rhythm) * np.exp(0.18 * state)
    return demand


def _bump(clock: Array, hour: float, width: float) -> Array:
    return np.exp(-0.5 * ((clock - hour) / width) ** 2)


def _times(step_minutes: int, weeks: int = 0) -> NDArray[np.datetime64]:
    steps = DAYS * 24 * 60 // step_minutes
    return _START - np.timedelta64(weeks, "W") + np.arange(steps) * np.timedelta64(step_minutes, "m")


def _los_angeles(draw: np.random.Generator) -> bytes:
    demand = _demand(draw, 5, _DETECTORS)
    free, depth = draw.normal(65.0, 2.0, _DETECTORS), draw.uniform(20.0, 45.0, _DETECTORS)
    congestion = 1.0 / (1.0 + np.exp(-(demand - 0.9) / 0.15))
    speed = (free - depth * congestion + 2.0 * draw.standard_normal(demand.shape)).clip(3.0, 75.0)
    for detector in range(_DETECTORS):
        for start in draw.integers(0, len(speed), 60):  # outages of about two hours
            speed[start : start + int(draw.geometric(1.0 / 24.0)), detector] = 0.0
    order = np.sort(np.concatenate([np.arange(len(speed)), draw.choice(len(speed), 40, replace=False)]))
    times = np.datetime_as_string(_times(5, _REPLAY_WEEKS["los_angeles"])[order], unit="s")
    header = ["timestamp", *(str(910_001 + detector) for detector in range(_DETECTORS))]
    rows = (
        [time.replace("T", " "), *(f"{value:.2f}" for value in row)]
        for time, row in zip(times.tolist(), speed[order].tolist(), strict=True)
    )
    return _csv(header, rows)


def _california(draw: np.random.Generator) -> tuple[bytes, bytes]:
    times = _times(5, _REPLAY_WEEKS["california_pems"])
    flow = draw.poisson(45.0 * _demand(draw, 5, 1)[:, 0])
    plates = _plates(draw, len(times))
    header = ["5 Minutes", "Lane 1 Flow (Veh/5 Minutes)", "# Lane Points", "% Observed", "Last Plate"]
    working = np.flatnonzero(np.is_busday(times.astype("datetime64[D]")))
    rows = [
        [times[at].item().strftime("%d/%m/%Y %H:%M"), str(flow[at]), "1", "100", plates[at]] for at in working.tolist()
    ]
    half = len(rows) * 2 // 3
    return _csv(header, rows[:half]), _csv(header, rows[half:])


def _minneapolis(draw: np.random.Generator) -> bytes:
    times = _times(60)
    volume = draw.poisson(3200.0 * _demand(draw, 60, 1)[:, 0] + 250.0)
    plates = _plates(draw, len(times))
    volume[draw.choice(len(volume), 12, replace=False)] = 0  # missing
    kept = np.ones(len(times), dtype=bool)
    for start in draw.integers(0, len(times), 6):
        kept[start : start + int(draw.integers(2, 12))] = False
    weather = ("Clear", "Clouds", "Rain", "Mist")
    rows = []
    for at in np.flatnonzero(kept).tolist():
        for kind in draw.choice(4, 1 + int(draw.random() < 0.15), replace=False).tolist():
            time = times[at].item()
            rows.append(
                [
                    *("None", f"{285.0 + 8.0 * np.sin(at / 300.0):.2f}", "0.0", "0.0", "40"),
                    *(weather[kind], weather[kind].lower()),
                    *(f"{time:%Y}/{time.month}/{time.day} {time.hour}:00", str(volume[at]), plates[at]),
                ]
            )
    weather_columns = ["temp", "rain_1h", "snow_1h", "clouds_all", "weather_main", "weather_description"]
    return _csv(["holiday", *weather_columns, "date_time", "traffic_volume", "last_plate"], rows)


def _new_york(draw: np.random.Generator) -> dict[str, bytes]:
    """Hour 0 is 2018-05-01 00:00, as in the real file; the trips between zones are those of the first week."""
    first = 30 * 24  # hours of April
    demand = _demand(draw, 60, _ZONES)[first:]
    size = draw.lognormal(4.6, 0.7, _ZONES)
    attraction = draw.dirichlet(np.full(_ZONES, 0.8), _ZONES)
    trips = draw.poisson((demand * size)[:, :, None] * attraction[None])
    pickups = trips.sum(axis=2)
    header = ["hour_index", *(f"zone_{zone:02d}_pickups" for zone in range(_ZONES))]
    zone_pickups = _csv(header, ([str(hour), *map(str, row)] for hour, row in enumerate(pickups.tolist())))
    week = trips[: 7 * 24]
    cells = np.argwhere(week > 0)
    flow_table = _csv(
        ["hour_index", "origin_zone", "dest_zone", "trips"],
        ([*map(str, cell), str(count)] for cell, count in zip(cells.tolist(), week[week > 0].tolist(), strict=True)),
    )
    return {"incoming/zone_pickups_1h.csv.gz": zone_pickups, "trips/origin_destination.csv.gz": flow_table}


def _plates(draw: np.random.Generator, count: int) -> list[str]:
    """Return made-up plates: three letters, three digits."""
    letters = draw.integers(0, 26, (count, 3)) + ord("A")
    digits = draw.integers(0, 1000, count).tolist()
    words = ("".join(map(chr, row)) for row in letters.tolist())
    return [f"{word} {digit:03d}" for word, digit in zip(words, digits, strict=True)]


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    text.write(",".join(header) + "\n")
    text.writelines(",".join(row) + "\n" for row in rows)
    return gzip.compress(text.getvalue().encode("ascii"), compresslevel=6, mtime=0)
