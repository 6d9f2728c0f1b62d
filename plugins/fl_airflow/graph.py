"""The tasks of a retraining and of a forecast, and the edges between them, without Airflow.

    prepare.<agency>:  ingest -> anonymize -> standardize -> validate
    cohort
    setup:             keys.<agency> -> list -> shares.<agency> -> ready.<agency> -> close
    round_NN:          train.<agency> -> manifest -> ack.<agency> -> reveal.<agency> -> aggregate -> close_round
    evaluate.<agency> -> gate -> promote -> report -> verdict

A step that needs only enough of the agencies stands behind a barrier: a task without work that is over when
all agencies' tasks before it are over, whatever became of them. The step itself follows the barrier *and* the
coordinator's step before it, so that it counts the agencies (and fails below the threshold) if that step
succeeded, and never starts if it failed. Barriers also keep the number of edges linear in the agencies.

The report is written whatever became of the run. The verdict follows it and the promotion, which may be skipped
(the model is held) but not fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fl_tasks.contracts.stage import Stage

# The names are Airflow's trigger rules.
Rule = Literal["all_success", "all_done", "none_failed_min_one_success"]

_PREPARATION: tuple[Stage, ...] = ("ingest", "anonymize", "standardize", "validate")
_FORECAST: tuple[Stage, ...] = ("ingest", "anonymize", "standardize", "predict")


@dataclass(frozen=True)
class Node:
    """One task.

    Attributes:
        task_id: Its name, the groups that hold it included, with dots between.
        stage: What it does; a barrier has none.
        upstream: Tasks that come before it.
        rule: What has to have become of them.
        agency: Whose task it is; none at the coordinator.
        round: Its round, from 1.
        skips: Tasks that are skipped at once when its result says so (`burnt` of a manifest, `finished` of a
            close_round or, in a dry run, of the cohort).
    """

    task_id: str
    stage: Stage | None
    upstream: tuple[str, ...]
    rule: Rule = "all_success"
    agency: str | None = None
    round: int | None = None
    skips: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The task groups around it, from the outside."""
        return tuple(self.task_id.split(".")[:-1])


def retraining_graph(agencies: Sequence[str], rounds: int) -> tuple[Node, ...]:
    """Return the tasks of one run; every task comes after those upstream of it.

    Args:
        agencies: The roster's agencies, each once.
        rounds: Round indices of a run, at least 1: those wanted and the spare ones.
    """
    nodes = _setup(agencies)
    groups: list[list[Node]] = []
    start = "setup.close"
    for round_ in range(1, rounds + 1):
        groups.append(_round(agencies, round_, start))
        start = groups[-1][-1].task_id
    later: tuple[str, ...] = ()
    for group in reversed(groups):
        group[-1] = replace(group[-1], skips=later)
        later = (*(node.task_id for node in group), *later)
    nodes += [node for group in groups for node in group]
    nodes += _end(agencies, start)
    cohort = Node("cohort", "cohort", _each("prepare.{}.validate", agencies), "all_done")
    return (*_prepare(agencies), replace(cohort, skips=tuple(node.task_id for node in nodes)), *nodes)


def forecast_graph(agencies: Sequence[str]) -> tuple[Node, ...]:
    """Return the tasks in which each agency uses the champion on its own data; none waits for a peer."""
    return tuple(node for agency in agencies for node in _chain(_FORECAST, agency, agency))


def rollback_graph() -> tuple[Node, ...]:
    """Return the one task that restores a former champion."""
    return (Node("rollback", "rollback", ()),)


def _prepare(agencies: Sequence[str]) -> list[Node]:
    return [node for agency in agencies for node in _chain(_PREPARATION, agency, f"prepare.{agency}")]


def _chain(stages: Sequence[Stage], agency: str, group: str) -> list[Node]:
    nodes: list[Node] = []
    before: tuple[str, ...] = ()
    for stage in stages:
        nodes.append(_of(stage, agency, f"{group}.{stage}", before))
        before = (nodes[-1].task_id,)
    return nodes


def _setup(agencies: Sequence[str]) -> list[Node]:
    return [
        *(_of("keys", agency, f"setup.keys.{agency}", ("cohort", f"prepare.{agency}.validate")) for agency in agencies),
        _barrier("setup.all_keys", _each("setup.keys.{}", agencies)),
        Node("setup.list", "list", ("setup.all_keys", "cohort")),
        *(
            _of("shares", agency, f"setup.shares.{agency}", ("setup.list", f"setup.keys.{agency}"))
            for agency in agencies
        ),
        _barrier("setup.all_shares", _each("setup.shares.{}", agencies)),
        *(
            _of("ready", agency, f"setup.ready.{agency}", ("setup.all_shares", f"setup.shares.{agency}"))
            for agency in agencies
        ),
        _barrier("setup.all_ready", _each("setup.ready.{}", agencies)),
        Node("setup.close", "close", ("setup.all_ready", "setup.list")),
    ]


def _round(agencies: Sequence[str], round_: int, start: str) -> list[Node]:
    """Return a round's tasks, close_round last. `start` is the coordinator's step that signed its model."""
    group = f"round_{round_:02d}"
    after_manifest = [
        *(
            _of("ack", agency, f"{group}.ack.{agency}", (f"{group}.manifest", f"{group}.train.{agency}"), round_=round_)
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
        replace(manifest, skips=tuple(node.task_id for node in after_manifest)),
        *after_manifest,
        Node(
            f"{group}.close_round",
            "close_round",
            (f"{group}.aggregate", f"{group}.manifest"),
            "none_failed_min_one_success",
            round=round_,
        ),
    ]


def _end(agencies: Sequence[str], start: str) -> list[Node]:
    """Return what follows the rounds. `start` is the last round's close_round."""
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
        Node("gate", "gate", ("all_evaluated", start), "none_failed_min_one_success"),
        Node("promote", "promote", ("gate",)),
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


def _each(pattern: str, agencies: Sequence[str]) -> tuple[str, ...]:
    return tuple(pattern.format(agency) for agency in agencies)
