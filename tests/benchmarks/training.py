"""Local training as it is (ours) beside the ways that were tried and left (peer): loop, layout, threads, XLA.

One process each, one pass over the same generated windows with the GRU of traffic_districts: the first pass (with the
tracing) and the median of the next ones. `ratio` is peer / ours. Columns: docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WINDOWS, PASSES = 49_152, 5
# name -> (what training_run is told, environment)
VARIANTS: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "dataset reduce": ({"loop": "DATASET_REDUCE"}, {}),
    "steps looped over": ({"unrolled": 0}, {}),
    "dataset reduce, steps looped over": ({"loop": "DATASET_REDUCE", "unrolled": 0}, {}),
    "two threads in an operation": ({"threads": 2}, {}),
    "XLA, chosen by TensorFlow": ({}, {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}),
    "batches of 1024": ({"batch": 1024}, {}),
}


def rows(say: Callable[[str], None], windows: int = WINDOWS, passes: int = PASSES) -> Iterator[dict]:
    """Measure ours, then a row for every other way."""
    ours = _measured({}, {}, windows, passes)
    say(f"training: as it is {ours}")
    for name, (told, environment) in VARIANTS.items():
        peer = _measured(told, environment, windows, passes)
        say(f"training: {name} {peer}")
        yield {
            "work": {"windows": windows, "variant": name},
            "ours": ours,
            "peer": peer,
            "ratio": {key: peer[key] / ours[key] for key in ours},
        }


def _measured(told: dict[str, object], environment: dict[str, str], windows: int, passes: int) -> dict[str, float]:
    python = Path(os.environ.get("HUILIU_FL_PYTHON", REPOSITORY / ".venv-fl" / "bin" / "python"))
    done = subprocess.run(
        [python, "-m", "tests.benchmarks.training_run", json.dumps({**told, "windows": windows, "passes": passes})],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
