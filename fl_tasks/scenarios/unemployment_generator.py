"""Made-up displaced workers of eight states, with the columns and flaws of the real survey, and ids of a register.

One law holds everywhere: who held a job long and lost it because there was no work claims insurance more often than
who was there a year or left otherwise; it pays more to claim where the benefit replaces more of the wage, and more
claim when many are out of work. Age and tenure, marriage and children, wage and replacement rate hang together.

The flaws: how long a job was held is missing here and there, some rows stand twice, a few ages are impossible.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from fl_tasks.scenarios.persons import Persons

STATES = {
    "state_florida": "59",
    "state_illinois": "33",
    "state_massachusetts": "14",
    "state_new_jersey": "22",
    "state_new_york": "21",
    "state_north_carolina": "56",
    "state_ohio": "31",
    "state_texas": "74",
}
"""Agency -> code of its state in the survey: the states with at least 140 rows."""

_ROWS = 300
_TODAY = dt.date(1991, 12, 31)
_DIVISIONS = ("110105", "310115", "320106", "370102", "440305")
_REASONS = ("slack_work", "position_abolished", "seasonal_job_ended", "other")
_SEEN_AS = (0.9, 0.6, 0.2, -0.7)  # how much each reason speaks for a claim
_MARKED = 60  # every so many rows one stands twice, one has no tenure, one an impossible age


def claimants(seed: int) -> dict[str, dict[str, list[str]]]:
    """Return each state's table: column -> cells; the same seed gives the same."""
    draws = np.random.SeedSequence(seed).spawn(len(STATES))
    return {
        state: _state(np.random.Generator(np.random.PCG64(child)), state, 1000 * number)
        for number, (state, child) in enumerate(zip(STATES, draws, strict=True), start=1)
    }


def _state(draw: np.random.Generator, state: str, first: int) -> dict[str, list[str]]:
    def yes(share: float | NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(draw.random(_ROWS) < share)

    age = np.clip(np.round(20 + draw.gamma(2.2, 7.5, _ROWS)), 20, 61)
    male, nonwhite, city = yes(0.75), yes(draw.uniform(0.08, 0.3)), yes(draw.uniform(0.45, 0.85))
    married = yes(np.clip(0.25 + 0.015 * (age - 20), 0.0, 0.75))
    children = yes(np.where(married, 0.65, 0.25) * (age < 52))
    tenure = np.clip(np.round(draw.gamma(1.1, 1.0 + 0.22 * (age - 18))), 1, 40)
    reason = draw.choice(4, size=_ROWS, p=[0.47, 0.09, 0.04, 0.40])
    year = draw.integers(1, 11, _ROWS)
    rate = np.round(np.clip(7.5 + draw.normal(0, 1.0) + 2.0 * np.cos(year / 3.0), 2.5, 15.0), 1)
    benefit = np.round(120 + 8.0 * year + draw.normal(0, 15))
    wage = (260 + 3.5 * (age - 20) + 60 * male + 4 * tenure) * np.exp(0.3 * draw.standard_normal(_ROWS))
    replaced = np.clip(np.minimum(0.5 * wage, benefit) / wage, 0.05, 0.69)
    chance = (
        -1.0
        + np.array(_SEEN_AS)[reason]
        + 0.5 * np.minimum(tenure, 8) / 2
        + 1.5 * (replaced - 0.4)
        + 0.12 * (rate - 7.5)
        + 0.3 * married
        - 0.35 * nonwhite
        + 0.3 * male
    )
    received = yes(1.0 / (1.0 + np.exp(-chance)))
    numbers: dict[str, NDArray[np.generic]] = {"stateur": rate, "statemb": benefit, "age": age, "tenure": tenure}
    flags = {
        "nwhite": nonwhite,
        "school12": yes(0.2),
        "bluecol": yes(1.1),
        "smsa": city,
        "married": married,
        "dkids": children,
        "dykids": children & yes(0.55) & (age < 42),
        "head": yes(np.where(male, 0.8, 0.35)),
        "ui": received,
    }
    cells = {
        "claimant": [str(first + row) for row in range(_ROWS)],
        "state": [STATES[state]] * _ROWS,
        **{name: [f"{value:g}" for value in values.tolist()] for name, values in numbers.items()},
        "joblost": [_REASONS[one] for one in reason.tolist()],
        "sex": ["male" if one else "female" for one in male.tolist()],
        **{name: ["yes" if one else "no" for one in values.tolist()] for name, values in flags.items()},
        "yrdispl": [str(one) for one in year.tolist()],
        "rr": [f"{one:.6f}" for one in replaced.tolist()],
        **Persons(int(draw.integers(2**31))).columns(
            male.tolist(), age.astype(int).tolist(), today=_TODAY, divisions=_DIVISIONS
        ),
    }
    return _flawed(cells)


def _flawed(cells: dict[str, list[str]]) -> dict[str, list[str]]:
    order = sorted([*range(_ROWS), *range(25, _ROWS, _MARKED)])
    flawed = {column: [values[row] for row in order] for column, values in cells.items()}
    for row in range(10, len(order), _MARKED):
        flawed["tenure"][row] = ""
    flawed["age"][40] = "199"
    return flawed
