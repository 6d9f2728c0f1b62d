"""medical_medicaid: four regional offices learn together which of the elderly are covered by Medicaid.

Examples: age, sex, ethnicity, marriage and years of school, as far as they are generalized, health, chronic
conditions, visits to doctors and hospitals, income, work, and private insurance. Medicaid is granted by need, so
income says much; who is covered is not computed from it, nor from anything else in the schema.
Data: the US National Medical Expenditure Survey, 1987 and 1988, persons of 66 and older (split_real), or made-up
persons with the same columns and flaws (generate). The survey has three regions, two offices are the halves of the
largest one.
"""

from __future__ import annotations

from pathlib import Path

from fl_tasks.contracts.errors import InputError
from fl_tasks.scenarios.class_metrics import majority, metrics, pool, pool_scaled, probabilities
from fl_tasks.scenarios.classifier import build_model, loss, shapes
from fl_tasks.scenarios.deliveries import Delivery, chosen, halves, read_cells, runs, written
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.medicaid_generator import elderly
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

DEMO_INTERVAL_END = "1989-01-01"
"""The survey ended in 1988."""

DEMO_ROUNDS = 4

FILE = "incoming/elderly.csv.gz"
"""Where an office's file goes, relative to its agency's folder."""

_REAL_FILE = "nmes1988_elderly_medicaid.csv.gz"
_COLUMNS = (
    "visits",
    "nvisits",
    "ovisits",
    "novisits",
    "emergency",
    "hospital",
    "health",
    "chronic",
    "adl",
    "region",
    "age",
    "afam",
    "gender",
    "married",
    "school",
    "income",
    "employed",
    "insurance",
    "medicaid",
)
# What each office calls things; their YAMLs say the same the other way round. The survey gives age in decades and
# income in ten thousands of dollars.
_DELIVERIES = {
    "elderly_northeast": Delivery(factors={"income": 10_000, "age": 10}),
    "elderly_west": Delivery(factors={"income": 10}, codes={"gender": {"male": "M", "female": "F"}}),
    "elderly_other_first": Delivery(
        names={"age": "年龄", "gender": "性别", "income": "收入", "medicaid": "医疗救助"},
        codes={"gender": {"male": "男", "female": "女"}, "medicaid": {"yes": "是", "no": "否"}},
        encoding="gb18030",
    ),
}


def generate(seed: int) -> Files:
    """Return four offices' files of made-up persons; the same seed gives the same bytes."""
    return {
        office: {FILE: written(cells, _DELIVERIES.get(office, Delivery()))} for office, cells in elderly(seed).items()
    }


def split_real(data: Path) -> Files:
    """Return each office's rows of the survey, with numbers of person and household.

    A person's number is that of the row. The survey names no households, but spouses stand together and have one
    income: neighbours of one region and one income count as one household, which is never cut. `other`, the largest of
    the three regions (the midwest and the south), is two offices: the first half of its rows and the second.

    Args:
        data: A folder with `welfare/`, or with the files of `welfare/` themselves.

    Raises:
        InputError: If the folder, the file or a column is missing, the file is malformed, or a region has no row.
    """
    path = welfare_folder(data) / _REAL_FILE
    cells = read_cells(path, _COLUMNS)
    households = runs(cells, ("region", "income"))
    numbered = {"person": [str(row) for row in range(1, len(households) + 1)], "household": households, **cells}
    other = halves(_rows(cells, "other", path), households)
    offices = {
        "elderly_northeast": _rows(cells, "northeast", path),
        "elderly_other_first": other[0],
        "elderly_other_second": other[1],
        "elderly_west": _rows(cells, "west", path),
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
