"""The asset that stands for a scenario's champion. Only a promotion updates it, once a version."""

from __future__ import annotations

from airflow.sdk import Asset

from fl_airflow.installation import asset_name


def global_model(scenario: str) -> Asset:
    """Return a scenario's asset; the extra of its events is `version`, `model_sha256` and `data_interval`."""
    name = asset_name(scenario)
    return Asset(name=name, uri=f"huiliu://{name}")
