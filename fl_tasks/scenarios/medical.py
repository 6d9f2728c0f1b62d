"""medical: four regional offices learn together who holds health insurance.

Examples: an adult's age, sex, ethnicity, marriage, size of the family and education, as far as they are generalized,
state of health, limits to activity, and whether the person works on their own account.
Data: the US Medical Expenditure Panel Survey of 1996 (split_real), or made-up persons with the same columns and flaws
(generate). The survey has three regions, two offices are the halves of the largest one.
"""

from __future__ import annotations

from pathlib import Path

from fl_tasks.contracts.errors import InputError
from fl_tasks.scenarios.class_metrics import majority, metrics, pool, pool_scaled, probabilities
from fl_tasks.scenarios.classifier import build_model, loss, shapes
from fl_tasks.scenarios.deliveries import Delivery, chosen, halves, read_cells, runs, written
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.medical_generator import insured
from fl_tasks.scenarios.real_data import welfare_folder

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

DEMO_INTERVAL_END = "1997-01-01"
"""The survey speaks of 1996."""

DEMO_ROUNDS = 4

FILE = "incoming/insured.csv.gz"
"""Where an office's file goes, relative to its agency's folder."""

_REAL_FILE = "health_insurance_us.csv.gz"
_COLUMNS = (
    "health",
    "age",
    "limit",
    "gender",
    "insurance",
    "married",
    "selfemp",
    "family",
    "region",
    "ethnicity",
    "education",
)
_NUMBERS = {"yes": "1", "no": "0"}
# What each office calls things; their YAMLs say the same the other way round.
_DELIVERIES = {
    "insurance_midwest": Delivery(
        names={"age": "年龄", "gender": "性别", "education": "学历", "insurance": "医疗保险"},
        codes={"gender": {"male": "男", "female": "女"}, "insurance": {"yes": "有", "no": "无"}},
        encoding="gb18030",
    ),
    "insurance_northeast": Delivery(
        codes={
            **dict.fromkeys(("health", "limit", "married", "insurance"), _NUMBERS),
            "gender": {"male": "M", "female": "F"},
        }
    ),
    "insurance_south_first": Delivery(
        names={
            "gender": "sex",
            "health": "healthy",
            "limit": "limited",
            "selfemp": "self_employed",
            "insurance": "insured",
        }
    ),
}


def generate(seed: int) -> Files:
    """Return four offices' files of made-up persons; the same seed gives the same bytes."""
    return {
        office: {FILE: written(cells, _DELIVERIES.get(office, Delivery()))} for office, cells in insured(seed).items()
    }


def split_real(data: Path) -> Files:
    """Return each office's rows of the survey, with numbers of person and household.

    A person's number is that of the row. The survey names no households, but their members stand together: neighbours
    of one region with one size of family count as one household, which is never cut. The south, the largest of the
    three regions, is two offices: the first half of its rows and the second.

    Args:
        data: A folder with `welfare/`, or with the files of `welfare/` themselves.

    Raises:
        InputError: If the folder, the file or a column is missing, the file is malformed, or a region has no row.
    """
    path = welfare_folder(data) / _REAL_FILE
    cells = read_cells(path, _COLUMNS)
    households = runs(cells, ("region", "family"))
    numbered = {"person": [str(row) for row in range(1, len(households) + 1)], "household": households, **cells}
    south = halves(_rows(cells, "south", path), households)
    offices = {
        "insurance_midwest": _rows(cells, "midwest", path),
        "insurance_northeast": _rows(cells, "northeast", path),
        "insurance_south_first": south[0],
        "insurance_south_second": south[1],
    }
    return {
        office: {FILE: written(chosen(numbered, rows), _DELIVERIES.get(office, Delivery()))}
        for office, rows in offices.items()
    }


def _rows(cells: dict[str, list[str]], region: str, path: Path) -> list[int]:
    rows = [row for row, found in enumerate(cells["region"]) if found == region]
    if not rows:
        raise InputError(f"{path}: column 'region': no row of {region}; the whole file is needed")
    return rows
