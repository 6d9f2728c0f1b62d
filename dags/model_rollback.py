"""
# Model rollback

One DAG per scenario in `federation/scenarios/`; started by hand only.

- Makes a former version the champion again: the parameter `version`, by default the champion's predecessor.
- Adds a signed record to the chain of champions; nothing is deleted. Agencies use the restored model from their next
  forecast on. The asset is not updated, so that no forecast starts by itself.
- Safe to clear or retry. Red means that there is no such version, or that MLflow could not follow.
  See docs/runbooks/model_rollback.md.
"""

from __future__ import annotations

from pathlib import Path

from fl_airflow.dag_builder import build_rollback_dag, is_wanted
from fl_airflow.installation import rollback_dag_id

from fl_tasks.contracts.config import load_federation

FOLDER = Path(__file__).resolve().parent / "federation"

for name, scenario in load_federation(FOLDER).scenarios.items():
    if is_wanted(rollback_dag_id(name)):
        dag = build_rollback_dag(scenario, federation=FOLDER, doc_md=__doc__)
        globals()[dag.dag_id] = dag
