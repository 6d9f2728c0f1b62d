"""A federation of any size below a folder: made-up speeds, traffic_districts with another model and other rounds."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from fl_airflow.installation import DAGS_FOLDER

from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.paths import Home
from fl_tasks.scenarios.hand_out import Files, hand_out
from fl_tasks.scenarios.los_angeles import DISTRICT_FILE
from fl_tasks.stages import enrol

SCENARIO = "traffic_districts"
START = dt.datetime(2012, 3, 1)
STEP_MINUTES = 5
STEPS = (576, 8640)
"""Fewest and most times of an agency: two days, and thirty."""
INPUT_STEPS = 36


@dataclass(frozen=True)
class Size:
    """What is asked for.

    Attributes:
        agencies: At least 3.
        parameters: About; what the network's width gives.
        rows: Readings (times x series) of all agencies together, about.
        rounds: Federated rounds.
    """

    agencies: int = 4
    parameters: int = 10_000
    rows: int = 20_000
    rounds: int = 2

    @property
    def names(self) -> list[str]:
        """The agencies' ids."""
        return [f"agency_{number:03d}" for number in range(self.agencies)]

    @property
    def shape(self) -> tuple[int, int]:
        """Times and series of one agency."""
        each = self.rows // self.agencies
        steps = int(np.clip(each // 5, *STEPS))
        return steps, max(1, round(each / steps))


@dataclass(frozen=True)
class Founded:
    """A federation that is ready for its first run."""

    home: Home
    dags: Path
    config: ScenarioConfig


def found(size: Size, folder: Path) -> Founded:
    """Write the YAMLs, hand the data out, make keys and a roster, and let every agency approve it."""
    dags, home = folder / "dags", Home(folder / "home")
    federation = write_federation(size, dags)
    hand_out(SCENARIO, readings(size), home, federation)
    for name in size.names:
        enrol.init_agency(home, federation, SCENARIO, name)
    roster = enrol.init_coordinator(home, federation, SCENARIO)
    for name in size.names:
        enrol.approve(home, SCENARIO, name, roster.sha256.hex())
    return Founded(home, dags, load_scenario(federation, SCENARIO))


def write_federation(size: Size, dags: Path) -> Path:
    """Write a DAG folder for the retraining of such a federation, and return the federation folder in it."""
    federation, real = dags / "federation", DAGS_FOLDER / "federation"
    for part in ("scenarios", "agencies"):
        (federation / part).mkdir(parents=True)
    shutil.copy(DAGS_FOLDER / "federated_retraining.py", dags)
    scenario = changed(yaml.safe_load((real / "scenarios" / f"{SCENARIO}.yaml").read_text()), size)
    (federation / "scenarios" / f"{SCENARIO}.yaml").write_text(yaml.safe_dump(scenario))
    agency = yaml.safe_load((real / "agencies" / "district_northeast.yaml").read_text())
    for name in size.names:
        text = yaml.safe_dump({**agency, "agency": name, "title": name, "queue": name})
        (federation / "agencies" / f"{name}.yaml").write_text(text)
    return federation


def changed(scenario: dict, size: Size) -> dict:
    """The scenario with an MLP as wide as is asked for, one pass a round, and limits that admit any size."""
    data = scenario["data"] | {"input_steps": INPUT_STEPS}
    data["quality"] |= {"min_series": 1, "min_windows": 1}
    features = 1 + 2 * len(data["calendar"]) + 2 * data["series_levels"]
    outputs = max(data["horizons"].values())
    # (inputs + 1) weights into each hidden unit, one out of it to each output.
    units = round((size.parameters - outputs) / (INPUT_STEPS * features + 1 + outputs))
    scenario["schedule"]["timezone"] = "UTC"  # no hour of a long file falls into the change to summer time
    return scenario | {
        "rounds": {"wanted": size.rounds, "spare": 0},
        "tasks": scenario["tasks"] | {"retries": 0},
        "gate": {"share_better": 0.0, "tolerance": 1.0},
        "secagg": scenario["secagg"] | {"n_ref": max(scenario["secagg"]["n_ref"], size.rows // size.agencies)},
        "learning": scenario["learning"] | {"model": "mlp", "units": max(1, units), "local_epochs": 1},
        "data": data,
    }


def readings(size: Size) -> Files:
    """A day's rhythm, a level for each series, and noise; the same each time."""
    steps, series = size.shape
    times = [str(START + dt.timedelta(minutes=STEP_MINUTES * step)) for step in range(steps)]
    rhythm = 15.0 * np.cos(2 * np.pi * STEP_MINUTES / (24 * 60) * np.arange(steps))[:, None]
    pattern = ",".join(["%s"] + ["%.1f"] * series) + "\n"
    files: Files = {}
    for number, name in enumerate(size.names):
        draw = np.random.default_rng(number)
        speed = (45.0 + rhythm + draw.normal(0.0, 5.0, series) + draw.normal(0.0, 3.0, (steps, series))).clip(5.0, 90.0)
        text = io.StringIO()
        text.write(",".join(["timestamp", *(f"sensor_{index}" for index in range(series))]) + "\n")
        for time, row in zip(times, speed.tolist(), strict=True):
            text.write(pattern % (time, *row))
        files[name] = {DISTRICT_FILE: gzip.compress(text.getvalue().encode("ascii"), compresslevel=1, mtime=0)}
    return files
