"""What Airflow sees of the DAG files: they import, route to the right queue, do no work when parsed."""

import copy
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronDataIntervalTimetable, RetryAction
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction
from fl_airflow.assets import global_model
from fl_airflow.dag_builder import build_retraining_dag
from fl_airflow.edge import AGENCIES_COME, EDGE_EXECUTOR
from fl_airflow.graph import OFFICERS, Node, forecast_graph, retraining_graph, rollback_graph, watch_graph
from fl_airflow.installation import (
    DAGS_FOLDER,
    FEDERATION,
    REPOSITORY,
    forecast_dag_id,
    retraining_dag_id,
    rollback_dag_id,
    watch_dag_id,
)
from fl_airflow.notifier import RedRunNotifier
from fl_airflow.operator import FLStageOperator
from fl_airflow.retry_policy import StageCrashed, StageNotReady

from fl_tasks.contracts.config import load_federation

SCENARIO = "traffic_districts"
CONFIG = load_federation(FEDERATION)
MEMBERS = [agency.agency for agency in CONFIG.members(SCENARIO)]
GRAPHS = {
    retraining_dag_id(SCENARIO): retraining_graph(MEMBERS, CONFIG.scenarios[SCENARIO].rounds.groups, planned=True),
    forecast_dag_id(SCENARIO): forecast_graph(MEMBERS),
    rollback_dag_id(SCENARIO): rollback_graph(),
    # What starts the retraining is no stage.
    watch_dag_id(SCENARIO): (*watch_graph(MEMBERS), Node("retrain", None, ("drift",))),
}


def test_a_task_s_process_makes_the_dag_of_its_task_only(monkeypatch):
    wanted = forecast_dag_id(SCENARIO)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", wanted)  # as Airflow sets it there
    assert list(DagBag(str(DAGS_FOLDER)).dags) == [wanted]


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(DAGS_FOLDER))


@pytest.fixture(scope="module")
def dag(bag):
    return bag.dags[retraining_dag_id(SCENARIO)]


@pytest.fixture(scope="module", params=GRAPHS)
def any_dag(request, bag):
    return bag.dags[request.param]


def set_params(params: ParamsDict, value: dict) -> None:
    params.update(value)
    params.validate()


def test_every_dag_file_imports_without_an_error(bag):
    assert bag.import_errors == {}


def test_every_scenario_has_its_four_dags_and_there_are_no_others(bag):
    ids = (retraining_dag_id, forecast_dag_id, rollback_dag_id, watch_dag_id)
    assert set(bag.dags) == {dag_id(scenario) for scenario in CONFIG.scenarios for dag_id in ids}


def test_a_watch_is_daily_and_starts_the_scenarios_own_retraining(bag):
    dag = bag.dags[watch_dag_id(SCENARIO)]
    assert CONFIG.scenarios[SCENARIO].drift.cron == "@daily"
    assert dag.schedule == CronDataIntervalTimetable("@daily", timezone=CONFIG.scenarios[SCENARIO].schedule.timezone)
    assert [task.task_id for task in dag.leaves] == ["retrain"]
    assert dag.get_task("retrain").trigger_dag_id == retraining_dag_id(SCENARIO)


def test_every_dag_file_is_short_and_found_by_airflow():
    for file in DAGS_FOLDER.glob("*.py"):
        text = file.read_text()
        assert len(text.splitlines()) <= 60
        assert "airflow" in text
        assert "dag" in text


def test_the_dag_is_the_graph(any_dag):
    graph = GRAPHS[any_dag.dag_id]
    assert {task.task_id for task in any_dag.tasks} == {node.task_id for node in graph}
    for node in graph:
        task = any_dag.get_task(node.task_id)
        assert task.upstream_task_ids == set(node.upstream)
        assert task.trigger_rule == node.rule


def test_agency_tasks_run_only_on_their_own_queue(any_dag):
    for task in any_dag.tasks:
        agency = getattr(task, "agency", None)
        expected = "default" if agency is None else CONFIG.agencies[agency].queue
        assert task.queue == expected
    with_agency = {task.agency for task in any_dag.tasks if isinstance(task, FLStageOperator)} - {None}
    assert with_agency == (set() if any_dag.dag_id == rollback_dag_id(SCENARIO) else set(MEMBERS))


def test_no_task_of_an_agency_does_what_the_gate_would_refuse(any_dag):
    """It updates and reads no asset, and skips no other task; a whole federation's runs hold the rest."""
    of_agencies = [task for task in any_dag.tasks if getattr(task, "agency", None) is not None]
    assert of_agencies or any_dag.dag_id == rollback_dag_id(SCENARIO)
    for task in of_agencies:
        assert (task.inlets, task.outlets, task.skips, task.approval) == ([], [], (), None)


def test_tasks_that_train_share_the_scenarios_pool_and_no_others_do(any_dag):
    training = CONFIG.scenarios[SCENARIO].tasks.training_pool
    assert training != "default_pool"
    for task in any_dag.tasks:
        trains = getattr(task, "stage", None) in ("train", "evaluate")
        assert task.pool == (training if trains else "default_pool")


def test_agencies_on_machines_of_their_own_do_not_wait_for_each_other(monkeypatch):
    monkeypatch.setenv(AGENCIES_COME, "1")
    agencies = CONFIG.members(SCENARIO)
    dag = build_retraining_dag(CONFIG.scenarios[SCENARIO], agencies, federation=FEDERATION)
    assert {task.pool for task in dag.tasks} == {"default_pool"}
    for task in dag.tasks:
        assert task.executor == (None if getattr(task, "agency", None) is None else EDGE_EXECUTOR)
    assert dag.max_active_tasks > len(agencies)


def test_the_verdict_alone_decides_the_colour_of_a_run(dag):
    assert [task.task_id for task in dag.leaves] == ["verdict"]


def test_only_a_promotion_updates_the_asset_and_it_starts_the_forecast(bag, dag):
    asset = global_model(SCENARIO)
    assert asset.name == f"global_model/{SCENARIO}"
    updating = {(dag.dag_id, task.task_id) for dag in bag.dags.values() for task in dag.tasks if asset in task.outlets}
    assert updating == {(dag.dag_id, "promote")}
    assert bag.dags[forecast_dag_id(SCENARIO)].schedule == [asset]
    assert bag.dags[rollback_dag_id(SCENARIO)].schedule is None


def test_tasks_carry_the_scenarios_retries_timeout_and_owner(any_dag):
    tasks = CONFIG.scenarios[SCENARIO].tasks
    for task in any_dag.tasks:
        assert task.owner == tasks.owner
        assert task.retries == tasks.retries
        assert task.retry_delay == timedelta(seconds=tasks.retry_delay_seconds)
        assert task.retry_exponential_backoff == 2
        assert task.max_retry_delay == timedelta(seconds=tasks.max_retry_delay_seconds)
        waits = task.task_id == OFFICERS  # for people, as long as its deadline allows
        assert task.execution_timeout == (None if waits else timedelta(minutes=tasks.timeout_minutes))


def test_tasks_are_retried_by_the_kind_of_their_error(any_dag):
    delay = timedelta(seconds=CONFIG.scenarios[SCENARIO].tasks.retry_delay_seconds)
    for task in any_dag.tasks:
        soon = task.retry_policy.evaluate(StageNotReady("busy"), 1, 2)
        assert (soon.action, soon.retry_delay) == (RetryAction.RETRY, delay)
        for error in (StageCrashed("killed"), TimeoutError()):
            assert task.retry_policy.evaluate(error, 1, 2).action == RetryAction.DEFAULT


def test_every_dag_and_every_task_says_what_it_is_for(any_dag):
    assert any_dag.doc_md.strip().startswith("# ")
    assert "docs/runbooks/" in any_dag.doc_md
    assert SCENARIO in any_dag.tags
    assert all(task.doc_md for task in any_dag.tasks)


def test_a_red_run_is_told_by_the_dag_and_not_by_its_tasks(any_dag):
    assert isinstance(any_dag.on_failure_callback, RedRunNotifier)
    # What a stage's task calls takes the trace out of its lineage; it tells nobody.
    told = {callback.__name__ for task in any_dag.tasks for callback in task.on_failure_callback}
    assert told <= {"_forget_trace"}


def test_a_serialized_dag_keeps_its_parameters_once(any_dag):
    serialized = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(any_dag))
    assert set(serialized.params) == set(any_dag.params) != set()
    assert not any(task.params for task in serialized.tasks)


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
        {"dry_run": True},
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
        {"dry_run": "yes"},
    ],
)
def test_parameters_that_do_not_only_reduce_a_run_are_refused(dag, value):
    with pytest.raises(ParamValidationError):
        set_params(copy.deepcopy(dag.params), value)


@pytest.mark.parametrize("value", [{"agencies": ["somebody_else"]}, {"agencies": []}, {"interval": ["2012-03-01"]}])
def test_a_forecasts_parameters_only_reduce_it(bag, value):
    params = bag.dags[forecast_dag_id(SCENARIO)].params
    assert set(params) == {"agencies", "interval"}
    with pytest.raises(ParamValidationError):
        set_params(copy.deepcopy(params), value)


@pytest.mark.parametrize("value", [0, "1", 1.5])
def test_a_rollback_takes_the_number_of_a_version_or_nothing(bag, value):
    params = bag.dags[rollback_dag_id(SCENARIO)].params
    set_params(copy.deepcopy(params), {"version": 3})
    set_params(copy.deepcopy(params), {"version": None})
    with pytest.raises(ParamValidationError):
        set_params(copy.deepcopy(params), {"version": value})


@pytest.mark.parametrize("name", ["federated_retraining", "forecast", "model_rollback"])
def test_parsing_reads_yaml_only_and_imports_nothing_heavy(name):
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
module = types.ModuleType("dag_file")
module.__file__ = FILE
exec(compile(source, FILE, "exec"), module.__dict__)
watch = False
heavy = ("pandas", "numpy", "tensorflow", "great_expectations", "pyarrow", "mlflow", "matplotlib", "requests")
print(json.dumps({"opened": opened, "heavy": [name for name in heavy if name in sys.modules]}))
"""
    file = DAGS_FOLDER / f"{name}.py"
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
