"""A stage's data sets as those of an OpenLineage event, with everything that the stage told of them as facets."""

from __future__ import annotations

from collections.abc import Sequence

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    datasource_dataset,
    schema_dataset,
)

from fl_airflow.lineage.facets import MODEL_FACET, PRODUCER, ModelDatasetFacet
from fl_tasks.contracts.lineage import CheckFact, ColumnFact, DatasetFacts, Making, ModelFact
from fl_tasks.contracts.stage import DatasetRef

# How OpenLineage calls what becomes of a column: subtype of a direct transformation, and whether it hides values.
_TRANSFORMATIONS: dict[Making, tuple[str, bool]] = {
    "identity": ("IDENTITY", False),
    "encoded": ("TRANSFORMATION", False),
    "masked": ("TRANSFORMATION", True),
    "generalized": ("TRANSFORMATION", True),
    "aggregated": ("AGGREGATION", False),
}
_SEVERITIES = {"critical": "error", "warning": "warn", "info": "info"}


def input_datasets(refs: Sequence[DatasetRef]) -> list[InputDataset]:
    """Return a stage's inputs; checks that were made of one stand in its input facets."""
    found = []
    for ref in refs:
        checks = () if ref.facts is None else ref.facts.checks
        inputs: dict[str, InputDatasetFacet] = {} if not checks else {"dataQualityAssertions": _assertions(checks)}
        found.append(InputDataset(ref.namespace, ref.name, facets=_facets(ref), inputFacets=inputs))
    return found


def output_datasets(refs: Sequence[DatasetRef], inputs: Sequence[DatasetRef]) -> list[OutputDataset]:
    """Return a stage's outputs, each column with the columns of the inputs that it is made of."""
    found = []
    for ref in refs:
        facets = _facets(ref)
        if ref.facts is not None and any(column.origins for column in ref.facts.columns):
            facets["columnLineage"] = _column_lineage(ref.facts.columns, inputs)
        found.append(OutputDataset(ref.namespace, ref.name, facets=facets))
    return found


def _facets(ref: DatasetRef) -> dict[str, DatasetFacet]:
    facts = ref.facts or DatasetFacts()
    place = ref.namespace if facts.source is None else f"{ref.namespace}, {facts.source}"
    facets: dict[str, DatasetFacet] = {
        # A place is no address: what lies there is reached by the party whose it is, and by nobody through lineage.
        "dataSource": datasource_dataset.DatasourceDatasetFacet(
            name=place, uri=f"huiliu://{ref.namespace.replace(':', '/')}", producer=PRODUCER
        )
    }
    if facts.columns:
        facets["schema"] = _schema(facts)
    if facts.model is not None:
        facets["version"] = _version(facts.model)
        facets[MODEL_FACET] = ModelDatasetFacet(
            sha256=facts.model.sha256, registryVersion=facts.model.version, producer=PRODUCER
        )
    return facets


def _schema(facts: DatasetFacts) -> schema_dataset.SchemaDatasetFacet:
    return schema_dataset.SchemaDatasetFacet(
        fields=[
            schema_dataset.SchemaDatasetFacetFields(name=column.name, type=column.type, ordinal_position=place)
            for place, column in enumerate(facts.columns, start=1)
        ],
        producer=PRODUCER,
    )


def _version(model: ModelFact) -> dataset_version_dataset.DatasetVersionDatasetFacet:
    version = model.sha256 if model.version is None else str(model.version)
    return dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version, producer=PRODUCER)


def _assertions(
    checks: Sequence[CheckFact],
) -> data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet:
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[
            data_quality_assertions_dataset.Assertion(
                assertion=check.name,
                success=check.passed,
                column=check.column,
                severity=_SEVERITIES[check.severity],
            )
            for check in checks
        ],
        producer=PRODUCER,
    )


def _column_lineage(
    columns: Sequence[ColumnFact], inputs: Sequence[DatasetRef]
) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            column.name: column_lineage_dataset.Fields(
                inputFields=[
                    column_lineage_dataset.InputField(
                        namespace=inputs[origin.input].namespace,
                        name=inputs[origin.input].name,
                        field=origin.column,
                        transformations=[_transformation(column.making)],
                    )
                    for origin in column.origins
                ]
            )
            for column in columns
            if column.making is not None
        },
        producer=PRODUCER,
    )


def _transformation(making: Making | None) -> column_lineage_dataset.Transformation:
    assert making is not None  # the contract holds it of a column that has origins
    subtype, masking = _TRANSFORMATIONS[making]
    return column_lineage_dataset.Transformation(type="DIRECT", subtype=subtype, description=making, masking=masking)
