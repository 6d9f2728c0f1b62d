"""
# Federated retraining

One DAG per scenario in `federation/scenarios/`; one run is one retraining on one data interval.

- Reads each agency's own data, at the agency. Leaves `report.json` and `report.html` in the run's folder.
- A model that passes the gate becomes the champion, which updates the asset `global_model/<scenario>`; any other is
  held. Both are green.
- Parameters only reduce: fewer `rounds`, fewer `agencies`, another data `interval`, no `local_only` baseline. With
  `dry_run` the data are prepared, the cohort's log says who and what would be used, and nothing is trained.
- Safe to clear or retry: a step that has sent its message sends the same bytes again.
- Red means: too few agencies were left, too many rounds were burnt, or a step of the coordinator failed. An agency
  that fails its checks or is away is left out, and the run stays green while the threshold holds.
  See docs/runbooks/retraining.md.
"""

from __future__ import annotations

from pathlib import Path

from fl_airflow.dag_builder import build_retraining_dag, is_wanted
from fl_airflow.installation import retraining_dag_id

from fl_tasks.contracts.config import load_federation

FOLDER = Path(__file__).resolve().parent / "federation"
federation = load_federation(FOLDER)

for name, scenario in federation.scenarios.items():
    if is_wanted(retraining_dag_id(name)):
        dag = build_retraining_dag(scenario, federation.members(name), federation=FOLDER, doc_md=__doc__)
        globals()[dag.dag_id] = dag
