"""A benchmark's JSON as a Markdown table: `python -m tests.benchmarks.table var/bench/secagg.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

GROUPS = ("work", "ours", "peer", "ratio", "limit_ratio")


def table(result: dict) -> str:
    """One line a row, one column a figure that any row has."""
    rows = result["rows"]
    columns = [
        (group, key) for group in GROUPS for key in dict.fromkeys(key for row in rows for key in row.get(group, {}))
    ]
    head = [key if group == "work" else f"{group} {key}" for group, key in columns]
    lines = [head, ["---"] * len(columns)]
    lines += [[_text(row.get(group, {}).get(key)) for group, key in columns] for row in rows]
    facts = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", f"Machine: {facts}."])


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())))
