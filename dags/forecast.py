"""
# Forecast

One DAG per scenario in `federation/scenarios/`: each agency uses the champion on its own data. It forecasts its series,
or scores the rows of its table: the probability of each class, for each row.

- Starts when a promotion updates the asset `global_model/<scenario>`; by hand at any time.
- Reads each agency's own data, at the agency. Forecast or scores stay there, in the agency's own folder and units.
- The data interval is that of the promoted model; by hand the parameter `interval`, else the last one that is over.
- Parameters only reduce: fewer `agencies`, another data `interval`.
- Safe to clear or retry. Red means that at least one agency has no forecast or scores; the others have theirs.
  See docs/runbooks/forecast.md.
"""

from __future__ import annotations

from pathlib import Path

from fl_airflow.dag_builder import build_forecast_dag, is_wanted
from fl_airflow.installation import forecast_dag_id

from fl_tasks.contracts.config import load_federation

FOLDER = Path(__file__).resolve().parent / "federation"
federation = load_federation(FOLDER)

for name, scenario in federation.scenarios.items():
    if is_wanted(forecast_dag_id(name)):
        dag = build_forecast_dag(scenario, federation.members(name), federation=FOLDER, doc_md=__doc__)
        globals()[dag.dag_id] = dag
