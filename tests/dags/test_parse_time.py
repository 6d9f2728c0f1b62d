"""The scheduler reads the DAG folder again and again: a large federation must not slow it down."""

import copy
import shutil
from pathlib import Path

import yaml
from airflow.dag_processing.dagbag import DagBag
from fl_airflow.installation import DAGS_FOLDER, FEDERATION

from tests.calls import counted

SCENARIOS, ROUNDS = 4, 10
MOST_CALLS = 600


def make(folder: Path, agencies: int) -> None:
    """Make a DAG folder with a federation of the repository's own scenario and agency, many times."""
    scenario = yaml.safe_load((FEDERATION / "scenarios" / "traffic_districts.yaml").read_text())
    agency = yaml.safe_load((FEDERATION / "agencies" / "district_northeast.yaml").read_text())
    for file in DAGS_FOLDER.glob("*.py"):
        shutil.copy(file, folder)
    for name in ("scenarios", "agencies"):
        (folder / "federation" / name).mkdir(parents=True)
    names = [f"scenario_{i}" for i in range(SCENARIOS)]
    for name in names:
        config = scenario | {"scenario": name, "rounds": {"wanted": ROUNDS, "spare": 0}}
        (folder / "federation" / "scenarios" / f"{name}.yaml").write_text(yaml.safe_dump(config))
    source = agency["scenarios"]["traffic_districts"]
    for i in range(agencies):
        name = f"agency_{i:02d}"
        config = agency | {"agency": name, "queue": name, "scenarios": {n: copy.deepcopy(source) for n in names}}
        (folder / "federation" / "agencies" / f"{name}.yaml").write_text(yaml.safe_dump(config))


def calls_a_task(folder: Path, agencies: int) -> float:
    """Parse the folder of a federation; gives how many functions were called for each task."""
    make(folder, agencies)
    bag, calls = counted(lambda: DagBag(str(folder)))
    assert bag.import_errors == {}
    assert len(bag.dags) == 4 * SCENARIOS
    tasks = sum(len(dag.tasks) for dag in bag.dags.values())
    assert tasks > SCENARIOS * agencies * (8 + 3 * ROUNDS)
    return calls / tasks


def test_a_task_costs_as_little_in_a_large_federation_as_in_a_small_one(tmp_path):
    DagBag(str(DAGS_FOLDER))  # imports are not part of it
    small, large = (tmp_path / name for name in ("small", "large"))
    small.mkdir()
    large.mkdir()
    few, many = calls_a_task(small, 10), calls_a_task(large, 50)
    print(f"calls a task: {few:.0f} with 10 agencies, {many:.0f} with 50")
    assert few < MOST_CALLS
    assert many < 1.05 * few
