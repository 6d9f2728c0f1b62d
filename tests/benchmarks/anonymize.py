"""De-identification: Mondrian beside anonypy, the exact lattice search beside anjana, in CPU seconds of one core.

Columns and rules: docs/performance.md. Every release is measured again and has to reach k within the suppression limit.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import anonymize_tables
from tests.benchmarks.anonymize_run import SUPPRESSION
from tests.benchmarks.peers import environment

PEERS = {"mondrian": "anonypy", "lattice": "anjana"}
# Up to so many rows a peer is expected to need less than two minutes.
PEER_ROWS = {
    ("mondrian", "ordinary"): 300_000,
    ("mondrian", "worst"): 30_000,
    ("lattice", "ordinary"): 1_000_000,
    ("lattice", "worst"): 30_000,
}
# Seconds on the clock for a million rows, and bytes at the peak for each byte of the data.
MOST_SECONDS = {"ordinary": 2.0, "worst": 6.0}
MOST_MEMORY = 4.0
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """One row."""

    rows: int
    k: int
    method: str
    case: str

    @property
    def peer(self) -> bool:
        """Whether the peer is measured too."""
        return self.rows <= PEER_ROWS[self.method, self.case]


WORKS = tuple(
    Work(rows, k, method, case)
    for case in ("ordinary", "worst")
    for method in ("mondrian", "lattice")
    for rows in (30_000, 300_000, 1_000_000)
    for k in (5, 10)
)


def rows(say: Say, works: tuple[Work, ...] = WORKS, *, peers: bool = True) -> Iterator[dict]:
    """Measure all rows; each of ours in a process of its own, so that its memory is its own."""
    pythons = {method: environment(name, say) for method, name in PEERS.items()} if peers else {}
    with tempfile.TemporaryDirectory() as folder:
        for work in works:
            say(f"bench: {work.method}, {work.rows:,} rows, k = {work.k}, {work.case} case")
            theirs = _peer(work, pythons[work.method], Path(folder)) if work.method in pythons and work.peer else {}
            yield _row(work, _ours(work), theirs)


def _row(work: Work, ours: dict, theirs: dict) -> dict:
    source, data_bytes = ours.pop("data"), ours["data_bytes"]
    limits = {}
    if work.rows >= 1_000_000:
        limits = {
            "seconds": ours["wall"] / MOST_SECONDS[work.case] * 1_000_000 / work.rows,
            "memory": ours["peak_bytes"] / data_bytes / MOST_MEMORY,
        }
    return {
        "work": {"rows": work.rows, "k": work.k, "method": work.method, "case": work.case, "data": source},
        "ours": ours,
        "peer": theirs,
        "ratio": {f"{work.method}_vs_{PEERS[work.method]}": theirs["cpu"] / ours["cpu"]} if theirs else {},
        "limit_ratio": limits,
    }


def _ours(work: Work) -> dict:
    command = [sys.executable, "-m", "tests.benchmarks.anonymize_run"]
    command += [str(work.rows), str(work.k), work.method, work.case]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_CORE})
    return json.loads(done.stdout)


def _peer(work: Work, python: Path, folder: Path) -> dict:
    """Hand the same table over as CSV; whatever else it takes with it is thrown away."""
    table = getattr(anonymize_tables, work.case)(work.rows)
    path = folder / f"{work.case}-{work.rows}.csv"
    names = list(table.columns)
    # A peer needs days as numbers to cut them at their median.
    columns = [
        column.astype("datetime64[D]").astype(int) if column.dtype.kind == "M" and work.method == "mondrian" else column
        for column in table.columns.values()
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "sensitive"])
        for number, row in enumerate(zip(*columns, strict=True)):
            writer.writerow([*row, number % 7])
    job = {"data": str(path), "quasi": names, "numeric": sorted(table.numeric), "k": work.k}
    if work.method == "lattice":
        job["suppression"] = 100 * SUPPRESSION
        job["hierarchies"] = {
            hierarchy.column: [[level.labels[group] for group in level.group] for level in hierarchy.levels]
            for hierarchy in table.hierarchies
        }
    program = Path(__file__).parent / "peers" / f"{PEERS[work.method]}.py"
    done = subprocess.run(
        [python, "-P", program],  # the program bears the package's name
        check=True,
        input=json.dumps(job) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_CORE},
    )
    path.unlink()
    return json.loads(done.stdout)
