"""One measurement of ours in a process of its own: `python -m tests.benchmarks.anonymize_run 30000 5 lattice ordinary`.

From the columns as an agency has them (texts, numbers, days) to the columns as they are released, as texts; the
hierarchies are laid out before. Prints JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from fl_tasks.anonymize.cells import count_cells
from fl_tasks.anonymize.lattice import search
from fl_tasks.anonymize.metrics import measure
from fl_tasks.anonymize.mondrian import partition
from fl_tasks.anonymize.release import Release, by_levels
from fl_tasks.anonymize.table import encode, ordered
from fl_tasks.contracts.anonymize import PrivacyPolicy
from tests.benchmarks import anonymize_tables
from tests.benchmarks.anonymize_tables import Table

SUPPRESSION = 0.05
LONG = 1.0  # seconds; after these a figure is the median of what was measured


def release(table: Table, method: str, policy: PrivacyPolicy) -> Release:
    """De-identify a table and write out all its columns."""
    pairs = list(zip(table.columns.items(), table.hierarchies, strict=True))
    if method == "lattice":
        codes = [encode(hierarchy, column) for (_, column), hierarchy in pairs]
        cells, cell_of_row = count_cells(codes, [len(hierarchy.values) for hierarchy in table.hierarchies])
        found = search(cells, table.hierarchies, policy)
        made = by_levels(cells, cell_of_row, table.hierarchies, found.outcome)
    else:
        columns = [
            ordered(name, column, "numeric")
            if name in table.numeric
            else ordered(name, column, "categorical", hierarchy)
            for (name, column), hierarchy in pairs
        ]
        made = partition(columns, [], policy)
    for name in table.columns:
        made.texts(name)
    return made


def run(rows: int, k: int, method: str, case: str) -> dict:
    """Measure; the first run counts for memory, the median for time."""
    table: Table = getattr(anonymize_tables, case)(rows)
    for hierarchy in table.hierarchies:
        assert hierarchy.code_of  # laid out before the clock starts, as the levels are
        assert hierarchy.rank is not None
    policy = PrivacyPolicy(k=k, suppression=SUPPRESSION)
    before = _reset_peak()
    made = release(table, method, policy)
    peak = _status("VmHWM") - before
    report = measure(made, [], policy, sha256="0" * 64)
    assert not report.short_of(), report.short_of()
    del made
    cpu: list[float] = []
    wall: list[float] = []
    while len(cpu) < 3 or (len(cpu) < 9 and sum(cpu) < LONG):
        start = time.process_time(), time.perf_counter()
        release(table, method, policy)
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return {
        "data": table.source,
        "cpu": statistics.median(cpu),
        "wall": statistics.median(wall),
        "classes": report.classes,
        "suppressed": report.suppressed,
        "ncp": report.ncp,
        "peak_bytes": peak,
        "data_bytes": table.bytes,
    }


def _reset_peak() -> int:
    """Let the kernel's count of the largest resident set begin anew; return what is resident now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    np.seterr(all="raise")
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])))
