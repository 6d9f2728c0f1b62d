"""Drive one agency's data stages of a small made-up table scenario: households, some of which get a benefit."""

from __future__ import annotations

import datetime as dt
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from expectations import tables as suite
from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.data import QualityReport, data_docs_path, quality_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.preparation import ColumnScale, Preparation
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.data.tables.features import feature_names
from fl_tasks.stages.series.anonymize import pseudonym_secret_path
from fl_tasks.stages.tables import anonymize, ingest, standardize, validate
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_hierarchies
from tests.data.identifier_fakes import Fakes

SCENARIO, AGENCY = "benefit", "north"
INTERVAL = (dt.datetime(2024, 6, 1, tzinfo=dt.UTC), dt.datetime(2024, 7, 1, tzinfo=dt.UTC))
STAGES = (
    ("ingest", ingest.run),
    ("anonymize", anonymize.run),
    ("standardize", standardize.run),
    ("validate", validate.run),
)
LEVELS = {"age": 1, "county": 1, "sex": 0}

SCENARIO_YAML = """\
scenario: benefit
title: Who gets a benefit
schedule: {cron: "@monthly", timezone: UTC, start_date: 2024-01-01, catchup: false, max_active_runs: 1,
           lookback_months: 3}
rounds: {wanted: 3, spare: 1, early_stop: {patience: 2, min_improvement: 0.0}}
tasks: {owner: somebody, retries: 1, retry_delay_seconds: 1, timeout_minutes: 10}
secagg: {mode: active, n_c: 0, clip: 10.0, n_ref: 1000, w_max: 10.0, max_loss: 10.0}
learning:
  model: logistic
  units: 1
  local_epochs: 1
  batch_size: 64
  client_optimizer: {name: adam, learning_rate: 0.01}
  server_optimizer: {name: sgd, learning_rate: 1.0}
  seed: 1
gate: {share_better: 0.5, tolerance: 0.1}
data:
  kind: table
  columns:
    - {column: id, role: direct_identifier, treatment: hash}
    - {column: name, role: direct_identifier, treatment: drop}
    - {column: household, role: key}
    - {column: age, role: quasi_identifier, kind: numeric, minimum: 0.0, maximum: 119.0, hierarchy: age.yaml,
       unit: years}
    - {column: county, role: quasi_identifier, hierarchy: county.csv}
    - {column: sex, role: quasi_identifier, values: [female, male], hierarchy: sex.yaml}
    - {column: health, role: sensitive, values: [good, fair, poor]}
    - {column: income, role: feature, kind: numeric, minimum: 0.0, maximum: 100000.0, optional: true}
    - {column: work, role: feature, values: [yes, no], optional: true}
    - {column: entitled, role: target, values: [no, yes]}
  classes: ["no", "yes"]
  protected: sex
  privacy: {k: 5, l: 1, suppression: 0.1}
  split: {train: 0.7, validation: 0.1, test: 0.2}
  quality: {min_rows: 50, min_completeness: 0.5, max_quarantined: 0.2, max_age_days: 60}
""".replace("[yes, no]", '["yes", "no"]').replace("[no, yes]", '["no", "yes"]')

AGENCY_YAML = """\
agency: north
title: An agency
queue: north
scenarios:
  benefit:
    kind: table
    path: people.csv
    columns: {身份证: id, 姓名: name, hh: household, alter: age}
    values:
      sex: {"1": male, "2": female}
      entitled: {"0": "no", "1": "yes"}
    missing: ["", "-8"]
    identifiers: {phone: hash, note: drop}
    identifier_kinds: {phone: mobile}
    as_of: day
"""

HIERARCHIES = {
    "age.yaml": "hierarchy: {type: intervals, low: 0, high: 120, widths: [20, 60]}\n",
    "county.csv": "".join(f"{code},{code[:2]}**,*\n" for code in ("1101", "1102", "1201", "1202")),
    "sex.yaml": "hierarchy: {type: tree, tree: {any: [female, male]}}\n",
}
HEADER = (
    "身份证",
    "姓名",
    "hh",
    "alter",
    "county",
    "sex",
    "health",
    "income",
    "work",
    "entitled",
    "phone",
    "note",
    "day",
)


def people(count, seed=1):
    """Rows as delivered: two to a household."""
    draw, fakes = random.Random(seed), Fakes(seed)
    rows = []
    for number in range(count):
        age = draw.choice((20, 25, 33, 47, 52, 68, 70))
        income = draw.randrange(1000, 60_000)
        entitled = int(draw.random() < (0.8 if income < 20_000 else 0.1))
        rows.append(
            {
                "身份证": fakes.resident_id(),
                "姓名": f"李{number}",
                "hh": str(number // 2),
                "alter": str(age),
                "county": draw.choice(("1101", "1102", "1201", "1202")),
                "sex": draw.choice("12"),
                "health": draw.choice(("good", "fair", "poor")),
                "income": str(income) if draw.random() < 0.9 else "-8",
                "work": draw.choice(("yes", "no", "")),
                "entitled": str(entitled),
                "phone": fakes.mobile(),
                "note": f"call {fakes.mobile()}",
                "day": f"2024-06-{draw.randrange(1, 31):02d}",
            }
        )
    return rows


def csv_of(rows, header=HEADER):
    return "\n".join([",".join(header), *(",".join(str(row[name]) for name in header) for row in rows)]) + "\n"


def make_home(folder, rows=None, *, scenario=SCENARIO_YAML, agency=AGENCY_YAML, hierarchies=HIERARCHIES):
    """A home with a federation of one agency, and its file."""
    for name, text in {
        f"scenarios/{SCENARIO}.yaml": scenario,
        f"agencies/{AGENCY}.yaml": agency,
        **{f"hierarchies/{SCENARIO}/{name}": text for name, text in hierarchies.items()},
    }.items():
        path = folder / "federation" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # Fixed, so that a part of the split is never so small by chance that the run is refused.
    write_atomic(pseudonym_secret_path(Home(folder).agency(AGENCY)), bytes(range(32)))
    deliver(folder, people(400) if rows is None else rows)
    return folder


def deliver(home, rows):
    path = Home(home).agency(AGENCY) / "people.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows if isinstance(rows, str) else csv_of(rows), encoding="utf-8")


def changed(text, *changes):
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def spec_of(home, stage, run="test", interval=INTERVAL, kind="", **more):
    return StageSpec(
        stage=stage,
        scenario=SCENARIO,
        run_id=f"{kind}{SCENARIO}__{run}",
        data_interval=interval,
        home=home,
        federation=home / "federation",
        agency=AGENCY,
        **more,
    )


def folder_of(home, **more):
    return spec_of(home, "ingest", **more).folder


def preparation(home, levels=LEVELS):
    """What a survey would have ended with."""
    config = load_scenario(home / "federation", SCENARIO).table
    hierarchies = load_hierarchies(hierarchies_folder(home / "federation", SCENARIO), config)
    return Preparation(
        levels=levels,
        features=feature_names(config, levels, hierarchies),
        scales={"income": ColumnScale(mean=30_000.0, std=15_000.0)},
    )


def run_all(home, **more):
    return [run(spec_of(home, stage, **more)) for stage, run in STAGES]


def run_until(home, last, **more):
    for stage, run in STAGES:
        run(spec_of(home, stage, **more))
        if stage == last:
            return


def let_agree(monkeypatch):
    """Let the stages find the scenario's suite, and what `preparation` gives in place of a survey's end."""
    monkeypatch.setitem(sys.modules, f"expectations.{SCENARIO}.suite", suite)
    monkeypatch.setattr(anonymize, "agreed", lambda spec: preparation(spec.home))


@pytest.fixture
def agreed(monkeypatch):
    let_agree(monkeypatch)


def files_of(folder: Path):
    """Everything of a run that has to be the same each time; Data Docs name the time at which they were made."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and data_docs_path(folder) not in path.parents
    }


def quality_of(folder):
    return QualityReport.model_validate_json(quality_path(folder).read_bytes())


def example(folder, part, name):
    return np.load(folder / "examples" / part / f"{name}.npy")
