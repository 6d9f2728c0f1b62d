"""Draw the curves of `growth`: `python -m tests.benchmarks.growth_curves var/bench/growth.json FILE.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FIGURES = {"wall": ("wall, s", 1.0), "cpu": ("CPU, s", 1.0), "peak_pss": ("peak memory, GiB", 2.0**30)}


def draw(rows: list[dict], path: Path) -> None:
    """Leave an SVG: a column an axis; times above, memory below. The same bytes for the same rows.

    Args:
        rows: As `growth.rows` gives them.
        path: Of the picture.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "growth"
    import matplotlib.pyplot as plt

    axes = list(dict.fromkeys(row["work"]["axis"] for row in rows))
    figure, panels = plt.subplots(2, len(axes), figsize=(3.4 * len(axes), 5.6), squeeze=False, layout="constrained")
    for column, axis in zip(panels.T, axes, strict=True):
        points = [row for row in rows if row["work"]["axis"] == axis]
        sizes = [row["work"][axis] for row in points]
        for name, (label, unit) in FIGURES.items():
            panel = column[1 if name == "peak_pss" else 0]
            panel.plot(sizes, [row["ours"][name] / unit for row in points], marker="o", label=label)
        for panel in column:
            panel.set_xscale("log")
            panel.set_ylim(bottom=0.0)
            panel.set_xticks(sizes, [f"{size:.0e}" if size >= 10_000 else str(size) for size in sizes])
            panel.minorticks_off()
            panel.grid(visible=True, alpha=0.3)
            panel.set_xlabel(axis)
            panel.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["rows"], Path(sys.argv[2]))
