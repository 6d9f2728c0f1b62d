"""welfare: six regions learn together which persons are at risk of poverty.

Examples: a person's age, sex, household size and citizenship, as far as they are generalized, the economic status, and
how many of the household work. The target is whether the household's income by head is below 60 % of the nation's
median; no income, and nothing that is computed from one, is in the schema.
Data: the Austrian EU-SILC by region (split_real), or made-up persons with the same columns and flaws (generate).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fl_tasks.scenarios.class_metrics import majority, metrics, pool, pool_scaled, probabilities
from fl_tasks.scenarios.classifier import build_model, loss, shapes
from fl_tasks.scenarios.deliveries import Cells, Delivery, read_cells, written
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.real_data import welfare_folder
from fl_tasks.scenarios.welfare_generator import REGIONS, households

__all__ = [
    "DEMO_INTERVAL_END",
    "DEMO_ROUNDS",
    "build_model",
    "generate",
    "loss",
    "majority",
    "metrics",
    "pool",
    "pool_scaled",
    "probabilities",
    "shapes",
    "split_real",
]

DEMO_INTERVAL_END = "2007-01-01"
"""The survey speaks of 2006."""

DEMO_ROUNDS = 4

FILE = "incoming/persons.csv.gz"
"""Where a region's file goes, relative to its agency's folder."""

_AT_WORK = ("1", "2")  # pl030: full time and part time
_STATUS = {
    "1": "full_time",
    "2": "part_time",
    "3": "unemployed",
    "4": "education",
    "5": "retired",
    "6": "disabled",
    "7": "domestic",
}
# What each region calls things; their YAMLs say the same the other way round.
_DELIVERIES = {
    "styria": Delivery(
        names={"db030": "户号", "rb030": "人员编号", "age": "年龄", "rb090": "性别", "hsize": "家庭人口"},
        codes={"rb090": {"male": "男", "female": "女"}},
        encoding="gb18030",
    ),
    "upper_austria": Delivery(
        names={
            "db030": "household",
            "rb030": "person",
            "rb090": "sex",
            "hsize": "household_size",
            "pl030": "economic_status",
            "pb220a": "citizenship",
            "poor_at_risk": "poor",
        },
        codes={"pl030": _STATUS, "poor_at_risk": {"0": "no", "1": "yes"}},
    ),
    "tyrol": Delivery(codes={"rb090": {"male": "1", "female": "2"}}),
    "salzburg": Delivery(codes={"pl030": {"": "NA"}, "pb220a": {"": "NA"}}),
}


def generate(seed: int) -> Files:
    """Return six regions' files of made-up persons; the same seed gives the same bytes."""
    return {region: {FILE: _delivered(region, cells)} for region, cells in households(seed).items()}


def split_real(data: Path) -> Files:
    """Return each region's file as its agency delivers it, all rows and columns of the survey in it.

    Args:
        data: A folder with `welfare/`, or with the files of `welfare/` themselves.

    Raises:
        InputError: If the folder, a file or a column is missing, or a file is malformed.
    """
    folder = welfare_folder(data)
    needs = ("db030", "rb030", "age", "rb090", "hsize", "pl030", "pb220a", "poor_at_risk")
    return {
        region: {FILE: _delivered(region, read_cells(folder / f"eusilc_{region}.csv.gz", needs))} for region in REGIONS
    }


def _delivered(region: str, cells: Cells) -> bytes:
    """Write a region's file, with one more column: how many of the person's household work."""
    persons = set(zip(cells["db030"], cells["rb030"], cells["pl030"], strict=True))  # a repeated row counts once
    at_work = Counter(household for household, _, status in persons if status in _AT_WORK)
    workers = [str(at_work[household]) for household in cells["db030"]]
    return written({**cells, "workers": workers}, _DELIVERIES.get(region, Delivery()))
