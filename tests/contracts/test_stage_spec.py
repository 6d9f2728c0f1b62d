"""What a spec may say: typed, in its own run's folder, and nothing that leads out of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pydantic import ValidationError

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.stage import StageSpec, read_spec

START = dt.datetime(2012, 3, 1, tzinfo=dt.UTC)
GOOD = {
    "stage": "train",
    "scenario": "traffic",
    "run_id": "traffic__scheduled__2012-03-01T00:00:00+00:00",
    "data_interval": (START, START.replace(month=4)),
    "home": Path("/home/huiliu"),
    "federation": Path("/home/huiliu/dags/federation"),
    "agency": "new_york",
    "round": 1,
}


@pytest.mark.parametrize("run_id", ["traffic__manual__1", "forecast.traffic__x", "rollback.traffic__x"])
def test_a_run_is_named_after_its_scenario(run_id):
    assert StageSpec(**{**GOOD, "run_id": run_id}).folder == Path("/home/huiliu/agencies/new_york/runs") / run_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", "rosters"),  # folders that lie beside those of the runs
        ("run_id", "registry"),
        ("run_id", "traffic__"),
        ("run_id", "other__manual__1"),
        ("run_id", "a.b.traffic__x"),
        ("run_id", "traffic__../../agencies"),
        ("run_id", "traffic__x\n"),
        ("run_id", "traffic__" + "x" * 200),
        ("agency", "../new_york"),
        ("agency", "new_york; rm"),
        ("agency", "--help"),
        ("scenario", "traffic/../x"),
        ("stage", "shell"),
        ("round", 0),
        ("round", True),
        ("round", "1"),
        ("home", Path("relative")),
        ("home", Path("/home/huiliu/../other")),
        ("federation", Path("/home/huiliu/../../etc")),
        ("agencies", ("new_york", "x y")),
        ("masking", False),
    ],
)
def test_a_spec_that_leads_elsewhere_is_refused(field, value):
    StageSpec(**GOOD)
    with pytest.raises(ValidationError):
        StageSpec(**{**GOOD, field: value})


def test_a_spec_file_is_refused_with_its_field_and_without_its_value(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(StageSpec(**GOOD).model_dump_json(by_alias=True).replace("new_york", "$(canary)"))
    with pytest.raises(ConfigError) as caught:
        read_spec(path)
    assert "spec.json: field agency" in str(caught.value)
    assert "canary" not in str(caught.value)
