"""What a spec may say: typed, in its own run's folder, and nothing that leads out of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pydantic import ValidationError

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.stage import (
    AGENCY_STAGES,
    COORDINATOR_STAGES,
    ROUND_STAGES,
    SESSION_STAGES,
    StageSpec,
    read_spec,
)

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


@pytest.mark.parametrize("run_id", ["traffic__manual__1", "forecast.traffic__x", "watch.traffic__x"])
def test_a_run_is_named_after_its_scenario(run_id):
    spec = StageSpec(**{**GOOD, "stage": "ingest", "round": None, "run_id": run_id})
    assert spec.folder == Path("/home/huiliu/agencies/new_york/runs") / run_id


def whole(stage: str, kind: str) -> StageSpec:
    agency, round_ = "new_york" if stage in AGENCY_STAGES else None, 1 if stage in ROUND_STAGES else None
    return StageSpec(**{**GOOD, "stage": stage, "agency": agency, "round": round_, "run_id": f"{kind}traffic__x"})


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        ("forecast.", {"ingest", "anonymize", "standardize", "predict"}),
        ("watch.", {"ingest", "anonymize", "standardize", "watch", "drift"}),
        ("rollback.", {"rollback"}),
        ("survey.", {"survey", "count", "recode", *SESSION_STAGES}),
        (
            "",
            {*AGENCY_STAGES, *COORDINATOR_STAGES} - {"survey", "count", "recode"},
        ),
        ("train.", set()),
    ],
)
def test_a_run_does_the_work_of_its_own_kind_alone(kind, stages):
    """Else a retraining could be had under the name of a forecast, about which no data officer is asked."""
    for stage in {*AGENCY_STAGES, *COORDINATOR_STAGES}:
        if stage in stages:
            assert whole(stage, kind).stage == stage
        else:
            with pytest.raises(ValidationError, match=f"begins with {kind!r}" if kind == "train." else "is none of a"):
                whole(stage, kind)


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
