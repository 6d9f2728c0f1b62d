"""The benchmarks of whole runs: what is measured, at tiny sizes; how long anything takes is never tested."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import pytest

from fl_tasks.contracts.config import load_scenario
from fl_tasks.stages.model_state import model_spec
from tests.benchmarks import growth, round_retraining
from tests.benchmarks import round as bench
from tests.benchmarks.growth_federation import Size, found
from tests.benchmarks.round_measure import MeasurementFailed, TookTooLong, measured

needs_learning = pytest.mark.skipif(
    not bench.LEARNING_PYTHON.exists(), reason=f"needs the learning environment, {bench.LEARNING_PYTHON}: make setup"
)
# It works for half a second of CPU, says so, and then only stays.
WORKING = """
import pathlib, sys, time
while time.process_time() < 0.5: pass
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
ORPHANING = f"""
import pathlib, subprocess, sys, time
worked = pathlib.Path(sys.argv[1]).with_name("worked")
child = subprocess.Popen([sys.executable, "-c", {WORKING!r}, worked], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
while not worked.exists(): time.sleep(0.1)
time.sleep(2.5)  # memory is sampled each second
"""


def test_an_orphan_is_counted_and_does_not_outlive_the_measurement(tmp_path):
    found = measured([sys.executable, "-c", ORPHANING, tmp_path / "pid"], tmp_path, seconds=60.0)
    assert set(found) == {"wall", "cpu", "peak_pss"}
    assert found["wall"] < 50.0
    assert found["cpu"] >= 0.5
    assert found["peak_pss"] > 2**20
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_takes_too_long_is_killed(tmp_path):
    started = time.monotonic()
    with pytest.raises(TookTooLong, match="killed after 1 s"):
        measured([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, seconds=1.0)
    assert time.monotonic() - started < 50.0


def test_a_failure_says_what_the_program_said_last(tmp_path):
    with pytest.raises(MeasurementFailed, match=r"exit code 3[^\0]*no such model"):
        measured([sys.executable, "-c", "print('no such model'); raise SystemExit(3)"], tmp_path, seconds=60.0)


def test_training_calls_that_overlap_count_once():
    assert round_retraining._covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.0, 1.5)]) == pytest.approx(4.0)


def test_every_size_of_the_issue_is_asked_for():
    """4 to 64 agencies, 1e4 to 1e7 parameters and rows, several numbers of rounds."""
    ends = {axis: (values[0], values[-1]) for axis, values in growth.AXES.items()}
    assert ends.pop("rounds") == (1, 8)
    assert ends == {"agencies": (4, 64), "parameters": (10_000, 10_000_000), "rows": (10_000, 10_000_000)}


@pytest.mark.parametrize("rows", growth.AXES["rows"])
def test_a_federation_has_about_the_rows_that_are_asked_for(rows):
    size = Size(rows=rows)
    steps, series = size.shape
    assert steps * series * size.agencies == pytest.approx(rows, rel=0.1)


def test_growth_is_against_the_point_before_and_memory_against_the_first():
    before = [
        {"work": {"agencies": agencies}, "ours": {"wall": wall, "peak_pss": 100}}
        for agencies, wall in ((4, 1), (8, 10))
    ]
    found = growth._growth({"axis": "agencies", "agencies": 16}, {"wall": 20.0, "peak_pss": 220}, before)
    assert found == {"exponent": pytest.approx(1.0), "pss_of_a_further_agency": pytest.approx(10.0)}


def test_points_that_take_too_long_end_their_axis_alone(monkeypatch, tmp_path):
    def row(axis, size, *_):
        if axis == "rounds" and size.rounds > 1:
            raise TookTooLong
        return {
            "work": {"axis": axis, "rounds": size.rounds, "rows": size.rows},
            "ours": {"wall": 1, "cpu": 1, "peak_pss": 1},
        }

    monkeypatch.setattr(growth, "_row", row)
    monkeypatch.setattr(growth, "prepare_airflow", lambda home: None)
    said = []
    axes = {"rounds": (1, 2, 4), "rows": (10_000,)}
    found = list(growth.rows(said.append, axes, tmp_path / "growth.svg"))
    assert [(row["work"]["axis"], row["work"]["rounds"]) for row in found] == [("rounds", 1), ("rows", 2)]
    late = [text for text in said if "not within" in text]
    assert late == ["bench: rounds from 2 on: not within 420 s"]
    assert (tmp_path / "growth.svg").read_text().count("<svg") == 1


@needs_learning
def test_a_whole_retraining_of_a_made_up_federation_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "ROWS_OF_AN_AGENCY", 3_000)
    (row,) = growth.rows(print, {"agencies": (3,)}, tmp_path / "growth.svg")
    assert row["work"] == {"axis": "agencies", "agencies": 3, "rounds": 2, "parameters": 10_048, "rows": 9_000}
    assert set(row["ours"]) == {"wall", "cpu", "peak_pss", "fixed"}
    assert all(value > 0.0 for value in row["ours"].values())


@needs_learning
def test_the_bare_script_trains_and_its_model_is_judged_beside_another(tmp_path):
    size = Size(agencies=3, parameters=200)
    federation = found(size, tmp_path / "federation")
    model = model_spec(load_scenario(federation.dags / "federation", bench.SCENARIO))
    draw, folders = np.random.default_rng(1), {}
    for name in size.names:
        folders[name] = tmp_path / name
        folders[name].mkdir()
        # What follows is the last value and one: the network has to learn the one.
        x = draw.normal(0.0, 0.1, (2000, *model.input_shape)).astype("f4")
        np.save(folders[name] / "x.npy", x)
        np.save(folders[name] / "y.npy", np.repeat(x[:, -1, :1] + 1.0, model.output_shape[0], axis=1))
    weights = {"tff": tmp_path / "tff.npz", "nothing": tmp_path / "nothing.npz"}
    cost = bench._trained(bench._peers(None)["tff"], tmp_path / "tff", model, 2, folders, weights["tff"])
    assert min(cost.values()) > 0.0
    with np.load(weights["tff"]) as arrays:
        np.savez(weights["nothing"], *(np.zeros_like(arrays[name]) for name in sorted(arrays)))
    rmse = bench._rmse(tmp_path, model, weights, folders)
    assert rmse["tff"] < 0.9 * rmse["nothing"]
