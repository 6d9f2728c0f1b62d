"""One embedded retraining from its start to its report: `python -m tests.benchmarks.round_ours SPEC`.

What `make demo` runs once data are handed out and the roster is approved, without the local-only baseline. SPEC is
JSON: scenario, home, interval_end, rounds, and dags, the folder of another federation than the repository's, or null.
Leaves SPEC's folder/run.json: the run's name.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path

from fl_airflow import settings
from fl_airflow.embedded import run
from fl_airflow.process_tree import adopt_orphans


def main(path: Path) -> int:
    spec = json.loads(path.read_text())
    adopt_orphans()
    if spec["dags"] is not None:
        run.DAGS_FOLDER = settings.DAGS_FOLDER = Path(spec["dags"])
        os.environ["HUILIU_FEDERATION"] = str(run.DAGS_FOLDER / "federation")  # the daemon's, which starts first
    outcome = run.run_retraining(
        spec["scenario"],
        Path(spec["home"]),
        interval_end=dt.datetime.fromisoformat(spec["interval_end"]),
        rounds=spec["rounds"],
        local_only=False,
    )
    (path.parent / "run.json").write_text(json.dumps({"run_id": outcome.folder.name}))
    if not outcome.green:
        print("\n".join(outcome.progress.last_lines()))
    return 0 if outcome.green else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
