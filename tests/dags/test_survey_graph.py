"""The critical edges of a retraining whose recoding is agreed on in a survey first."""

import itertools

import pytest
from fl_airflow.graph import retraining_graph
from fl_airflow.installation import federated_run_id

AGENCIES = ("east", "north", "west")
ROUNDS = 2


@pytest.fixture(scope="module")
def graph():
    return {node.task_id: node for node in retraining_graph(AGENCIES, ROUNDS, surveyed=True)}


@pytest.fixture(scope="module")
def plain():
    return {node.task_id: node for node in retraining_graph(AGENCIES, ROUNDS)}


def before(graph, task_id):
    """Everything upstream of a task, however far."""
    found, queue = set(), [task_id]
    while queue:
        new = set(graph[queue.pop()].upstream) - found
        found |= new
        queue += new
    return found


def test_every_task_comes_after_its_upstream_and_has_its_own_name(graph):
    nodes = retraining_graph(AGENCIES, ROUNDS, surveyed=True)
    assert len(graph) == len(nodes)
    seen = set()
    for node in nodes:
        assert set(node.upstream) <= seen, node.task_id
        seen.add(node.task_id)


def test_only_the_verdict_is_a_leaf_and_only_ingest_starts_without_waiting(graph):
    used = {task_id for node in graph.values() for task_id in node.upstream}
    assert set(graph) - used == {"verdict"}
    assert {node.stage for node in graph.values() if not node.upstream} == {"ingest"}


def test_the_survey_opens_over_whoever_read_its_data_whatever_became_of_the_others(graph):
    node = graph["survey.open"]
    assert (node.stage, node.rule, node.survey) == ("survey", "all_done", True)
    assert node.upstream == tuple(f"prepare.{agency}.ingest" for agency in AGENCIES)


def test_an_agency_recodes_what_it_read_with_what_was_published_and_needs_no_answer_of_its_own(graph):
    for agency in AGENCIES:
        node = graph[f"prepare.{agency}.anonymize"]
        assert (node.rule, set(node.upstream)) == ("all_success", {"survey.recode", f"prepare.{agency}.ingest"})
        steps = [f"prepare.{agency}.{stage}" for stage in ("anonymize", "standardize", "validate")]
        for earlier, later in itertools.pairwise(steps):
            assert graph[later].upstream == (earlier,)


@pytest.mark.parametrize(
    ("step", "barrier", "gate"),
    [
        ("survey.list", "survey.all_keys", "survey.open"),
        ("survey.close", "survey.all_ready", "survey.list"),
        ("survey.manifest", "survey.all_counts", "survey.close"),
        ("cohort", "all_validated", "survey.recode"),
    ],
)
def test_a_quorum_step_follows_its_barrier_and_the_coordinators_step_before_it(graph, step, barrier, gate):
    assert (graph[step].rule, set(graph[step].upstream)) == ("all_success", {barrier, gate})


def test_a_survey_that_fails_is_followed_by_the_report_and_a_red_verdict_alone(graph):
    after = {node.task_id for node in graph.values() if "survey.recode" in before(graph, node.task_id)}
    stopped = {task_id for task_id in after if graph[task_id].rule != "all_done"}
    assert {f"prepare.{agency}.anonymize" for agency in AGENCIES} | {"cohort", "verdict"} <= stopped
    assert graph["report"].rule == "all_done"


def test_a_burnt_manifest_skips_acks_and_reveals_but_not_recode_which_says_so(graph):
    steps = {f"survey.{step}.{agency}" for step in ("ack", "reveal") for agency in AGENCIES}
    assert set(graph["survey.manifest"].skips) == steps | {"survey.all_acks", "survey.all_reveals"}
    recode = graph["survey.recode"]
    assert (recode.stage, recode.rule) == ("recode", "none_failed_min_one_success")
    assert set(recode.upstream) == {"survey.all_reveals", "survey.manifest"}


@pytest.mark.parametrize(
    ("step", "own"),
    [
        ("survey.keys.{}", "prepare.{}.ingest"),
        ("survey.shares.{}", "survey.keys.{}"),
        ("survey.ready.{}", "survey.shares.{}"),
        ("survey.count.{}", "survey.ready.{}"),
        ("survey.ack.{}", "survey.count.{}"),
        ("survey.reveal.{}", "survey.ack.{}"),
    ],
)
def test_a_step_of_an_agency_needs_that_agencys_own_step_before_it(graph, step, own):
    for agency in AGENCIES:
        node = graph[step.format(agency)]
        assert (node.rule, node.agency, node.survey) == ("all_success", agency, True)
        assert own.format(agency) in node.upstream
        assert not {own.format(other) for other in AGENCIES if other != agency} & set(node.upstream)


def test_the_survey_is_one_round_of_a_run_of_its_own_and_the_training_is_none_of_it(graph):
    for task_id, node in graph.items():
        assert node.survey == task_id.startswith("survey.")
    in_round = {node.stage for node in graph.values() if node.survey and node.round is not None}
    assert in_round == {"count", "manifest", "ack", "reveal", None}
    assert {node.round for node in graph.values() if node.survey} == {1, None}
    assert federated_run_id("welfare", "manual__1", "survey") == "survey.welfare__manual__1"


def test_what_follows_the_cohort_is_as_without_a_survey(graph, plain):
    later = {task_id for task_id in plain if "cohort" in before(plain, task_id)}
    for task_id in later:
        assert graph[task_id] == plain[task_id]
    assert {task_id for task_id in graph if "cohort" in before(graph, task_id)} == later
    assert graph["cohort"].skips == plain["cohort"].skips


def test_a_dry_run_skips_all_that_comes_after_the_survey_was_opened(graph):
    assert set(graph["survey.open"].skips) == set(graph) - before(graph, "survey.open") - {"survey.open"}


def test_the_edges_grow_with_the_agencies_and_not_with_their_square():
    def edges(agencies):
        nodes = retraining_graph([f"agency_{i:03d}" for i in range(agencies)], 2, surveyed=True)
        return sum(len(node.upstream) for node in nodes)

    steps = [edges(n + 10) - edges(n) for n in (10, 50, 100)]
    assert all(a == b for a, b in itertools.pairwise(steps))
