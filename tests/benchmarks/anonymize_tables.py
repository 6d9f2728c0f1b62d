"""The tables that de-identification is measured on: Adult where it is there, one like it else, and the worst case."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from fl_tasks.anonymize.hierarchy import Hierarchy, build
from fl_tasks.anonymize.rules import by_rule
from fl_tasks.contracts.anonymize import DateHierarchy, RegionHierarchy
from tests.anonymize.tables import ADULT, adult, adult_hierarchies

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REDRAWN = 0.05


@dataclass(frozen=True)
class Table:
    """Columns as an agency has them, and what generalizes them.

    Attributes:
        source: Where the rows are from.
        columns: Quasi-identifier -> shape (n,): texts as objects, numbers, or days.
        numeric: Which are ordered by number.
        hierarchies: In the order of the columns.
    """

    source: str
    columns: dict[str, np.ndarray]
    numeric: frozenset[str]
    hierarchies: list[Hierarchy]

    @property
    def bytes(self) -> int:
        """Bytes of the columns' arrays; the texts that they point at are not counted."""
        return sum(column.nbytes for column in self.columns.values())


def ordinary(rows: int) -> Table:
    """Six quasi-identifiers: the first rows of Adult, or more by drawing them again with some values replaced."""
    source, base, hierarchies = _real() if (SHARED / "welfare").is_dir() else _made()
    size = len(base["age"])
    if rows <= size:
        columns = {name: column[:rows] for name, column in base.items()}
    else:
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, size, rows)
        columns = {}
        for name, column in base.items():
            columns[name] = column[drawn]
            other = rng.random(rows) < REDRAWN
            columns[name][other] = column[rng.integers(0, size, int(other.sum()))]
    return Table(source, columns, frozenset({"age"}), hierarchies)


def worst(rows: int) -> Table:
    """Nearly every row is unique: a day of birth and a postcode."""
    rng = np.random.default_rng(0)
    days = np.datetime64("1930-01-01") + rng.integers(0, 33_000, rows)
    codes = rng.integers(100_000, 860_000, rows)
    born = DateHierarchy(
        type="dates",
        first=dt.date(1930, 1, 1),
        last=dt.date(2020, 12, 31),
        levels=("month", "year", "five_years", "decade"),
    )
    code = RegionHierarchy(type="regions", digits=6, prefixes=(4, 3, 2, 1))
    hierarchies = [
        by_rule("born", born, np.unique(days).astype(str).tolist(), where="born"),
        by_rule("postcode", code, np.unique(codes).astype(str).tolist(), where="postcode"),
    ]
    return Table("generated", {"born": days, "postcode": codes}, frozenset({"born", "postcode"}), hierarchies)


@cache
def _real() -> tuple[str, dict[str, np.ndarray], list[Hierarchy]]:
    data = adult(SHARED)
    return "Adult", {name: data[name] for name in ADULT}, adult_hierarchies(SHARED)


@cache
def _made() -> tuple[str, dict[str, np.ndarray], list[Hierarchy]]:
    """30,000 rows with as many values and levels in each column as Adult has, frequent ones and rare ones."""
    rng = np.random.default_rng(0)
    columns, hierarchies = {}, []
    sizes = {"age": (73, (5, 10, 20, 40)), "sex": (2, ()), "race": (5, ()), "marital-status": (7, (4,)),
             "education": (16, (3, 6)), "native-country": (41, (10,))}  # fmt: skip
    for name, (size, widths) in sizes.items():
        first = 17 if name == "age" else 0
        values = [str(first + number) for number in range(size)]
        levels = [[f"{number // width}/{width}" for number in range(size)] for width in widths]
        hierarchies.append(build(name, [values, *levels, ["*"] * size], where=name))
        share = 1.0 / np.arange(1, size + 1)
        drawn = rng.choice(size, 30_000, p=share / share.sum())
        columns[name] = drawn + first if name == "age" else np.array(values, dtype=object)[drawn]
    return "made up", columns, hierarchies
