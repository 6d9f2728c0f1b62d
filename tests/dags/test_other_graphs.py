"""The critical edges of a forecast, of a watch and of a rollback."""

import itertools

from fl_airflow.graph import forecast_graph, rollback_graph, watch_graph

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


def test_the_words_of_a_watch_are_counted_whatever_became_of_an_agency():
    graph = {node.task_id: node for node in watch_graph(AGENCIES)}
    watching = tuple(f"{agency}.watch" for agency in AGENCIES)
    assert graph["all_watched"].upstream == watching
    assert (graph["all_watched"].rule, graph["all_watched"].stage) == ("all_done", None)
    assert graph["drift"].upstream == ("all_watched",)
    assert graph["drift"].agency is None
    for agency in AGENCIES:
        assert graph[f"{agency}.watch"].upstream == (f"{agency}.standardize",)
        assert graph[f"{agency}.watch"].agency == agency


def test_a_rollback_is_one_step_of_the_coordinator():
    (node,) = rollback_graph()
    assert (node.stage, node.agency, node.upstream, node.skips) == ("rollback", None, (), ())
