"""The critical edges of a forecast and of a rollback."""

import itertools

from fl_airflow.graph import forecast_graph, rollback_graph

AGENCIES = ("east", "north", "west")
STAGES = ("ingest", "anonymize", "standardize", "predict")


def test_an_agency_forecasts_after_its_own_steps_and_waits_for_no_peer():
    graph = {node.task_id: node for node in forecast_graph(AGENCIES)}
    assert set(graph) == {f"{agency}.{stage}" for agency in AGENCIES for stage in STAGES}
    for agency in AGENCIES:
        assert graph[f"{agency}.ingest"].upstream == ()
        for earlier, later in itertools.pairwise(STAGES):
            node = graph[f"{agency}.{later}"]
            assert node.upstream == (f"{agency}.{earlier}",)
            assert node.rule == "all_success"
            assert (node.agency, node.stage) == (agency, later)


def test_a_rollback_is_one_step_of_the_coordinator():
    (node,) = rollback_graph()
    assert (node.stage, node.agency, node.upstream, node.skips) == ("rollback", None, (), ())
