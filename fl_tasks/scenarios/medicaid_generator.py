"""Made-up elderly of four offices, with the columns and flaws of the real survey, and ids of a register.

One law holds everywhere: little school means little income, little income means Medicaid and no private insurance;
the sick see doctors more often, and are poorer. Spouses share an income.

The flaws: age comes in decades and income in ten thousands of dollars, and may be negative; an income is missing here
and there, some rows stand twice, some ages are impossible.
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from fl_tasks.scenarios.persons import Persons

OFFICES = {
    "elderly_northeast": ("northeast", 520),
    "elderly_other_first": ("other", 520),
    "elderly_other_second": ("other", 520),
    "elderly_west": ("west", 520),
}
"""Office -> its region in the survey, and its made-up households."""

_TODAY = dt.date(1988, 12, 31)
_DIVISIONS = ("110105", "310115", "320106", "370102", "440305")
_MARKED = 120  # every so many rows one stands twice, one misses its income, one has an impossible age


def elderly(seed: int) -> dict[str, dict[str, list[str]]]:
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
        [round(10 * float(age)) for age in cells["age"]],
        today=_TODAY,
        divisions=_DIVISIONS,
    )
    return _flawed({**cells, **persons})


def _household(draw: np.random.Generator, region: str, number: int) -> list[dict[str, str]]:
    couple = bool(draw.random() < 0.35)
    afam = bool(draw.random() < 0.13)
    age = 66 + int(draw.gamma(1.6, 5.0))
    school = float(draw.normal(10.2 - 2.0 * afam, 3.4))
    income = float(np.exp(draw.normal(0.1 + 0.09 * (school - 10.0) + 0.5 * couple, 0.6)) - 0.15)
    male = bool(draw.random() < (0.5 if couple else 0.25))
    rows = []
    for member in range(1 + couple):
        years = int(np.clip(age + member * draw.integers(-4, 5), 66, 109))
        schooling = int(np.clip(round(school + 1.5 * draw.standard_normal()), 0, 18))
        frailty = float(draw.normal(0.03 * (years - 74) - 0.15 * np.log(max(income, 0.1)), 1.0))
        chronic = int(np.clip(draw.poisson(1.5 * np.exp(0.3 * frailty)), 0, 8))
        limited = frailty > 0.9
        chance = (
            -1.7
            - 1.8 * np.log(max(income, 0.1) + 0.3)
            + 0.7 * afam
            + 0.5 * limited
            - 0.1 * (schooling - 10)
            - 0.8 * couple
        )
        medicaid = bool(draw.random() < 1.0 / (1.0 + np.exp(-chance)))
        insured = bool(draw.random() < (0.2 if medicaid else 0.75 + 0.05 * min(income, 4.0)))
        rows.append(
            {
                "household": str(number),
                "visits": str(draw.poisson(5.0 * np.exp(0.35 * frailty))),
                "nvisits": str(draw.poisson(1.5) if draw.random() < 0.4 else 0),
                "ovisits": str(draw.poisson(2.0) if draw.random() < 0.2 else 0),
                "novisits": str(draw.poisson(2.0) if draw.random() < 0.1 else 0),
                "emergency": str(draw.poisson(0.25 * np.exp(0.5 * frailty))),
                "hospital": str(draw.poisson(0.25 * np.exp(0.5 * frailty))),
                "health": "poor" if frailty > 1.1 else "excellent" if frailty < -1.5 else "average",
                "chronic": str(chronic),
                "adl": "limited" if limited else "normal",
                "region": region,
                "age": f"{years / 10:.1f}",
                "afam": _word(afam),
                "gender": "male" if male ^ bool(member) else "female",
                "married": _word(couple),
                "school": str(schooling),
                "income": f"{income:.4f}",
                "employed": _word(bool(draw.random() < 0.12)),
                "insurance": _word(insured),
                "medicaid": _word(medicaid),
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
        flawed["income"][row] = ""
    for row in range(90, len(order), 2 * _MARKED):
        flawed["age"][row] = "19.9"
    return flawed
