"""Which DAGs have a survey, and under which run its tasks work."""

import pytest
from airflow.dag_processing.dagbag import DagBag
from fl_airflow.graph import retraining_graph
from fl_airflow.installation import DAGS_FOLDER, FEDERATION, forecast_dag_id, retraining_dag_id
from fl_airflow.operator import FLStageOperator

from fl_tasks.contracts.config import load_federation

CONFIG = load_federation(FEDERATION)
SURVEYED = sorted(name for name, one in CONFIG.scenarios.items() if getattr(one.data, "surveyed", False))


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(DAGS_FOLDER))


def test_tables_of_people_have_a_survey_and_no_other_scenario_has(bag):
    assert SURVEYED
    for scenario in CONFIG.scenarios:
        dag = bag.dags[retraining_dag_id(scenario)]
        assert any(task.task_id.startswith("survey.") for task in dag.tasks) == (scenario in SURVEYED)
        forecast = bag.dags[forecast_dag_id(scenario)]
        assert not any(task.task_id.startswith("survey.") for task in forecast.tasks)


@pytest.mark.parametrize("scenario", SURVEYED)
def test_the_dag_is_the_graph_and_only_the_surveys_tasks_work_under_its_run(bag, scenario):
    dag = bag.dags[retraining_dag_id(scenario)]
    members = [agency.agency for agency in CONFIG.members(scenario)]
    graph = retraining_graph(members, CONFIG.scenarios[scenario].rounds.groups, surveyed=True, planned=True)
    assert {task.task_id for task in dag.tasks} == {node.task_id for node in graph}
    for node in graph:
        task = dag.get_task(node.task_id)
        assert task.upstream_task_ids == set(node.upstream)
        if isinstance(task, FLStageOperator):
            assert task.kind == ("survey" if node.task_id.startswith("survey.") else "retraining")
            assert task.round == node.round
            assert task.queue == ("default" if node.agency is None else CONFIG.agencies[node.agency].queue)
