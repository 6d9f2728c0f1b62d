"""welfare_unemployment: eight states learn together which displaced workers receive unemployment insurance.

Examples: a displaced worker's age, sex, race, marriage and city, as far as they are generalized, why and when the job
was lost, how long it was held, who depends on it, and what the state pays and how many are out of work there.
Data: the Displaced Worker Supplements to the US Current Population Survey (split_real), or made-up claimants with the
same columns and flaws (generate).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fl_tasks.contracts.errors import InputError
from fl_tasks.scenarios.class_metrics import majority, metrics, pool, pool_scaled, probabilities
from fl_tasks.scenarios.classifier import build_model, loss, shapes
from fl_tasks.scenarios.deliveries import Delivery, chosen, read_cells, written
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.real_data import welfare_folder
from fl_tasks.scenarios.unemployment_generator import STATES, claimants

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

DEMO_INTERVAL_END = "1992-01-01"
"""The last of the supplements is of 1991."""

DEMO_ROUNDS = 4

FILE = "incoming/claimants.csv.gz"
"""Where a state's file goes, relative to its agency's folder."""

_REAL_FILE = "us_unemployment_benefits_by_state.csv.gz"
_COLUMNS = (
    "state",
    "age",
    "tenure",
    "joblost",
    "nwhite",
    "school12",
    "sex",
    "smsa",
    "married",
    "dkids",
    "dykids",
    "yrdispl",
    "rr",
    "head",
    "stateur",
    "statemb",
    "ui",
)
_SHORT: Mapping[str, str] = {"yes": "Y", "no": "N"}
# What each state calls things; their YAMLs say the same the other way round.
_DELIVERIES = {
    "state_texas": Delivery(factors={"tenure": 12}),  # in months
    "state_florida": Delivery(codes=dict.fromkeys(("nwhite", "married", "smsa", "head", "ui"), _SHORT)),
    "state_massachusetts": Delivery(
        names={"claimant": "编号", "age": "年龄", "sex": "性别", "married": "已婚", "ui": "领取失业保险"},
        codes={"sex": {"male": "男", "female": "女"}, "married": {"yes": "是", "no": "否"}},
        encoding="gb18030",
    ),
    "state_ohio": Delivery(
        codes={"joblost": {"slack_work": "1", "position_abolished": "2", "seasonal_job_ended": "3", "other": "4"}}
    ),
}


def generate(seed: int) -> Files:
    """Return eight states' files of made-up claimants; the same seed gives the same bytes."""
    return {
        state: {FILE: written(cells, _DELIVERIES.get(state, Delivery()))} for state, cells in claimants(seed).items()
    }


def split_real(data: Path) -> Files:
    """Return the rows of each state of STATES, those with at least 140, with a claimant's number: that of the row.

    Args:
        data: A folder with `welfare/`, or with the files of `welfare/` themselves.

    Raises:
        InputError: If the folder, the file or a column is missing, the file is malformed, or a state has no row.
    """
    path = welfare_folder(data) / _REAL_FILE
    cells = read_cells(path, _COLUMNS)
    cells = {"claimant": [str(row) for row in range(1, len(cells["state"]) + 1)], **cells}
    files: Files = {}
    for state, code in STATES.items():
        rows = [row for row, found in enumerate(cells["state"]) if found == code]
        if not rows:
            raise InputError(f"{path}: column 'state': no row of {state}; the whole file is needed")
        files[state] = {FILE: written(chosen(cells, rows), _DELIVERIES.get(state, Delivery()))}
    return files
