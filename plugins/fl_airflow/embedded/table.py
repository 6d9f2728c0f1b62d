"""What a finished run prints: the errors per agency, and where the report is."""

from __future__ import annotations

from fl_tasks.contracts.report import Evaluation, Report

_MODELS = ("federated", "local_only", "persistence")


def summary(report: Report) -> str:
    """Return the table of one report: a row an agency, RMSE and MAE of three models in the scenario's unit."""
    lines = []
    horizons = list(report.evaluation.overall.federated) or sorted(
        {name for evaluation in report.evaluation.agencies.values() for name in evaluation.federated}
    )
    for horizon in horizons:
        width = max(len(name) for name in ("overall", *report.evaluation.agencies)) + 2
        lines.append(f"{horizon:{width}}" + "".join(f"{f'{error}, {report.unit}':>39}" for error in ("RMSE", "MAE")))
        lines.append(" " * width + "".join(f"{name.replace('_', '-'):>13}" for name in _MODELS * 2))
        rows = [*sorted(report.evaluation.agencies.items()), ("overall", report.evaluation.overall)]
        lines += [f"{name:{width}}{_row(evaluation, horizon)}" for name, evaluation in rows]
        lines.append("")
    aggregated = sum(round_.status == "aggregated" for round_ in report.rounds)
    lines.append(f"status {report.status}" + (f": {report.reason}" if report.reason else ""))
    lines.append(f"cohort {', '.join(report.cohort) or 'none'}; {aggregated} rounds aggregated")
    lines += [f"left out: {agency}: {reason}" for agency, reason in sorted(report.excluded.items())]
    return "\n".join(lines)


def _row(evaluation: Evaluation, horizon: str) -> str:
    cells = []
    for error in ("rmse", "mae"):
        for model in _MODELS:
            metric = getattr(evaluation, model).get(horizon)
            cells.append(f"{'-':>13}" if metric is None else f"{getattr(metric, error):13.3f}")
    return "".join(cells)
