"""Whether training together paid, in words, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from fl_tasks.contracts.report import Figure, Metric, Report


def sentences(report: Report) -> list[str]:
    """Return a sentence a horizon; agencies that would do better alone are named with their share."""
    found = []
    for horizon, one in report.comparison.items():
        better = "better than" if one.pays else "not better than"
        text = f"{horizon}: {one.measure} federated {one.federated:.3f} is {better} local-only {one.local_only:.3f}"
        if one.alone_better:
            agencies = ", ".join(f"{name} ({share:.1%})" for name, share in sorted(one.alone_better.items()))
            text += f"; better alone: {agencies}"
        found.append(text)
    return found


def figure(metric: Metric | None, name: str) -> Figure | None:
    """Return a metric's figure of a name; None where it has none: an AUC over few rows stays at its agency."""
    return None if metric is None else next((one for one in metric.figures if one.name == name), None)


def figure_names(metrics: Iterable[Metric | None]) -> list[str]:
    """Return the names of all figures that there are, the most important first: those of the metric with the most."""
    found = [[one.name for one in metric.figures] for metric in metrics if metric is not None]
    return max(found, key=len, default=[])


WHY = (
    "Means over the agencies, scaled where their units differ. An agency does better alone where its own data are "
    "enough to learn from: together it shares one model, in which it counts by its examples up to the scenario's cap."
)
