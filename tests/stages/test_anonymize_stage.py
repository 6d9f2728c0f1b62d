"""anonymize: identifiers end at raw.parquet, flow tables lose their small cells, results tell neither."""

from __future__ import annotations

import datetime as dt
import gzip
import importlib.util

import numpy as np
import pytest

from fl_tasks.contracts.data import (
    Deidentified,
    deidentified_path,
    deidentified_record_path,
    flow_table_path,
    prepared_path,
    raw_path,
)
from fl_tasks.contracts.errors import ConfigError, DataRejected, InputError, MissingInput
from fl_tasks.contracts.stage import StageSpec

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

import pyarrow as pa
import pyarrow.parquet as pq

from fl_tasks.data.series import Series, read_series, write_series
from fl_tasks.stages.series import anonymize

PLATES = ["京A12345", "", "京A·12345", "沪B98765", "京A12345"]
AGENCY = """\
agency: {agency}
title: An agency
queue: {agency}
scenarios:
  traffic:
    path: incoming
    identifiers: {{plate: hash, owner: drop}}
    flow_table: {{path: od.csv, time: t, origin: from, destination: to, count: trips}}
    source_unit: vehicles/h
    unit: vehicles/h
    step_minutes: 60
    minimum: 0.0
    maximum: 9000.0
    zero_is_missing: false
"""
TRIPS = [(5 * a + 3 * b) % 13 for a in range(9) for b in range(9)]
SMALL = sum(0 < trips < 5 for trips in TRIPS)
FLOWS = "t,from,to,trips\n" + "".join(f"1,{i // 9},{i % 9},{trips}\n" for i, trips in enumerate(TRIPS))


@pytest.fixture
def home(tmp_path):
    (tmp_path / "federation" / "agencies").mkdir(parents=True)
    for agency in ("east", "west"):
        (tmp_path / "federation" / "agencies" / f"{agency}.yaml").write_text(AGENCY.format(agency=agency))
    return tmp_path


def spec_of(home, agency="east", run_id="traffic__june"):
    interval = (dt.datetime(2018, 6, 1, tzinfo=dt.UTC), dt.datetime(2018, 7, 1, tzinfo=dt.UTC))
    return StageSpec(
        stage="anonymize",
        scenario="traffic",
        run_id=run_id,
        data_interval=interval,
        home=home,
        federation=home / "federation",
        agency=agency,
    )


def ingested(spec, names=("lane_1",), **identifiers):
    times = np.datetime64("2018-06-01T00:00", "us") + np.arange(5) * np.timedelta64(1, "h")
    values = np.arange(5.0 * len(names)).reshape(5, len(names))
    texts = {"plate": PLATES, "owner": ["Wang Fang 13812345678"] * 5} | identifiers
    write_series(raw_path(spec.folder), Series(times, names, values, texts))
    return spec


def deliver(spec, text):
    path = spec.places.agency(spec.agency) / "od.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def record_of(spec):
    return Deidentified.model_validate_json(deidentified_record_path(spec.folder).read_bytes())


def plates_of(spec):
    return read_series(deidentified_path(spec.folder)).identifiers["plate"]


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bytes_of(path):
    """A file's bytes and, as compression tears texts apart, those of its table without any."""
    sink = pa.BufferOutputStream()
    table = pq.ParquetFile(path).read()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return path.read_bytes() + sink.getvalue().to_pybytes()


def test_identifiers_end_at_the_raw_rows(home):
    spec = ingested(spec_of(home))
    result = anonymize.run(spec)
    raw, out = bytes_of(raw_path(spec.folder)), bytes_of(deidentified_path(spec.folder))
    for canary in ("京A12345", "京A·12345", "沪B98765", "Wang Fang", "13812345678", "owner"):
        assert canary.encode() in raw
        assert canary.encode() not in out
    for path in spec.folder.rglob("*"):
        assert path == raw_path(spec.folder) or not path.is_file() or "京A".encode() not in path.read_bytes()
    before, after = read_series(raw_path(spec.folder)), read_series(deidentified_path(spec.folder))
    assert (after.values == before.values).all()
    assert (after.times == before.times).all()
    assert after.names == before.names
    assert record_of(spec).identifiers == {"plate": "hash", "owner": "drop"}
    assert result.digests == {"deidentified": record_of(spec).sha256}


def test_a_plate_keeps_its_pseudonym_within_a_run_and_nowhere_else(home):
    plates = []
    for agency, run_id in (("east", "traffic__june"), ("east", "traffic__july"), ("west", "traffic__june")):
        spec = ingested(spec_of(home, agency, run_id))
        anonymize.run(spec)
        found = plates_of(spec)
        assert found[0] == found[2] == found[4] != found[3]
        assert found[1] == ""
        assert all(len(text) == 64 for text in (found[0], found[3]))
        plates.append(found[0])
        key = spec.places.agency(agency) / "keys" / "pseudonym.key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert len(key.read_bytes()) == 32
    assert len(set(plates)) == 3


def test_no_secret_is_made_where_nothing_is_hashed(home):
    spec = spec_of(home)
    path = home / "federation" / "agencies" / "east.yaml"
    path.write_text(path.read_text().replace("plate: hash", "plate: drop"))
    anonymize.run(ingested(spec))
    assert not (spec.places.agency("east") / "keys").exists()
    assert read_series(deidentified_path(spec.folder)).identifiers == {}


def test_a_declared_column_that_was_not_delivered_is_not_on_record(home):
    spec = spec_of(home)
    write_series(
        raw_path(spec.folder), Series(np.array(["2018-06-01"], dtype="datetime64[us]"), ("a",), np.ones((1, 1)))
    )
    anonymize.run(spec)
    assert record_of(spec).identifiers == {}


@pytest.mark.parametrize("text", ["京A·12345", "11010519491231002X", "138 1234 5678", "91350100M000100Y43"])
def test_what_looks_like_an_identifier_is_refused_by_its_column_and_never_told(home, caplog, text):
    caplog.set_level("DEBUG", logger="fl_tasks")
    spec = ingested(spec_of(home), names=("lane_1", text))
    with pytest.raises(DataRejected, match=r"agency east: series 2 of 2: its name looks like") as by_name:
        anonymize.run(spec)
    ingested(spec, note=["", "", f"seen {text} at noon", "", ""])
    with pytest.raises(DataRejected, match=r"agency east: column 'note': a text looks like") as by_text:
        anonymize.run(spec)
    ingested(spec)
    deliver(spec, FLOWS + f"2,{text},0,9\n")
    with pytest.raises(DataRejected, match=r"agency east: od\.csv: column 'from': a text looks like") as by_flow:
        anonymize.run(spec)
    for caught in (by_name, by_text, by_flow):
        assert text not in str(caught.value)
    assert text not in caplog.text
    assert not deidentified_path(spec.folder).exists()
    assert not deidentified_record_path(spec.folder).exists()


def test_a_flow_table_loses_its_small_cells_and_the_record_counts_them(home):
    spec = ingested(spec_of(home))
    deliver(spec, FLOWS)
    result = anonymize.run(spec)
    out = pq.ParquetFile(flow_table_path(spec.folder)).read()
    trips = out.column("trips").to_pylist()
    record = record_of(spec)
    assert trips.count(None) == record.suppressed + record.complementary
    assert not any(count in trips for count in (1, 2, 3, 4))
    assert record.exposed == 0
    assert result.counts["suppressed"] == record.suppressed == SMALL
    assert result.counts["cells"] == record.cells == sum(trips > 0 for trips in TRIPS)
    assert {ref.name for ref in result.inputs} == {"runs/traffic__june/raw.parquet", "od.csv"}
    assert {ref.name for ref in result.outputs} == {
        "runs/traffic__june/deidentified.parquet",
        "runs/traffic__june/flow_table.parquet",
    }


def test_small_counts_of_cells_stay_at_home(home):
    spec = ingested(spec_of(home))
    deliver(spec, "t,from,to,trips\n1,a,b,3\n1,c,d,60\n1,a,d,70\n1,c,b,80\n")
    result = anonymize.run(spec)
    assert (record_of(spec).suppressed, record_of(spec).complementary, record_of(spec).cells) == (1, 3, 4)
    assert result.counts == {}


def test_a_flow_table_that_was_not_delivered_is_no_error_and_leaves_none_behind(home):
    spec = ingested(spec_of(home))
    deliver(spec, FLOWS)
    anonymize.run(spec)
    (spec.places.agency("east") / "od.csv").unlink()
    result = anonymize.run(spec)
    assert (record_of(spec).suppressed, record_of(spec).complementary, record_of(spec).cells) == (None, None, None)
    assert not flow_table_path(spec.folder).exists()
    assert [ref.name for ref in result.inputs] == ["runs/traffic__june/raw.parquet"]


def test_a_run_again_gives_the_same_bytes(home):
    spec = ingested(spec_of(home))
    deliver(spec, FLOWS)
    first = anonymize.run(spec)
    before = files_of(spec.folder)
    assert anonymize.run(spec) == first
    assert files_of(spec.folder) == before


def test_once_examples_are_frozen_neither_secret_nor_sources_are_looked_at_again(home):
    spec = ingested(spec_of(home))
    deliver(spec, FLOWS)
    first = anonymize.run(spec)
    prepared_path(spec.folder).write_text("{}")
    before = files_of(spec.folder)
    (spec.places.agency("east") / "keys" / "pseudonym.key").unlink()
    deliver(spec, "nothing of the kind")
    assert anonymize.run(spec) == first
    assert files_of(spec.folder) == before
    assert not (spec.places.agency("east") / "keys" / "pseudonym.key").exists()


@pytest.mark.parametrize("path_of", [deidentified_path, deidentified_record_path])
def test_a_frozen_run_whose_files_are_lost_or_changed_is_not_made_anew(home, path_of):
    spec = ingested(spec_of(home))
    anonymize.run(spec)
    prepared_path(spec.folder).write_text("{}")
    if path_of is deidentified_path:
        path_of(spec.folder).write_bytes(path_of(spec.folder).read_bytes() + b"x")
        with pytest.raises(InputError, match="not the file that anonymize left"):
            anonymize.run(spec)
    path_of(spec.folder).unlink()
    with pytest.raises(InputError, match="not the file that anonymize left"):
        anonymize.run(spec)


def test_results_logs_and_records_hold_no_identifier_and_no_path_of_the_machine(home, caplog):
    caplog.set_level("DEBUG", logger="fl_tasks")
    spec = ingested(spec_of(home))
    deliver(spec, FLOWS)
    text = anonymize.run(spec).model_dump_json() + caplog.text
    assert f"stage=anonymize agency=east identifiers=2 suppressed={SMALL}" in text
    for secret in (*filter(None, PLATES), *filter(None, plates_of(spec)), "Wang", str(home)):
        assert secret not in text


def test_a_malformed_flow_table_leaves_no_record(home):
    spec = ingested(spec_of(home))
    deliver(spec, FLOWS + "1,0,0,x\n")
    with pytest.raises(InputError, match=r"agency east: od\.csv: line 83: column 'trips'"):
        anonymize.run(spec)
    assert not deidentified_record_path(spec.folder).exists()


def test_it_needs_ingest_before_it_and_an_agency_that_joined(home):
    with pytest.raises(MissingInput, match=r"raw\.parquet"):
        anonymize.run(spec_of(home))
    path = home / "federation" / "agencies" / "east.yaml"
    path.write_text(path.read_text().replace("  traffic:", "  another:"))
    with pytest.raises(ConfigError, match="'traffic' is not there"):
        anonymize.run(spec_of(home))


def test_new_yorks_first_week_stands_on_record(home, shared_data):
    spec = ingested(spec_of(home))
    source = shared_data / "traffic" / "new_york_taxi_od_1h_first_week.csv.gz"
    deliver(
        spec, gzip.decompress(source.read_bytes()).decode().replace("hour_index,origin_zone,dest_zone", "t,from,to")
    )
    result = anonymize.run(spec)
    record = record_of(spec)
    assert (record.cells, record.suppressed, record.complementary, record.exposed) == (111_170, 48_509, 330, 0)
    assert result.counts == {"cells": 111_170, "suppressed": 48_509, "complementary": 330}
