"""The tasks of a retraining, of a forecast and of a watch, and the edges between them, without Airflow.

    prepare.<agency>:  ingest -> anonymize -> standardize -> validate
    cohort
    setup:             keys.<agency> -> list -> shares.<agency> -> ready.<agency> -> close
    round_NN:          train.<agency> -> manifest -> ack.<agency> -> reveal.<agency> -> aggregate -> close_round
    evaluate.<agency> -> gate -> promote -> report -> verdict

A scenario whose recoding or scale is agreed on has a survey, a session of its own, between ingest and anonymize:

    survey:            open -> keys.<agency> -> list -> shares.<agency> -> ready.<agency> -> close
                       -> count.<agency> -> manifest -> ack.<agency> -> reveal.<agency> -> recode

Anonymize follows the agency's own ingest and recode: who was lost in the survey still takes part in the training.

A step that needs only enough of the agencies stands behind a barrier: a task without work that is over when
all agencies' tasks before it are over, whatever became of them. The step itself follows the barrier *and* the
coordinator's step before it, so that it counts the agencies (and fails below the threshold) if that step
succeeded, and never starts if it failed. Barriers also keep the number of edges linear in the agencies.

A scenario whose agencies are sent the plan first has these before anything else, and `ingest` follows the last two:

    plan -> receive.<agency> -> officers

A scenario that asks for a person's word has `approve` between gate and promote; nobody is asked about a model that is
held. The report is written whatever became of the run. The verdict follows it and the promotion, which may be skipped
(the model is held) but not fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fl_tasks.contracts.stage import Stage
from fl_tasks.contracts.survey import SURVEY_ROUND

# The names are Airflow's trigger rules.
Rule = Literal["all_success", "all_done", "none_failed_min_one_success"]

_PREPARATION: tuple[Stage, ...] = ("ingest", "anonymize", "standardize", "validate")
_FORECAST: tuple[Stage, ...] = ("ingest", "anonymize", "standardize", "predict")
_WATCH: tuple[Stage, ...] = ("ingest", "anonymize", "standardize", "watch")
_KEYS_FOLLOW = ("cohort", "prepare.{}.validate")
_SURVEY_ENDS = "survey.recode"

APPROVE = "approve"
"""The task that asks a person; like a barrier it has no stage."""

OFFICERS = "officers"
"""The task that waits for the agencies' data officers; it has no stage either."""

RECEIVE = "receive.{}"
"""Ids of the tasks in which an agency receives its plan."""


@dataclass(frozen=True)
class Node:
    """One task.

    Attributes:
        task_id: Its name, the groups that hold it included, with dots between.
        stage: What it does; a barrier and `approve` have none.
        upstream: Tasks that come before it.
        rule: What has to have become of them.
        agency: Whose task it is; none at the coordinator.
        round: Its round, from 1.
        survey: Whether it belongs to the survey, which is a run of its own.
        skips: Tasks that are skipped at once when its result says so (`burnt` of a manifest, `finished` of a
            close_round, of a gate that holds the model or, in a dry run, of the survey or else the cohort).
    """

    task_id: str
    stage: Stage | None
    upstream: tuple[str, ...]
    rule: Rule = "all_success"
    agency: str | None = None
    round: int | None = None
    survey: bool = False
    skips: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The task groups around it, from the outside."""
        return tuple(self.task_id.split(".")[:-1])


def retraining_graph(
    agencies: Sequence[str], rounds: int, *, surveyed: bool = False, asked: bool = False, planned: bool = False
) -> tuple[Node, ...]:
    """Return the tasks of one run; every task comes after those upstream of it.

    Args:
        agencies: The roster's agencies, each once.
        rounds: Round indices of a run, at least 1: those wanted and the spare ones.
        surveyed: Whether recoding and scale are agreed on in a survey first.
        asked: Whether a person has to agree to a promotion.
        planned: Whether each agency is sent the plan first, and its officer waited for.
    """
    nodes = _setup(agencies, _KEYS_FOLLOW)
    groups: list[list[Node]] = []
    start = "setup.close"
    for round_ in range(1, rounds + 1):
        groups.append(_round(agencies, round_, start))
        start = groups[-1][-1].task_id
    later: tuple[str, ...] = ()
    for group in reversed(groups):
        group[-1] = replace(group[-1], skips=later)
        later = (*_ids(group), *later)
    nodes += [node for group in groups for node in group]
    nodes += _end(agencies, start, asked=asked)
    validated = _each("prepare.{}.validate", agencies)
    begin = {agency: (OFFICERS, RECEIVE.format(agency)) if planned else () for agency in agencies}
    first = _planning(agencies) if planned else []
    if not surveyed:
        cohort = Node("cohort", "cohort", validated, "all_done")
        return (*first, *_prepare(agencies, begin), replace(cohort, skips=_ids(nodes)), *nodes)
    cohort = Node("cohort", "cohort", ("all_validated", _SURVEY_ENDS))
    nodes = [_barrier("all_validated", validated), replace(cohort, skips=_ids(nodes)), *nodes]
    ingest = _prepare(agencies, begin, _PREPARATION[:1])
    after = {agency: (_SURVEY_ENDS, f"prepare.{agency}.ingest") for agency in agencies}
    nodes = [*_survey(agencies), *_prepare(agencies, after, _PREPARATION[1:]), *nodes]
    opening = Node("survey.open", "survey", _each("prepare.{}.ingest", agencies), "all_done", survey=True)
    return (*first, *ingest, replace(opening, skips=_ids(nodes)), *nodes)


def forecast_graph(agencies: Sequence[str]) -> tuple[Node, ...]:
    """Return the tasks in which each agency uses the champion on its own data; none waits for a peer."""
    return tuple(node for agency in agencies for node in _chain(_FORECAST, agency, agency))


def watch_graph(agencies: Sequence[str]) -> tuple[Node, ...]:
    """Return the tasks in which each agency watches its newest data, and the coordinator's count of their words.

    It counts whoever gave a word: an agency that is away, or whose data fail, keeps nobody waiting.
    """
    nodes = [node for agency in agencies for node in _chain(_WATCH, agency, agency)]
    words = _barrier("all_watched", _each("{}.watch", agencies))
    return (*nodes, words, Node("drift", "drift", (words.task_id,)))


def rollback_graph() -> tuple[Node, ...]:
    """Return the one task that restores a former champion."""
    return (Node("rollback", "rollback", ()),)


def _planning(agencies: Sequence[str]) -> list[Node]:
    """Return the tasks before any data are opened. Who received no plan is not waited for."""
    received = _barrier("all_received", _each(RECEIVE, agencies))
    return [
        Node("plan", "plan", ()),
        *(_of("receive", agency, RECEIVE.format(agency), ("plan",)) for agency in agencies),
        received,
        Node(OFFICERS, None, (received.task_id, "plan")),
    ]


def _prepare(
    agencies: Sequence[str], before: Mapping[str, tuple[str, ...]], stages: Sequence[Stage] = _PREPARATION
) -> list[Node]:
    """Return each agency's data steps, one after the other; `before` are the tasks that its first one follows."""
    return [node for agency in agencies for node in _chain(stages, agency, f"prepare.{agency}", before[agency])]


def _chain(stages: Sequence[Stage], agency: str, group: str, before: tuple[str, ...] = ()) -> list[Node]:
    nodes: list[Node] = []
    for stage in stages:
        nodes.append(_of(stage, agency, f"{group}.{stage}", before))
        before = (nodes[-1].task_id,)
    return nodes


def _setup(agencies: Sequence[str], follow: tuple[str, str], group: str = "setup") -> list[Node]:
    """Return a session's key steps. They follow the coordinator's step that opened it, and one of the agency's own."""
    opening, own = follow
    return [
        *(_of("keys", agency, f"{group}.keys.{agency}", (opening, own.format(agency))) for agency in agencies),
        _barrier(f"{group}.all_keys", _each(f"{group}.keys.{{}}", agencies)),
        Node(f"{group}.list", "list", (f"{group}.all_keys", opening)),
        *(
            _of("shares", agency, f"{group}.shares.{agency}", (f"{group}.list", f"{group}.keys.{agency}"))
            for agency in agencies
        ),
        _barrier(f"{group}.all_shares", _each(f"{group}.shares.{{}}", agencies)),
        *(
            _of("ready", agency, f"{group}.ready.{agency}", (f"{group}.all_shares", f"{group}.shares.{agency}"))
            for agency in agencies
        ),
        _barrier(f"{group}.all_ready", _each(f"{group}.ready.{{}}", agencies)),
        Node(f"{group}.close", "close", (f"{group}.all_ready", f"{group}.list")),
    ]


def _survey(agencies: Sequence[str]) -> list[Node]:
    """Return the survey's tasks after it was opened, recode last."""
    group, round_ = "survey", SURVEY_ROUND
    answered = _answered(agencies, group, "count", round_)
    manifest = Node(f"{group}.manifest", "manifest", (f"{group}.all_counts", f"{group}.close"), round=round_)
    nodes = [
        *_setup(agencies, (f"{group}.open", "prepare.{}.ingest"), group),
        *(
            _of(
                "count", agency, f"{group}.count.{agency}", (f"{group}.close", f"{group}.ready.{agency}"), round_=round_
            )
            for agency in agencies
        ),
        _barrier(f"{group}.all_counts", _each(f"{group}.count.{{}}", agencies), round_),
        replace(manifest, skips=_ids(answered)),
        *answered,
        # Also after a burnt manifest, to say so: there is no second round.
        Node(_SURVEY_ENDS, "recode", (f"{group}.all_reveals", f"{group}.manifest"), "none_failed_min_one_success"),
    ]
    return [replace(node, survey=True) for node in nodes]


def _answered(agencies: Sequence[str], group: str, sent: Stage, round_: int) -> list[Node]:
    """Return a round's tasks between its manifest and the opening of its sum. `sent` is the step that uploaded."""
    return [
        *(
            _of(
                "ack", agency, f"{group}.ack.{agency}", (f"{group}.manifest", f"{group}.{sent}.{agency}"), round_=round_
            )
            for agency in agencies
        ),
        _barrier(f"{group}.all_acks", _each(f"{group}.ack.{{}}", agencies), round_),
        *(
            _of(
                "reveal",
                agency,
                f"{group}.reveal.{agency}",
                (f"{group}.all_acks", f"{group}.ack.{agency}"),
                round_=round_,
            )
            for agency in agencies
        ),
        _barrier(f"{group}.all_reveals", _each(f"{group}.reveal.{{}}", agencies), round_),
    ]


def _round(agencies: Sequence[str], round_: int, start: str) -> list[Node]:
    """Return a round's tasks, close_round last. `start` is the coordinator's step that signed its model."""
    group = f"round_{round_:02d}"
    after_manifest = [
        *_answered(agencies, group, "train", round_),
        Node(f"{group}.aggregate", "aggregate", (f"{group}.all_reveals", f"{group}.manifest"), round=round_),
    ]
    manifest = Node(f"{group}.manifest", "manifest", (f"{group}.all_updates", start), round=round_)
    return [
        *(
            # Lost in one round, an agency takes part in the next; lost before the close, it has no keys.
            _of("train", agency, f"{group}.train.{agency}", (start, f"setup.ready.{agency}"), round_=round_)
            for agency in agencies
        ),
        _barrier(f"{group}.all_updates", _each(f"{group}.train.{{}}", agencies), round_),
        replace(manifest, skips=_ids(after_manifest)),
        *after_manifest,
        Node(
            f"{group}.close_round",
            "close_round",
            (f"{group}.aggregate", f"{group}.manifest"),
            "none_failed_min_one_success",
            round=round_,
        ),
    ]


def _end(agencies: Sequence[str], start: str, *, asked: bool) -> list[Node]:
    """Return what follows the rounds. `start` is the last round's close_round."""
    gate = Node("gate", "gate", ("all_evaluated", start), "none_failed_min_one_success")
    decided = [replace(gate, skips=(APPROVE,)), Node(APPROVE, None, ("gate",))] if asked else [gate]
    return [
        *(
            # Later rounds are skipped once enough are done; a failed one stops the run here.
            _of(
                "evaluate",
                agency,
                f"evaluate.{agency}",
                (start, f"setup.ready.{agency}"),
                "none_failed_min_one_success",
            )
            for agency in agencies
        ),
        _barrier("all_evaluated", _each("evaluate.{}", agencies)),
        *decided,
        Node("promote", "promote", (decided[-1].task_id,)),
        Node("report", "report", ("promote",), "all_done"),
        Node("verdict", "verdict", ("report", "promote"), "none_failed_min_one_success"),
    ]


def _of(
    stage: Stage,
    agency: str,
    task_id: str,
    upstream: tuple[str, ...],
    rule: Rule = "all_success",
    round_: int | None = None,
) -> Node:
    return Node(task_id, stage, upstream, rule, agency=agency, round=round_)


def _barrier(task_id: str, upstream: tuple[str, ...], round_: int | None = None) -> Node:
    return Node(task_id, None, upstream, "all_done", round=round_)


def _ids(nodes: Sequence[Node]) -> tuple[str, ...]:
    return tuple(node.task_id for node in nodes)


def _each(pattern: str, agencies: Sequence[str]) -> tuple[str, ...]:
    return tuple(pattern.format(agency) for agency in agencies)
