"""What a stage told becomes OpenLineage's own facets, and nothing else does."""

import json

import pytest
from fl_airflow.lineage.events import stage_lineage
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde
from pydantic import ValidationError

from fl_tasks.contracts.lineage import (
    MOST_COLUMNS,
    CheckFact,
    ColumnFact,
    DatasetFacts,
    Making,
    ModelFact,
    Origin,
)
from fl_tasks.contracts.stage import DatasetRef, StageResult
from tests.lineage.conformance import facets_of, faults

SHA256 = "ab" * 32
RAW = DatasetRef(
    namespace="agency:east",
    name="runs/r/raw.parquet",
    facts=DatasetFacts(
        source="files",
        columns=(ColumnFact(name="plate", type="text"), ColumnFact(name="age", type="number")),
        checks=(
            CheckFact(name="ranges/expect_x", column="age", severity="critical", passed=True),
            CheckFact(name="volume/expect_y", severity="warning", passed=False),
        ),
    ),
)


def made(name: str, making: Making, *columns: str) -> ColumnFact:
    return ColumnFact(
        name=name, type="text", making=making, origins=tuple(Origin(input=0, column=column) for column in columns)
    )


def event_of(result: StageResult, **more) -> dict:
    lineage = stage_lineage(result.stage, "traffic", "retraining", agency=None, round_=None, result=result, **more)
    event = RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2026-01-01T00:00:00+00:00",
        run=Run("01890a5d-ac96-774b-bcce-b302099a8057", facets=lineage.run_facets),
        job=Job("huiliu", "job"),
        inputs=lineage.inputs,
        outputs=lineage.outputs,
        producer="urn:test",
    )
    return json.loads(Serde.to_json(event))


def test_each_column_names_the_input_columns_that_it_is_made_of_and_how():
    columns = (
        made("plate", "masked", "plate"),
        made("age", "generalized", "age"),
        made("mean", "aggregated", "age"),
        made("both", "encoded", "plate", "age"),
        made("same", "identity", "age"),
        ColumnFact(name="place", type="number"),
    )
    out = DatasetRef(namespace="agency:east", name="runs/r/out", facts=DatasetFacts(columns=columns))
    event = event_of(StageResult(stage="anonymize", status="done", inputs=(RAW,), outputs=(out,)))
    assert faults(event) == []
    (output,) = event["outputs"]
    fields = output["facets"]["columnLineage"]["fields"]
    assert set(fields) == {"plate", "age", "mean", "both", "same"}
    origins = [(origin["namespace"], origin["name"], origin["field"]) for origin in fields["both"]["inputFields"]]
    assert origins == [(RAW.namespace, RAW.name, "plate"), (RAW.namespace, RAW.name, "age")]
    how = {name: field["inputFields"][0]["transformations"] for name, field in fields.items()}
    assert how["plate"] == [{"type": "DIRECT", "subtype": "TRANSFORMATION", "description": "masked", "masking": True}]
    assert how["age"][0]["masking"]
    assert how["mean"][0]["subtype"] == "AGGREGATION"
    assert how["same"] == [{"type": "DIRECT", "subtype": "IDENTITY", "description": "identity", "masking": False}]
    assert [field["name"] for field in output["facets"]["schema"]["fields"]] == [column.name for column in columns]


def test_checks_are_assertions_of_the_data_set_that_they_were_made_of_without_what_was_observed():
    event = event_of(StageResult(stage="validate", status="done", inputs=(RAW,)))
    assert faults(event) == []
    (found,) = event["inputs"]
    assert found["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {"assertion": "ranges/expect_x", "success": True, "column": "age", "severity": "error", "params": {}},
        {"assertion": "volume/expect_y", "success": False, "severity": "warn", "params": {}},
    ]
    assert found["facets"]["dataSource"]["name"] == "agency:east, files"
    assert found["facets"]["dataSource"]["uri"] == "huiliu://agency/east"


@pytest.mark.parametrize(("version", "told"), [(None, SHA256), (7, "7")])
def test_a_model_has_its_version_and_its_hash(version, told):
    facts = DatasetFacts(model=ModelFact(sha256=SHA256, version=version))
    model = DatasetRef(namespace="exchange", name="final/model.npz", facts=facts)
    event = event_of(StageResult(stage="gate", status="done", inputs=(model,)))
    assert faults(event) == []
    facets = event["inputs"][0]["facets"]
    assert facets["version"]["datasetVersion"] == told
    assert facets["huiliu_model"]["sha256"] == SHA256
    assert facets["huiliu_model"].get("registryVersion") == version


def test_a_rounds_event_counts_the_survivors_of_its_sum_and_a_burnt_one_none():
    done = StageResult(stage="manifest", status="done", members=("east", "north", "west"))
    facet = dict(facets_of(event_of(done)))["huiliu_run"]
    assert (facet["scenario"], facet["stage"], facet["survivors"]) == ("traffic", "manifest", 3)
    for other in (done.model_copy(update={"burnt": True}), done.model_copy(update={"stage": "cohort"})):
        event = event_of(other)
        assert faults(event) == []
        assert "survivors" not in dict(facets_of(event))["huiliu_run"]


def test_a_message_has_no_facet_but_its_place():
    message = DatasetRef(namespace="exchange", name="r/1/manifest")
    event = event_of(StageResult(stage="ack", status="done", inputs=(message,), outputs=(message,)))
    assert faults(event) == []
    assert set(event["inputs"][0]["facets"]) == set(event["outputs"][0]["facets"]) == {"dataSource"}


def test_what_does_not_fit_the_schemas_is_found():
    event = event_of(StageResult(stage="gate", status="done", inputs=(RAW,)))
    assertions = event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    del assertions[0]["success"]
    event["run"]["facets"]["huiliu_run"]["round"] = 0
    event["run"]["runId"] = "no uuid"
    del event["inputs"][0]["facets"]["schema"]["_producer"]
    assert len(faults(event)) >= 4


def test_what_travels_through_xcom_is_bounded():
    columns = tuple(ColumnFact(name=f"c{place}", type="number") for place in range(MOST_COLUMNS + 1))
    with pytest.raises(ValidationError):
        DatasetFacts(columns=columns)
    with pytest.raises(ValidationError):
        ColumnFact(name="c" * 201, type="number")
    with pytest.raises(ValidationError):
        ColumnFact(name="c", type="number", making="identity")
