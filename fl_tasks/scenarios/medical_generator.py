"""Made-up adults of four offices, with the columns and flaws of the real survey, and ids of a register.

One law holds everywhere: a household is insured or not mostly together, by the education and work of its members; the
old, the married and the healthy are insured more often, who works on their own account less. Spouses are of like age
and education, and health and limits to activity hang together and get worse with age.

The flaws: who works on their own account is missing here and there, some rows stand twice, some ages are impossible.
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from fl_tasks.scenarios.persons import Persons

OFFICES = {
    "insurance_midwest": ("midwest", 750),
    "insurance_northeast": ("northeast", 650),
    "insurance_south_first": ("south", 650),
    "insurance_south_second": ("south", 650),
}
"""Office -> its region in the survey, and its made-up households."""

_TODAY = dt.date(1996, 12, 31)
_DIVISIONS = ("110105", "310115", "320106", "370102", "440305")
_EDUCATION = ("none", "other", "ged", "highschool", "bachelor", "master", "phd")
_SCHOOLING = (-0.9, 0.1, -0.2, 0.2, 0.8, 1.0, 1.1)  # how much each speaks for insurance
_MARKED = 150  # every so many rows one stands twice, one misses a value, one has an impossible age


def insured(seed: int) -> dict[str, dict[str, list[str]]]:
    """Return each office's table: column -> cells; the same seed gives the same."""
    draws = np.random.SeedSequence(seed).spawn(len(OFFICES))
    return {
        office: _office(np.random.Generator(np.random.PCG64(child)), office, 10_000 * number)
        for number, (office, child) in enumerate(zip(OFFICES, draws, strict=True), start=1)
    }


def _office(draw: np.random.Generator, office: str, first: int) -> dict[str, list[str]]:
    region, households = OFFICES[office]
    rows: list[dict[str, str]] = []
    for household in range(households):
        rows += _household(draw, region, first + household)
    cells = {"person": [str(10 * first + row) for row in range(len(rows))]}
    cells |= {column: [row[column] for row in rows] for column in rows[0]}
    persons = Persons(int(draw.integers(2**31))).columns(
        [gender == "male" for gender in cells["gender"]],
        [int(age) for age in cells["age"]],
        today=_TODAY,
        divisions=_DIVISIONS,
    )
    return _flawed({**cells, **persons})


def _household(draw: np.random.Generator, region: str, number: int) -> list[dict[str, str]]:
    couple = bool(draw.random() < 0.6)
    age = int(np.clip(18 + draw.gamma(3.0, 7.5), 18, 62))
    family = int(1 + couple + draw.choice([0, 1, 2, 3, 4], p=[0.45, 0.22, 0.2, 0.09, 0.04]))
    ethnicity = str(draw.choice(["cauc", "afam", "other"], p=[0.83, 0.14, 0.03]))
    schooling = float(draw.normal(3.1, 1.2))
    shared = 0.8 * draw.standard_normal()  # the household's income, which nobody is asked for
    male = bool(draw.random() < 0.5)
    rows = []
    for member in range(1 + couple):
        years = int(np.clip(age + member * draw.integers(-4, 5), 18, 62))
        education = int(np.clip(round(schooling + 0.7 * draw.standard_normal()), 0, 6))
        limited = bool(draw.random() < 0.03 + 0.004 * (years - 18))
        healthy = bool(draw.random() < (0.75 if limited else 0.97))
        self_employed = bool(draw.random() < 0.12)
        chance = (
            0.7
            + _SCHOOLING[education]
            + 0.03 * (years - 35)
            + 0.7 * couple
            - 0.5 * (ethnicity != "cauc")
            - 1.1 * self_employed
            - 0.15 * max(family - 3, 0)
            + 0.3 * healthy
            + shared
        )
        holds = bool(draw.random() < 1.0 / (1.0 + np.exp(-chance)))
        rows.append(
            {
                "household": str(number),
                "health": _word(healthy),
                "age": str(years),
                "limit": _word(limited),
                "gender": "male" if male ^ bool(member) else "female",
                "insurance": _word(holds),
                "married": _word(couple),
                "selfemp": _word(self_employed),
                "family": str(family),
                "region": region,
                "ethnicity": ethnicity,
                "education": _EDUCATION[education],
            }
        )
    return rows


def _word(holds: bool) -> str:
    return "yes" if holds else "no"


def _flawed(cells: dict[str, list[str]]) -> dict[str, list[str]]:
    rows = len(cells["age"])
    order = sorted([*range(rows), *range(50, rows, _MARKED)])
    flawed = {column: [values[row] for row in order] for column, values in cells.items()}
    for row in range(20, len(order), _MARKED):
        flawed["selfemp"][row] = ""
    for row in range(90, len(order), 2 * _MARKED):
        flawed["age"][row] = "199"
    return flawed
