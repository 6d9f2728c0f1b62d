"""Tell Airflow that this installation's operators and DAG builders are there: registration only."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class FederatedLearningPlugin(AirflowPlugin):
    """The name under which `airflow plugins` lists the installation."""

    name = "fl_airflow"
