"""What the data stages tell of their columns: declared ones, each with its origin among what the stage read."""

import itertools
import json

import pyarrow.parquet as pq
import pytest

from fl_tasks.contracts.lineage import MOST_COLUMNS, ColumnFact
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.series import REASON
from fl_tasks.stages import reuse
from fl_tasks.stages.lineage import as_input, facts_of, made
from fl_tasks.stages.series import lineage as series
from tests.data.identifier_fakes import Fakes
from tests.stages import data_stages, table_stages
from tests.stages.table_stages import agreed  # noqa: F401 - a fixture

SOURCE = {
    "path": "incoming",
    "source_unit": "mph",
    "unit": "mph",
    "step_minutes": 5,
    "minimum": 0.0,
    "maximum": 120.0,
    "zero_is_missing": True,
}


@pytest.fixture(scope="module")
def table_results(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        table_stages.let_agree(patch)
        home = table_stages.make_home(tmp_path_factory.mktemp("home"))
        return home, {result.stage: result for result in table_stages.run_all(home)}


@pytest.fixture(scope="module")
def series_results(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    rows = [data_stages.row(step) for step in range(288 * 7)]
    data_stages.deliver(home, data_stages.csv_text(rows))
    return {result.stage: result for result in data_stages.run_all(home)}


def told(result, name):
    """The columns of the one input or output of that name."""
    (ref,) = [ref for ref in (*result.inputs, *result.outputs) if ref.name.endswith(name)]
    return {column.name: column for column in ref.facts.columns}


def makings(result, name):
    return {column.name: column.making for column in told(result, name).values()}


def test_every_origin_is_a_column_that_is_told_of_that_input(table_results, series_results):
    for result in (*table_results[1].values(), *series_results.values()):
        outputs = [column for ref in result.outputs for column in ref.facts.columns]
        assert any(column.origins for column in outputs), result.stage
        for origin in itertools.chain.from_iterable(column.origins for column in outputs):
            assert origin.column in {column.name for column in result.inputs[origin.input].facts.columns}
        for ref in result.inputs:
            assert ref.facts.columns
            assert not any(column.origins for column in ref.facts.columns)


def test_what_one_stage_left_is_what_the_next_one_says_it_read(table_results, series_results):
    for results in (table_results[1], series_results):
        left = {ref.name: ref for result in results.values() for ref in result.outputs}
        read = [ref for result in results.values() for ref in result.inputs if ref.name in left]
        assert len(read) >= 3
        for ref in read:
            there = [(column.name, column.type) for column in left[ref.name].facts.columns]
            assert [(column.name, column.type) for column in ref.facts.columns] == there


def test_the_columns_that_are_told_of_a_tables_files_are_those_that_are_in_them(table_results):
    home, results = table_results
    folder = table_stages.folder_of(home)
    for stage, name in (
        ("ingest", "raw.parquet"),
        ("anonymize", "deidentified.parquet"),
    ):
        assert set(told(results[stage], name)) == set(pq.read_schema(folder / name).names)
    for stage, name in (("ingest", "rejected.parquet"), ("anonymize", "quarantine.parquet")):
        further = {REASON, "read_from"}  # why, and the file and line
        assert set(told(results[stage], name)) | further == set(pq.read_schema(folder / name).names)


def test_a_tables_columns_are_masked_generalized_encoded_or_left(table_results):
    _, results = table_results
    raw = told(results["ingest"], "raw.parquet")
    assert [origin.column for origin in raw["age"].origins] == ["alter"]
    assert (raw["age"].making, raw["sex"].making, raw["id"].making) == ("identity", "encoded", "identity")
    assert "name" not in raw
    left = makings(results["anonymize"], "deidentified.parquet")
    assert {name: left[name] for name in ("age", "county", "sex")} == {
        "age": "generalized",
        "county": "generalized",
        "sex": "identity",
    }
    assert left["id"] == left["phone"] == left["split_place"] == "masked"
    assert left["income"] == "identity"
    assert "household" not in left
    (x,) = told(results["standardize"], "features.npy").values()
    assert x.making == "encoded"
    assert {origin.column for origin in x.origins} == {"age", "county", "sex", "income", "work"}
    examples = told(results["validate"], "examples/test")
    assert [(origin.input, origin.column) for origin in examples["x"].origins] == [(1, "x")]
    assert examples["y"].origins[0].column == "entitled"
    assert "group" in examples


def test_checks_come_with_the_column_that_they_are_of(table_results, series_results):
    _, results = table_results
    (rows,) = [ref.facts.checks for ref in results["validate"].inputs if ref.facts.checks]
    columns = {check.column for check in rows if check.name.startswith("values/")}
    assert columns == {"age", "county", "sex", "health", "work", "entitled"}
    assert {check.column for check in rows if check.name.startswith("privacy_k/")} == {None}
    (checks,) = [ref.facts.checks for ref in series_results["validate"].inputs]
    found = {check.name.partition("/")[0]: check for check in checks}
    assert (found["completeness"].column, found["completeness"].passed) == ("value", True)
    assert found["fit_windows"].column is None
    assert set(type(checks[0]).model_fields) == {"name", "column", "severity", "passed"}


def test_series_that_nobody_declared_are_not_told(series_results):
    for result in series_results.values():
        text = result.model_dump_json()
        assert not [name for name in (f"s{i}" for i in range(6)) if f'"{name}"' in text]
    assert makings(series_results["ingest"], "raw.parquet") == {"timestamp": "identity", "series": None, "value": None}
    assert set(told(series_results["ingest"], "speed_5min.csv.gz")) == {"timestamp"}


def test_declared_series_and_identifiers_are_told_where_they_are_delivered():
    source = SourceConfig(
        **SOURCE,
        values={"lane 1": "a", "lane 2": "b"},
        identifiers={"plate": "hash", "driver": "drop"},
        only={"road": ("5",)},
    )
    assert [column.name for column in series.delivered(source)] == [
        *("timestamp", "lane 1", "lane 2", "road", "plate", "driver"),
    ]
    raw = {column.name: column for column in series.raw(source, ["plate", "driver", "undeclared"])}
    assert [origin.column for origin in raw["value"].origins] == ["lane 1", "lane 2"]
    assert set(raw) == {"timestamp", "series", "value", "plate", "driver"}
    left = {column.name: column.making for column in series.deidentified(source.identifiers)}
    assert left == {"timestamp": "identity", "series": "identity", "value": "identity", "plate": "masked"}


def test_a_long_table_and_a_replay_are_told_as_declared():
    long = {"series": "region", "value": "cases"}
    source = SourceConfig(**SOURCE, long=long, replay_shift_weeks=4)
    raw = {column.name: column for column in series.raw(source, ())}
    assert {name: [origin.column for origin in column.origins] for name, column in raw.items()} == {
        "timestamp": ["timestamp"],
        "series": ["region"],
        "value": ["cases"],
    }
    assert raw["timestamp"].making == "encoded"


def test_a_name_that_looks_like_an_identifier_is_withheld_with_what_is_made_of_it():
    mobile = Fakes(3).mobile()
    columns = [
        ColumnFact(name=mobile, type="text"),
        made("hash", "text", "masked", mobile),
        made("both", "text", "encoded", mobile, "age"),
    ]
    facts = facts_of(columns)
    assert mobile not in facts.model_dump_json()
    assert [(column.name, column.making) for column in facts.columns] == [("hash", None), ("both", "encoded")]
    assert facts.further_columns == 1


def test_a_wide_table_tells_its_first_columns_and_how_many_more_there_are():
    columns = [ColumnFact(name=f"pixel {place}", type="number") for place in range(784)]
    facts = as_input(columns)
    assert len(facts.columns) == MOST_COLUMNS
    assert facts.further_columns == 784 - MOST_COLUMNS
    assert len(made("x", "number", "encoded", *(column.name for column in columns)).origins) == MOST_COLUMNS
    assert len(facts.model_dump_json()) < 16_384


def test_a_reused_stage_tells_the_same_of_this_runs_files(table_results):
    _, results = table_results
    earlier = results["anonymize"]
    folder = "runs/benefit__test/"
    record = reuse.StageRecord(key="0" * 64, run_id="benefit__test", files={}, outcome="0" * 64, result=earlier)
    renamed = reuse._renamed(record, "benefit__later")
    assert folder not in json.dumps(renamed.model_dump(mode="json"))
    assert [ref.facts for ref in renamed.outputs] == [ref.facts for ref in earlier.outputs]
