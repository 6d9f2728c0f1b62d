"""The gate: a pure decision whether a new model takes the champion's place, from the agencies' own errors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean
from typing import Literal

from fl_tasks.contracts.config import GateConfig
from fl_tasks.contracts.report import Evaluation, GateReport, Horizons

Reference = Literal["champion", "persistence", "majority"]

SHARE_SLACK = 1e-9
"""A share such as 0.7 of 10 agencies must not ask for an eighth one because of rounding."""


def score(horizons: Horizons) -> float:
    """Return an agency's one figure for a model, smaller is better: the mean over the horizons or targets, >= 0."""
    return fmean(metric.score for metric in horizons.values())


def decide(
    evaluations: dict[str, Evaluation],
    reference: Reference,
    config: GateConfig,
    *,
    name: str,
    background: str = "",
    is_champion: bool = False,
    outdated: str = "",
    backfill: bool = False,
) -> GateReport:
    """Compare the federated model with the reference at every agency that evaluated it.

    It is promoted if it is strictly better at `share_better` of the agencies, and worse by more than `tolerance`
    (relative to the reference's score) at none. An agency that did not score the reference on the same horizons
    counts as one where the new model is not better.

    Args:
        evaluations: Agency -> its evaluation of the new model; at least one.
        reference: Which of an evaluation's entries the new model is held against.
        config: Share and tolerance.
        name: What the report calls the reference: `persistence`, `majority` or `version N`.
        background: Why this is the reference, for the reason.
        is_champion: The new model is the champion already: there is nothing to promote.
        outdated: Why the comparison cannot count; held.
        backfill: The run's interval is older than one whose model is or was champion; held whatever the comparison.

    Returns:
        Decision, reason in words, and the agencies where the model is better and where it is too much worse.
    """
    better, worse, unscored = [], [], []
    for agency, evaluation in sorted(evaluations.items()):
        old: Horizons = getattr(evaluation, reference)
        if not old or set(old) != set(evaluation.federated):
            unscored.append(agency)
            continue
        ours, theirs = score(evaluation.federated), score(old)
        if ours < theirs:
            better.append(agency)
        if not math.isfinite(ours) or ours > theirs * (1.0 + config.tolerance):
            worse.append(agency)
    needed = math.ceil(config.share_better * len(evaluations) - SHARE_SLACK)
    passed = len(better) >= needed and not worse
    comparison = f"better than {name} at {len(better)} of {len(evaluations)} agencies, {needed} needed"
    within = f"more than {config.tolerance * 100:g} %"
    comparison += f"; worse by {within} at {_listed(worse)}" if worse else f"; at none worse by {within}"
    if unscored:
        comparison += f"; {name} was not scored at {_listed(unscored)}"
    if background:
        comparison = f"{background}: {comparison}"
    if is_champion:
        passed, comparison = False, f"the model is the champion already ({name})"
    elif outdated:
        passed, comparison = False, outdated
    elif backfill:
        passed = False
        comparison = f"a backfill never moves today's champion, which stays. The comparison: {comparison}"
    return GateReport(
        decision="promoted" if passed else "held",
        reason=comparison,
        reference=name,
        better=tuple(better),
        worse=tuple(worse),
        backfill=backfill,
    )


def _listed(agencies: Iterable[str], most: int = 5) -> str:
    """Name a few agencies, and say how many more there are."""
    names = list(agencies)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
