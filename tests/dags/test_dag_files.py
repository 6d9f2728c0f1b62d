"""What Airflow sees of the DAG files: they import, route to the right queue, do no work when parsed."""

import copy
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction
from fl_airflow.graph import retraining_graph
from fl_airflow.installation import DAGS_FOLDER, FEDERATION, REPOSITORY, retraining_dag_id
from fl_airflow.operator import FLStageOperator

from fl_tasks.contracts.config import load_federation

SCENARIO = "traffic_districts"
CONFIG = load_federation(FEDERATION)


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(DAGS_FOLDER))


@pytest.fixture(scope="module")
def dag(bag):
    return bag.dags[retraining_dag_id(SCENARIO)]


def set_params(params: ParamsDict, value: dict) -> None:
    params.update(value)
    params.validate()


def test_every_dag_file_imports_without_an_error(bag):
    assert bag.import_errors == {}


def test_every_scenario_has_its_retraining_dag(bag):
    assert {retraining_dag_id(scenario) for scenario in CONFIG.scenarios} <= set(bag.dags)


def test_every_dag_file_is_short_and_found_by_airflow():
    for file in DAGS_FOLDER.glob("*.py"):
        text = file.read_text()
        assert len(text.splitlines()) <= 60
        assert "airflow" in text
        assert "dag" in text


def test_the_dag_is_the_graph(dag):
    graph = retraining_graph(
        [agency.agency for agency in CONFIG.members(SCENARIO)], CONFIG.scenarios[SCENARIO].rounds.groups
    )
    assert {task.task_id for task in dag.tasks} == {node.task_id for node in graph}
    for node in graph:
        task = dag.get_task(node.task_id)
        assert task.upstream_task_ids == set(node.upstream)
        assert task.trigger_rule == node.rule


def test_agency_tasks_run_only_on_their_own_queue(dag):
    for task in dag.tasks:
        agency = getattr(task, "agency", None)
        expected = "default" if agency is None else CONFIG.agencies[agency].queue
        assert task.queue == expected
    stages = [task for task in dag.tasks if isinstance(task, FLStageOperator) and task.agency is not None]
    assert {task.agency for task in stages} == {agency.agency for agency in CONFIG.members(SCENARIO)}


def test_the_verdict_alone_decides_the_colour_of_a_run(dag):
    assert [task.task_id for task in dag.leaves] == ["verdict"]


def test_tasks_carry_the_scenarios_retries_timeout_and_owner(dag):
    tasks = CONFIG.scenarios[SCENARIO].tasks
    for task in dag.tasks:
        assert task.owner == tasks.owner
        assert task.retries == tasks.retries
        assert task.retry_delay == timedelta(seconds=tasks.retry_delay_seconds)
        assert task.retry_exponential_backoff == 2
        assert task.execution_timeout == timedelta(minutes=tasks.timeout_minutes)


def test_the_schedule_has_a_data_interval_in_the_scenarios_zone(dag):
    schedule = CONFIG.scenarios[SCENARIO].schedule
    timetable = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    first = timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(dag.start_date, None, catchup=True),
    )
    start, end = first.data_interval
    assert [time.in_timezone(schedule.timezone).isoformat() for time in (start, end)] == [
        "2012-03-01T00:00:00-08:00",
        "2012-04-01T00:00:00-07:00",
    ]
    assert dag.max_active_runs == schedule.max_active_runs
    assert dag.catchup == schedule.catchup


@pytest.mark.parametrize(
    "value",
    [
        {"rounds": 1},
        {"rounds": 10},
        {"agencies": ["district_northeast"]},
        {"interval": ["2012-03-01", "2012-04-01T00:00:00-07:00"]},
    ],
)
def test_parameters_that_reduce_a_run_are_taken(dag, value):
    set_params(copy.deepcopy(dag.params), value)


@pytest.mark.parametrize(
    "value",
    [
        {"rounds": 0},
        {"rounds": 11},
        {"rounds": "3"},
        {"agencies": []},
        {"agencies": ["somebody_else"]},
        {"agencies": ["district_northeast", "district_northeast"]},
        {"interval": ["2012-03-01"]},
        {"interval": ["2012-03-01; rm -rf /", "2012-04-01"]},
    ],
)
def test_parameters_that_do_not_only_reduce_a_run_are_refused(dag, value):
    with pytest.raises(ParamValidationError):
        set_params(copy.deepcopy(dag.params), value)


def test_parsing_reads_yaml_only_and_imports_nothing_heavy():
    script = """
import json, sys
opened = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and watch:
        opened.append(str(arguments[0]))
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.exec")) and watch:
        opened.append(event)
watch = False
sys.addaudithook(hook)
import airflow.sdk, airflow.providers.standard.operators.empty
from airflow.dag_processing.dagbag import DagBag
import types
watch = True
module = types.ModuleType("federated_retraining")
module.__file__ = FILE
exec(compile(source, FILE, "exec"), module.__dict__)
watch = False
heavy = ("pandas", "numpy", "tensorflow", "great_expectations", "pyarrow")
print(json.dumps({"opened": opened, "heavy": [name for name in heavy if name in sys.modules]}))
"""
    file = DAGS_FOLDER / "federated_retraining.py"
    head = f"FILE = {str(file)!r}\nsource = {file.read_text()!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + script], capture_output=True, text=True, check=True, env=os.environ, timeout=120
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heavy"] == []
    code = (".py", ".pyc", ".so", ".pyi", "METADATA", "entry_points.txt")
    read = {
        path for path in found["opened"] if not path.endswith(code) and str(REPOSITORY) in path and ".venv" not in path
    }
    assert read
    assert {path for path in read if not path.endswith(".yaml")} == set()
    assert not [event for event in found["opened"] if event.startswith(("socket.", "subprocess.", "os."))]
