"""ingest as a stage: what it leaves, what it tells, and when it reads the source again."""

from __future__ import annotations

import datetime as dt
import importlib.util
import shutil
import sqlite3
from zoneinfo import ZoneInfo

import pytest

from fl_tasks.contracts.data import (
    SMALL_CELL,
    Accepted,
    Ingested,
    accepted_path,
    ingested_path,
    prepared_path,
    raw_path,
)
from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import StageSpec

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

from fl_tasks.data.accepted import save_accepted
from fl_tasks.data.series import read_series
from fl_tasks.stages.series import ingest
from tests.stages.federation_run import REPOSITORY

AGENCY = "los_angeles"
ZONE = ZoneInfo("America/New_York")
MONTHS = [dt.datetime(2018, month, 1, tzinfo=ZONE) for month in (5, 6, 7)]
CANARY = "61.03125"


@pytest.fixture
def federation(tmp_path):
    folder = tmp_path / "federation"
    shutil.copytree(REPOSITORY / "dags" / "federation", folder)
    return folder


def declare(federation, *lines):
    """Write the agency's YAML with these lines in place of path and replay."""
    path = federation / "agencies" / f"{AGENCY}.yaml"
    text = path.read_text()
    for old in ("    path: incoming\n", "    replay_shift_weeks: 329\n"):
        assert old in text
        text = text.replace(old, "")
    path.write_text(text + "".join(f"    {line}\n" for line in lines))


def spec_of(tmp_path, interval=1, agency=AGENCY, **changes):
    return StageSpec(
        stage="ingest",
        scenario="traffic",
        run_id=f"traffic__{interval}",
        data_interval=(MONTHS[interval - 1], MONTHS[interval]),
        home=tmp_path / "home",
        federation=tmp_path / "federation",
        agency=agency,
        **changes,
    )


def deliver(tmp_path, name, *rows, header="timestamp,a,b"):
    path = Home(tmp_path / "home").agency(AGENCY) / "incoming" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((header, *rows)) + "\n")


def ingested(spec):
    return Ingested.model_validate_json(ingested_path(spec.folder).read_bytes())


def accept(tmp_path, spec):
    """What the validate stage does when a run's data pass."""
    path = accepted_path(Home(tmp_path / "home").agency(AGENCY), "traffic")
    save_accepted(path, Accepted(interval_end=spec.data_interval[1], months=ingested(spec).months))


def test_it_leaves_the_rows_of_the_span_and_says_what_it_read(tmp_path, federation):
    declare(federation, "path: incoming", "identifiers: {plate: hash}")
    deliver(
        tmp_path,
        "may.csv",
        *(f"2018-05-{day:02d},{day},2,p{day}" for day in range(1, 31)),
        header="timestamp,a,b,plate",
    )
    spec = spec_of(tmp_path)
    result = ingest.run(spec)
    raw = read_series(raw_path(spec.folder))
    assert raw.names == ("a", "b")
    assert raw.identifiers["plate"][:2] == ["p1", "p2"]
    assert sorted(ingested(spec).months) == ["2018-03", "2018-04", "2018-05"]
    assert (ingested(spec).files, ingested(spec).rows_read) == (("may.csv",), 30)
    assert result.counts == {"rows": 30}  # two series are a small cell
    assert result.reason == ""
    assert [item.name for item in (*result.inputs, *result.outputs)] == ["incoming", "runs/traffic__1/raw.parquet"]
    assert {path.stat().st_mode & 0o777 for path in spec.folder.rglob("*") if path.is_file()} == {0o600}


def test_a_replay_is_said(tmp_path, federation):
    deliver(tmp_path, "a.csv", "2012-03-01 00:00:00,1,2")
    result = ingest.run(spec_of(tmp_path, 2))
    assert result.reason == "replayed: moved by 329 weeks"


def test_late_and_corrected_data_of_an_accepted_month_are_read_anew_and_said(tmp_path, federation):
    declare(federation, "path: incoming")
    deliver(tmp_path, "2018-05.csv", *(f"2018-05-{day:02d},{day},2" for day in range(1, 31)))
    ingest.run(spec_of(tmp_path, 1))
    accept(tmp_path, spec_of(tmp_path, 1))
    deliver(tmp_path, "2018-06.csv", *(f"2018-06-{day:02d},{day},2" for day in range(1, 31)))
    assert ingest.run(spec_of(tmp_path, 2)).reason == ""
    deliver(tmp_path, "2018-06-late.csv", "2018-05-03,9,", "2018-05-31,1,2", "2018-04-30,1,2")
    spec = spec_of(tmp_path, 2)
    result = ingest.run(spec)
    assert result.reason == (
        "a later file replaced values of an earlier one; 2018-04, 2018-05 have changed since the last accepted run "
        "(late or corrected data); they were read anew"
    )
    assert ingested(spec).notes == tuple(result.reason.split("; ", 1))
    assert len(read_series(raw_path(spec.folder)).times) == 63
    accept(tmp_path, spec)
    assert "2018-05" not in ingest.run(spec).reason


def test_once_the_examples_are_frozen_the_source_is_not_read_again(tmp_path, federation):
    declare(federation, "path: incoming")
    deliver(tmp_path, "a.csv", *(f"2018-05-{day:02d},{day},2" for day in range(1, 31)))
    spec = spec_of(tmp_path)
    first = ingest.run(spec)
    assert ingest.run(spec) == first
    prepared_path(spec.folder).write_text("{}")
    accept(tmp_path, spec)
    deliver(tmp_path, "b.csv", "2018-05-03,9,9")
    assert ingest.run(spec) == first
    prepared_path(spec.folder).unlink()
    assert ingest.run(spec) != first


def test_a_source_that_is_wrong_leaves_nothing(tmp_path, federation):
    declare(federation, "path: incoming")
    deliver(tmp_path, "a.csv", "2018-05-01,1,2", f"2018-05-02,x{CANARY},2")
    with pytest.raises(InputError, match=r"^agency los_angeles: incoming/a\.csv: line 3: column 'a' is not a number"):
        ingest.run(spec_of(tmp_path))
    assert not spec_of(tmp_path).folder.exists()


def test_the_url_of_a_database_is_in_no_result_log_or_file(tmp_path, federation, caplog):
    caplog.set_level("DEBUG")
    declare(federation, "sql: {url_file: secrets/url, table: speed}")
    folder = Home(tmp_path / "home").agency(AGENCY)
    (folder / "secrets").mkdir(parents=True)
    connection = sqlite3.connect(folder / "canary_name.db")
    connection.execute("CREATE TABLE speed (timestamp TEXT, a REAL)")
    connection.executemany(
        "INSERT INTO speed VALUES (?, ?)", [(f"2018-05-0{day}", float(CANARY)) for day in range(1, 10)]
    )
    connection.commit()
    connection.close()
    (folder / "secrets" / "url").write_text("sqlite:///canary_name.db")
    (folder / "secrets" / "url").chmod(0o600)
    spec = spec_of(tmp_path)
    result = ingest.run(spec)
    assert [item.name for item in result.inputs] == ["table speed"]
    assert (ingested(spec).files, result.counts) == (("table speed",), {"rows": 9})
    told = caplog.text + result.model_dump_json() + ingested_path(spec.folder).read_text()
    assert "stage=ingest agency=los_angeles rows=9" in caplog.text
    assert "canary_name" not in told
    assert CANARY not in told


def test_small_counts_are_not_told(tmp_path, federation, caplog):
    declare(federation, "path: incoming")
    deliver(tmp_path, "a.csv", *(f"2018-05-{day:02d},{day},2" for day in range(1, SMALL_CELL)))
    assert ingest.run(spec_of(tmp_path)).counts == {}


def test_an_agency_that_has_not_joined_is_told_so(tmp_path, federation):
    with pytest.raises(ConfigError, match="agency district_northeast: field scenarios: 'traffic' is not there"):
        ingest.run(spec_of(tmp_path, agency="district_northeast"))


def test_a_source_in_utc_becomes_wall_time_of_the_scenarios_zone(tmp_path, federation):
    declare(federation, "path: incoming", "time: {timezone: UTC}")
    deliver(tmp_path, "1.csv", "2018-03-01 04:55,60,60", "2018-03-01 05:00,61,61", "2018-06-01 03:55,62,62")
    spec = spec_of(tmp_path)
    ingest.run(spec)
    raw = read_series(raw_path(spec.folder))
    assert raw.times.tolist() == [dt.datetime(2018, 3, 1), dt.datetime(2018, 5, 31, 23, 55)]
