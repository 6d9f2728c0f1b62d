"""The facets that OpenLineage has no word for; facets.json beside this file is their schema."""

from __future__ import annotations

from attrs import define
from openlineage.client.facet_v2 import DatasetFacet, RunFacet

PRODUCER = "urn:huiliu:fl_airflow"
SCHEMA = "urn:huiliu:lineage:1"

RUN_FACET = "huiliu_run"
MODEL_FACET = "huiliu_model"


@define(kw_only=True)
class FederatedRunFacet(RunFacet):
    """Which step of which run an event is of, and in a round how many agencies are in its sum."""

    scenario: str
    kind: str
    stage: str
    agency: str | None = None
    round: int | None = None
    survivors: int | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/FederatedRunFacet"


@define(kw_only=True)
class ModelDatasetFacet(DatasetFacet):
    """Which model a file of weights is."""

    sha256: str
    registryVersion: int | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/ModelDatasetFacet"
