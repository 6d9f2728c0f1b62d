"""Drive one agency's data stages, on generated data or on a few rows made here."""

from __future__ import annotations

import datetime as dt
import gzip
import math
import shutil
from pathlib import Path
from zoneinfo import ZoneInfo

from fl_tasks.contracts.data import QualityReport, data_docs_path, quality_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.stages.series import anonymize, ingest, standardize, validate

ROOT = Path(__file__).resolve().parents[2]
FEDERATION = ROOT / "dags" / "federation"
ZONE = ZoneInfo("America/Los_Angeles")
INTERVAL = (dt.datetime(2012, 3, 1, tzinfo=ZONE), dt.datetime(2012, 4, 1, tzinfo=ZONE))
AGENCY = "district_northeast"
SCENARIO = "traffic_districts"
STAGES = (
    ("ingest", ingest.run),
    ("anonymize", anonymize.run),
    ("standardize", standardize.run),
    ("validate", validate.run),
)
JUNE = (dt.datetime(2018, 6, 1, 4, tzinfo=dt.UTC), dt.datetime(2018, 7, 1, 4, tzinfo=dt.UTC))  # New York's


def spec_of(
    home, stage, agency=AGENCY, federation=FEDERATION, interval=INTERVAL, scenario=SCENARIO, run="test", **more
):
    return StageSpec(
        stage=stage,
        scenario=scenario,
        run_id=f"{scenario}__{run}",
        data_interval=interval,
        home=home,
        federation=federation,
        agency=agency,
        **more,
    )


def changed_federation(folder, *changes):
    """The repository's federation, with pairs (old, new) replaced in the scenario's YAML."""
    shutil.copytree(FEDERATION, folder)
    path = folder / "scenarios" / f"{SCENARIO}.yaml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return folder


def run_all(home, agency=AGENCY, **more):
    return [run(spec_of(home, stage, agency, **more)) for stage, run in STAGES]


def files_of(folder):
    """Everything of a run that has to be the same each time; Data Docs name the time at which they were made."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and data_docs_path(folder) not in path.parents
    }


def deliver(home, text):
    path = Home(home).agency(AGENCY) / "incoming" / "speed_5min.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


def csv_text(rows):
    return "timestamp," + ",".join(f"s{i}" for i in range(6)) + "\n" + "".join(rows)


def row(step, *values):
    time = dt.datetime(2012, 3, 1) + step * dt.timedelta(minutes=5)
    cells = values or [50 + 10 * math.sin(step / 9 + i) for i in range(6)]
    return f"{time}," + ",".join(f"{cell}" for cell in cells) + "\n"


def quality_of(folder):
    return QualityReport.model_validate_json(quality_path(folder).read_bytes())
