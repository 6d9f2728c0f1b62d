"""The critical edges of a retraining: who waits for whom, and what a failure or a skip stops."""

import itertools

import pytest
from fl_airflow.graph import Node, retraining_graph

AGENCIES = ("east", "north", "west")
ROUNDS = 3


@pytest.fixture(scope="module")
def graph():
    return {node.task_id: node for node in retraining_graph(AGENCIES, ROUNDS)}


def downstream(graph: dict[str, Node], task_id: str) -> set[str]:
    return {node.task_id for node in graph.values() if task_id in node.upstream}


def before(graph: dict[str, Node], task_id: str) -> set[str]:
    """Everything upstream of a task, however far."""
    found: set[str] = set()
    queue = [task_id]
    while queue:
        new = set(graph[queue.pop()].upstream) - found
        found |= new
        queue += new
    return found


def test_every_task_comes_after_its_upstream_and_has_its_own_name(graph):
    nodes = retraining_graph(AGENCIES, ROUNDS)
    assert len(graph) == len(nodes)
    seen: set[str] = set()
    for node in nodes:
        assert set(node.upstream) <= seen
        seen.add(node.task_id)


def test_only_the_verdict_is_a_leaf(graph):
    assert [task_id for task_id in graph if not downstream(graph, task_id)] == ["verdict"]


def test_only_ingest_starts_without_waiting(graph):
    assert {node.stage for node in graph.values() if not node.upstream} == {"ingest"}


def test_an_agencys_rows_are_anonymized_before_anything_else_is_done_with_them(graph):
    for agency in AGENCIES:
        steps = [f"prepare.{agency}.{stage}" for stage in ("ingest", "anonymize", "standardize", "validate")]
        for earlier, later in itertools.pairwise(steps):
            assert graph[later].upstream == (earlier,)
            assert graph[later].rule == "all_success"


def test_an_agency_prepares_without_waiting_for_a_peer(graph):
    for agency in AGENCIES:
        others = set(AGENCIES) - {agency}
        for task_id in before(graph, f"prepare.{agency}.validate"):
            assert not others & set(task_id.split("."))


@pytest.mark.parametrize(
    ("step", "barrier", "gate"),
    [
        ("setup.list", "setup.all_keys", "cohort"),
        ("setup.close", "setup.all_ready", "setup.list"),
        ("round_01.manifest", "round_01.all_updates", "setup.close"),
        ("round_02.manifest", "round_02.all_updates", "round_01.close_round"),
        ("round_02.aggregate", "round_02.all_reveals", "round_02.manifest"),
    ],
)
def test_a_quorum_step_follows_its_barrier_and_the_coordinators_step_before_it(graph, step, barrier, gate):
    assert graph[step].rule == "all_success"
    assert set(graph[step].upstream) == {barrier, gate}


def test_only_barriers_the_cohort_and_the_report_run_whatever_became_of_the_tasks_before(graph):
    lenient = {node.task_id for node in graph.values() if node.rule == "all_done"}
    assert lenient == {"cohort", "report"} | {node.task_id for node in graph.values() if node.stage is None}


def test_a_barrier_waits_for_the_step_of_every_agency(graph):
    barriers = [node for node in graph.values() if node.stage is None]
    assert len(barriers) == 3 + 3 * ROUNDS + 1
    for node in barriers:
        before_it = [graph[task_id] for task_id in node.upstream]
        assert len({step.stage for step in before_it}) == 1
        assert [step.agency for step in before_it] == list(AGENCIES)
        assert {step.round for step in before_it} == {node.round}


def test_every_barrier_is_followed_only_by_tasks_that_need_more_than_the_barrier(graph):
    for node in graph.values():
        if node.stage is None:
            for after in downstream(graph, node.task_id):
                # The gate's other condition may be skipped, when fewer rounds than there are were needed.
                lenient = "none_failed_min_one_success" if after == "gate" else "all_success"
                assert graph[after].rule == lenient
                assert len(graph[after].upstream) == 2


@pytest.mark.parametrize(
    ("step", "own"),
    [
        ("setup.keys.{}", "prepare.{}.validate"),
        ("setup.shares.{}", "setup.keys.{}"),
        ("setup.ready.{}", "setup.shares.{}"),
        ("round_02.train.{}", "setup.ready.{}"),
        ("round_02.ack.{}", "round_02.train.{}"),
        ("round_02.reveal.{}", "round_02.ack.{}"),
    ],
)
def test_a_step_of_an_agency_needs_that_agencys_own_step_before_it(graph, step, own):
    for agency in AGENCIES:
        node = graph[step.format(agency)]
        assert node.rule == "all_success"
        assert own.format(agency) in node.upstream
        others = {own.format(other) for other in AGENCIES if other != agency}
        assert not others & set(node.upstream)


def test_an_agency_lost_in_one_round_takes_part_in_the_next(graph):
    for agency in AGENCIES:
        upstream = graph[f"round_02.train.{agency}"].upstream
        assert set(upstream) == {"round_01.close_round", f"setup.ready.{agency}"}


def test_a_round_closes_after_a_burnt_manifest_but_not_after_a_failed_step(graph):
    node = graph["round_01.close_round"]
    assert node.rule == "none_failed_min_one_success"
    assert set(node.upstream) == {"round_01.aggregate", "round_01.manifest"}


def test_a_burnt_manifest_skips_the_rest_of_its_round_up_to_close_round(graph):
    in_round = {task_id for task_id in graph if task_id.startswith("round_02.")}
    before_manifest = {f"round_02.train.{agency}" for agency in AGENCIES} | {"round_02.all_updates"}
    assert set(graph["round_02.manifest"].skips) == in_round - before_manifest - {
        "round_02.manifest",
        "round_02.close_round",
    }


def test_the_last_needed_round_skips_every_later_round_and_nothing_else(graph):
    later = {task_id for task_id, node in graph.items() if node.round is not None and node.round > 1}
    assert set(graph["round_01.close_round"].skips) == later
    assert graph["round_03.close_round"].skips == ()
    assert {node.stage for node in graph.values() if node.skips} == {"cohort", "manifest", "close_round"}


def test_a_dry_run_skips_all_that_comes_after_the_cohort_and_nothing_else(graph):
    assert set(graph["cohort"].skips) == set(graph) - before(graph, "cohort") - {"cohort"}


def test_evaluation_and_gate_run_after_skipped_rounds_but_not_after_a_failed_one(graph):
    for agency in AGENCIES:
        node = graph[f"evaluate.{agency}"]
        assert node.rule == "none_failed_min_one_success"
        assert set(node.upstream) == {"round_03.close_round", f"setup.ready.{agency}"}
    assert graph["gate"].rule == "none_failed_min_one_success"
    assert set(graph["gate"].upstream) == {"all_evaluated", "round_03.close_round"}


def test_only_what_passed_the_gate_is_promoted(graph):
    assert graph["promote"].rule == "all_success"
    assert graph["promote"].upstream == ("gate",)


def test_the_report_is_written_last_and_whatever_became_of_the_run(graph):
    assert graph["report"].rule == "all_done"
    assert before(graph, "report") == set(graph) - {"report", "verdict"}


def test_the_verdict_takes_a_promotion_that_was_skipped_but_none_that_failed(graph):
    assert graph["verdict"].rule == "none_failed_min_one_success"
    assert set(graph["verdict"].upstream) == {"report", "promote"}


def test_the_edges_grow_with_the_agencies_and_not_with_their_square():
    def edges(agencies: int) -> int:
        nodes = retraining_graph([f"agency_{i:03d}" for i in range(agencies)], 2)
        return sum(len(node.upstream) for node in nodes)

    steps = [edges(n + 10) - edges(n) for n in (10, 50, 100)]
    assert all(a == b for a, b in itertools.pairwise(steps))
