"""Made-up households of six regions, with the columns and flaws of the Austrian EU-SILC, and ids that a register has.

One law holds everywhere: who lives together decides who works, work decides the income, and the income, shared by the
household's needs, decides who is poor. So few at work for many to feed, no work, age, and citizenship from abroad
raise the risk, none of them by itself.

The flaws: children under 16 have no interview, and so neither status nor citizenship; children born after the
reference day are -1 years old; some rows stand twice; a few ages are impossible.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from fl_tasks.scenarios.persons import Persons

REGIONS = ("lower_austria", "salzburg", "styria", "tyrol", "upper_austria", "vorarlberg")

_HOUSEHOLDS = {
    "lower_austria": 560,
    "salzburg": 300,
    "styria": 480,
    "tyrol": 340,
    "upper_austria": 560,
    "vorarlberg": 270,
}
_TODAY = dt.date(2006, 12, 31)
_DIVISIONS = {
    "lower_austria": ("330106", "330212"),
    "salzburg": ("420106", "420502"),
    "styria": ("510104", "510703"),
    "tyrol": ("530102", "532901"),
    "upper_austria": ("440103", "440305"),
    "vorarlberg": ("350203", "350503"),
}
_INCOMES = ("py010n", "py050n", "py090n", "py100n")  # of employees, the self-employed, the unemployed, the old
_NO_INCOMES = ("py110n", "py120n", "py130n", "py140n", "hy040n", "hy070n", "hy080n", "hy090n", "hy110n", "hy130n")
_CHILD, _INTERVIEWED = 14, 16
_MARKED = 200  # every so many rows one stands twice, and one has an impossible age


@dataclass(frozen=True)
class _Member:
    age: int
    male: bool
    status: str
    income: tuple[float, ...]


def households(seed: int) -> dict[str, dict[str, list[str]]]:
    """Return each region's table: column -> cells; the same seed gives the same."""
    draws = np.random.SeedSequence(seed).spawn(len(REGIONS))
    found = {
        region: _region(np.random.Generator(np.random.PCG64(child)), number, region)
        for number, (region, child) in enumerate(zip(REGIONS, draws, strict=True))
    }
    incomes = np.concatenate([np.array(cells["eqIncome"], dtype=float) for cells in found.values()])
    line = 0.6 * float(np.median(incomes))
    return {
        region: _flawed({**cells, "poor_at_risk": [str(int(float(value) < line)) for value in cells["eqIncome"]]})
        for region, cells in found.items()
    }


def _region(draw: np.random.Generator, number: int, region: str) -> dict[str, list[str]]:
    cells: dict[str, list[str]] = {}
    rows: list[dict[str, str]] = []
    members: list[_Member] = []
    for place in range(1, _HOUSEHOLDS[region] + 1):
        household = 10_000 * (number + 1) + place
        citizenship = str(draw.choice(["AT", "EU", "Other"], p=[0.9, 0.03, 0.07]))
        together = _household(draw, citizenship)
        needs = 1.0 + sum(0.5 if member.age >= _CHILD else 0.3 for member in together[1:])
        allowance = 2_000.0 * sum(member.age < _INTERVIEWED for member in together)
        total = allowance + sum(sum(member.income) for member in together)
        for one, member in enumerate(together, start=1):
            interviewed = member.age >= _INTERVIEWED
            rows.append(
                {
                    "db030": str(household),
                    "hsize": str(len(together)),
                    "db040": region.replace("_", " ").title(),
                    "rb030": str(100 * household + one),
                    "age": str(member.age),
                    "rb090": "male" if member.male else "female",
                    "pl030": member.status,
                    "pb220a": citizenship if interviewed else "",
                    **{
                        column: f"{value:.2f}" if interviewed else ""
                        for column, value in zip(_INCOMES, member.income, strict=True)
                    },
                    **dict.fromkeys(_NO_INCOMES, "0.0"),
                    "hy050n": f"{allowance:.2f}",
                    "hy145n": "-0.0",
                    "eqSS": f"{needs:.1f}",
                    "eqIncome": f"{total / needs:.2f}",
                    "db090": "500.0",
                    "rb050": "500.0",
                }
            )
            members.append(member)
    cells = {column: [row[column] for row in rows] for column in rows[0]}
    persons = Persons(int(draw.integers(2**31)))
    identifying = persons.columns(
        [member.male for member in members],
        [member.age for member in members],
        today=_TODAY,
        divisions=_DIVISIONS[region],
    )
    return {**cells, **identifying}


def _household(draw: np.random.Generator, citizenship: str) -> list[_Member]:
    kind = draw.choice(6, p=[0.14, 0.16, 0.16, 0.16, 0.28, 0.10])
    old = kind < 2
    head = int(draw.integers(62, 92) if old else draw.integers(22, 62))
    couple = kind in (1, 3, 4)
    children = int(draw.choice([1, 2, 3, 4], p=[0.4, 0.38, 0.16, 0.06])) if kind in (4, 5) else 0
    first_male = bool(draw.random() < (0.3 if kind == 5 else 0.6))
    grown = [(head, first_male)] + ([(max(18, head + int(draw.integers(-6, 7))), not first_male)] if couple else [])
    together = [_adult(draw, age, male, citizenship, children) for age, male in grown]
    for _ in range(children):
        age = int(np.clip(head - draw.integers(20, 38), -1, 24))
        male = bool(draw.random() < 0.5)
        # Most of the young who live with their parents learn.
        learns = age >= _INTERVIEWED and draw.random() < 0.75
        if learns or age < _INTERVIEWED:
            together.append(_Member(age, male, "4" if learns else "", (0.0, 0.0, 0.0, 0.0)))
        else:
            together.append(_adult(draw, age, male, citizenship, 0))
    return together


def _adult(draw: np.random.Generator, age: int, male: bool, citizenship: str, children: int) -> _Member:
    """Draw somebody's status and incomes; both depend on age, sex, children and citizenship."""
    abroad = citizenship == "Other"
    if age >= 62 or (age >= 57 and draw.random() < 0.5):
        status = "5" if male or draw.random() < 0.85 else "7"
    else:
        home = 0.05 if male else 0.10 + 0.12 * min(children, 3)
        status = str(
            draw.choice(
                ["3", "6", "7", "2", "1"],
                p=(shares := np.array([0.05 + 0.06 * abroad, 0.03, home, 0.06 + 0.2 * (not male), 1.0])) / shares.sum(),
            )
        )
    scale = float(np.exp(0.35 * draw.standard_normal())) * (0.72 if abroad else 1.0)
    wage, pension, benefit = 21_000.0 * (0.8 + 0.006 * min(age, 60)) * scale, 15_500.0 * scale, 7_000.0 * scale
    own_account = draw.random() < 0.08
    earned = {"1": wage, "2": 0.5 * wage}.get(status, 0.0)
    income = (
        0.0 if own_account else earned,
        # Who works on their own account earns more or much less.
        earned * float(np.exp(0.6 * draw.standard_normal())) * own_account,
        benefit if status == "3" else 0.0,
        pension if status in ("5", "6") else 0.0,
    )
    return _Member(age, male, status, income)


def _flawed(cells: dict[str, list[str]]) -> dict[str, list[str]]:
    """Let some rows stand twice, and give some an age that nobody has."""
    rows = len(cells["age"])
    order = sorted([*range(rows), *range(50, rows, _MARKED)])
    flawed = {column: [values[row] for row in order] for column, values in cells.items()}
    for row in range(120, len(order), _MARKED):
        flawed["age"][row] = "199"
    return flawed
