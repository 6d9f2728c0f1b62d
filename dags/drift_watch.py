"""
# Drift watch

One DAG per scenario in `federation/scenarios/` that has `drift`: each day every agency holds its newest data against
those that the champion was trained on. Once the data of more than `drift.agencies` agencies have moved further than
`drift.limit`, a retraining starts before its month is over.

- Reads each agency's own data, at the agency. What leaves is a verdict and, where the agency's policy lets it
  (`share_drift`), the population stability index, at most 2.
- The early retraining learns from as long a span as its schedule's, up to now. It starts once in an interval of that
  schedule, and never beside a run that is under way.
- An agency that is away, failed its data checks or was not part of the champion's training is not counted.
- Parameters only reduce: fewer `agencies`, another data `interval`.
- Safe to clear or retry. Red means that the words could not be counted. See docs/runbooks/drift-watch.md.
"""

from __future__ import annotations

from pathlib import Path

from fl_airflow.dag_builder import build_watch_dag, is_wanted
from fl_airflow.installation import watch_dag_id

from fl_tasks.contracts.config import load_federation

FOLDER = Path(__file__).resolve().parent / "federation"
federation = load_federation(FOLDER)

for name, scenario in federation.scenarios.items():
    if scenario.drift is not None and is_wanted(watch_dag_id(name)):
        dag = build_watch_dag(scenario, federation.members(name), federation=FOLDER, doc_md=__doc__)
        globals()[dag.dag_id] = dag
