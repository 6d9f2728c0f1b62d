"""Made-up counts of cases and admissions by region, with the columns and flaws of the real files.

All regions go through the same waves, each a little earlier or later, higher or lower, with a drift of its own, and
counts scatter around what the wave would give. So what one region has seen helps the others.

The flaws: Italian regions report little on Sundays and Mondays and correct themselves at times by negative counts; one
has days without a row, one has a row twice. Chinese provinces give running totals, most of whose days add nothing, a
change of definition in one day, and totals that fall. American states give weeks, some without a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fl_tasks.scenarios.epidemic_files import FILE, Region, written
from fl_tasks.scenarios.hand_out import Files

Array = NDArray[np.float64]

_ITALY_START, _ITALY_DAYS = np.datetime64("2020-02-24"), 1042  # to 2022-12-31
_CHINA_START, _CHINA_DAYS = np.datetime64("2020-01-22"), 981  # to 2022-09-28
_FLU_START, _FLU_WEEKS = np.datetime64("2022-02-05"), 230  # Saturdays to 2026-06-27

# Italy: day of the peak, width in days, cases by 100,000 inhabitants and day at the peak.
_WAVES = (
    *((35, 14, 9), (265, 26, 55), (390, 28, 35), (545, 22, 10), (690, 16, 290)),
    *((765, 22, 110), (870, 18, 140), (960, 20, 70), (1020, 18, 55)),
)
_REPORTED = (0.55, 1.15, 1.2, 1.1, 1.1, 1.1, 0.8)  # share of a day's cases that is reported, Monday first
# USA: week of the peak, width in weeks, admissions by 100,000 inhabitants and week at the peak.
_SEASONS = ((-4, 5, 2.0), (44, 4, 9.0), (100, 6, 5.0), (155, 7, 8.0), (204, 6, 6.0))


def italian_regions(seed: int, regions: Mapping[str, Region]) -> Files:
    """Return daily files of 2020-02-24 to 2022-12-31, as the Civil Protection writes them.

    Args:
        seed: Decides everything; the same seed gives the same bytes.
        regions: Agency -> its region.
    """
    header = ["data", "codice_regione", "denominazione_regione", "ricoverati_con_sintomi", "terapia_intensiva"]
    header += ["totale_ospedalizzati", "totale_positivi", "nuovi_positivi", "deceduti", "totale_casi", "tamponi"]
    days = _ITALY_START + np.arange(_ITALY_DAYS)
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    files: Files = {}
    for place, ((agency, region), draw) in enumerate(_with_draws(seed, regions)):
        mean = _waves(draw, _ITALY_DAYS, _WAVES, region.population, late=5.0) * np.array(_REPORTED)[weekday]
        cases = _scattered(draw, mean)
        for day in draw.choice(np.arange(60, _ITALY_DAYS), 2, replace=False).tolist():
            cases[day] = -int(0.4 * cases[day - 2 : day].sum()) - 1  # what had been counted twice
        total = cases.cumsum()
        beds = (0.12 * np.convolve(np.maximum(cases, 0), np.ones(12), "full")[:_ITALY_DAYS]).astype(np.int64)
        rows = [
            [
                *(str(days[day]), str(place + 1), region.name, str(beds[day]), str(beds[day] // 9)),
                *(str(beds[day] + beds[day] // 9), str(20 * beds[day]), str(cases[day]), str(total[day] // 70)),
                *(str(total[day]), str(12 * total[day] + 40 * day)),
            ]
            for day in range(_ITALY_DAYS)
        ]
        if place == 1:
            del rows[500:503]
        if place == 2:
            rows.insert(300, rows[300])
        files[agency] = {FILE: written(header, rows)}
    return files


def chinese_provinces(seed: int, regions: Mapping[str, Region]) -> Files:
    """Return daily running totals of 2020-01-22 to 2022-09-28, as the JHU CSSE's file holds them; see above."""
    header = ["province", "country", "Lat", "Long", "date", "confirmed_cum", "deaths_cum"]
    days = _CHINA_START + np.arange(_CHINA_DAYS)
    files: Files = {}
    for place, ((agency, region), draw) in enumerate(_with_draws(seed, regions)):
        size = (region.population / 4e7) ** 0.5
        mean = 0.35 * size * np.exp(0.8 * _drift(draw, _CHINA_DAYS, 60.0))
        peaks = [(12.0, 9.0, 25.0)]
        peaks += [
            (float(draw.uniform(60, _CHINA_DAYS)), float(draw.uniform(6, 14)), float(draw.lognormal(2.2, 0.8)))
            for _ in range(int(draw.integers(9, 16)))
        ]
        for peak, width, height in peaks:
            mean += size * height * np.exp(-0.5 * ((np.arange(_CHINA_DAYS) - peak) / width) ** 2)
        cases = _scattered(draw, mean)
        if place == 0:
            cases[22] += 5 * int(cases[:22].sum())  # clinical diagnoses count from this day on
        for day in draw.choice(np.arange(60, _CHINA_DAYS), 1).tolist():
            cases[day] = -int(min(3, cases[:day].sum()))
        total = cases.cumsum()
        rows = [
            [region.name, "China", "30.0", "110.0", str(days[day]), str(total[day]), f"{total[day] // 60:.1f}"]
            for day in range(_CHINA_DAYS)
        ]
        files[agency] = {FILE: written(header, rows)}
    return files


def american_states(seed: int, regions: Mapping[str, Region]) -> Files:
    """Return weekly admissions of 2022-02-05 to 2026-06-27, dated by Saturdays, as FluSight's file holds them."""
    header = ["date", "location", "location_name", "value", "weekly_rate", "abbreviation", "population"]
    weeks = _FLU_START + 7 * np.arange(_FLU_WEEKS)
    files: Files = {}
    for place, ((agency, region), draw) in enumerate(_with_draws(seed, regions)):
        counts = _scattered(draw, _waves(draw, _FLU_WEEKS, _SEASONS, region.population, late=1.5))
        rows = []
        for week in range(_FLU_WEEKS):
            rate = 1e5 * counts[week] / region.population
            named = [str(weeks[week]), f"{place + 1:02d}", region.name]
            figures = [f"{counts[week]:.1f}", f"{rate:.6f}", region.name[:2].upper(), str(region.population)]
            rows.append([*named, *figures])
        if place == 1:
            for row in rows[90:104]:
                row[3] = row[4] = ""
        files[agency] = {FILE: written(header, rows)}
    return files


def _with_draws(seed: int, regions: Mapping[str, Region]) -> list[tuple[tuple[str, Region], np.random.Generator]]:
    children = np.random.SeedSequence(seed).spawn(len(regions))
    draws = (np.random.Generator(np.random.PCG64(child)) for child in children)
    return list(zip(regions.items(), draws, strict=True))


def _waves(
    draw: np.random.Generator, steps: int, waves: Sequence[tuple[float, float, float]], population: int, *, late: float
) -> Array:
    """Return mean counts of a region by step: every wave rises faster than it falls."""
    rate = np.full(steps, 0.15)
    for peak, width, height in waves:
        moved = np.arange(steps) - peak - draw.normal(0.0, late)
        slope = np.where(moved < 0.0, 0.8 * width, 1.3 * width)
        rate += height * float(draw.lognormal(0.0, 0.25)) * np.exp(-(np.abs(moved / slope) ** 1.6))
    counts: Array = rate * np.exp(0.25 * _drift(draw, steps, 3.0 * late)) * population / 1e5
    return counts


def _drift(draw: np.random.Generator, steps: int, fading: float) -> Array:
    """Return a first-order autoregression of unit variance that falls to 37 % in `fading` steps."""
    keep = float(np.exp(-1.0 / fading))
    state = draw.standard_normal(steps)
    for step in range(1, steps):
        state[step] = keep * state[step - 1] + np.sqrt(1.0 - keep**2) * state[step]
    return state


def _scattered(draw: np.random.Generator, mean: Array) -> NDArray[np.int64]:
    """Return counts around means, more scattered than by chance alone: negative binomial."""
    return draw.poisson(mean * draw.gamma(40.0, 1.0 / 40.0, len(mean))).astype(np.int64)
