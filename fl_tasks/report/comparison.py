"""Whether training together paid, in words, for the page and the terminal."""

from __future__ import annotations

from fl_tasks.contracts.report import Report


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


WHY = (
    "Means over the agencies, scaled where their units differ. An agency does better alone where its own data are "
    "enough to learn from: together it shares one model, in which it counts by its examples up to the scenario's cap."
)
