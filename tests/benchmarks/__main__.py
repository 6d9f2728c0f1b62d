"""Run one benchmark: `python -m tests.benchmarks secagg` writes var/bench/secagg.json and prints its table."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.table import table

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "var" / "bench"
# Each is one module here or several, with `rows(say)`, which gives its rows one by one as they are measured.
NAMES = {
    "anonymize": ("anonymize",),
    "growth": ("growth",),
    "hosts": ("hosts",),
    "learning": ("learning", "learning_tables"),
    "round": ("round",),
    "secagg": ("secagg",),
    "training": ("training",),
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in NAMES:
        print(f"make bench NAME=...: one of {', '.join(NAMES)} is needed")
        return 2
    name = arguments[0]
    started = time.monotonic()
    result = {"name": name, "machine": machine(), "rows": []}
    path = FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for module in NAMES[name]:
        for row in importlib.import_module(f"tests.benchmarks.{module}").rows(lambda text: print(text, flush=True)):
            result["rows"].append(row)
            result["machine"]["load_at_end"] = os.getloadavg()[0]
            result["machine"]["seconds"] = round(time.monotonic() - started, 1)
            path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    print(f"bench: {path} after {time.monotonic() - started:.0f} s")
    return 0


def machine() -> dict:
    """What the figures depend on, and how busy the machine was before."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: version(package) for package in ("cryptography", "numpy")},
        "load_at_start": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
