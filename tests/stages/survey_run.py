"""A small federation of four agencies whose people are surveyed: real files, real protocol, stage by stage."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.data import raw_path
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.roster import CohortBody
from fl_tasks.contracts.stage import SESSION_STAGES, SURVEY_STAGES, StageResult, StageSpec, write_spec
from fl_tasks.contracts.survey import PreparationBody, SurveyRequest
from fl_tasks.contracts.tensors import tensors_sha256, tensors_to_bytes
from fl_tasks.data.tables.table import Table, read_table
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg import names
from fl_tasks.secagg.records import read_record
from fl_tasks.stages import champions, enrol
from fl_tasks.stages.context import load_roster
from fl_tasks.stages.model_state import model_spec, save_state
from fl_tasks.stages.runner import run_stage
from fl_tasks.stages.survey.published import (
    PREPARATION,
    PREPARATION_LABEL,
    REQUEST,
    REQUEST_LABEL,
)

# The name of a scenario that there is code for; schema and hierarchies are made up here.
SCENARIO = "welfare"
AGENCIES = ("east", "north", "south", "west")
RUN_ID = f"{SCENARIO}__test"
SURVEY_ID = f"survey.{RUN_ID}"
INTERVAL = (dt.datetime(2024, 6, 1, tzinfo=dt.UTC), dt.datetime(2024, 7, 1, tzinfo=dt.UTC))

SCENARIO_YAML = """\
scenario: welfare
title: Who gets a benefit
schedule: {cron: "@monthly", timezone: UTC, start_date: 2024-01-01, catchup: false, max_active_runs: 1,
           lookback_months: 3}
rounds: {wanted: 1, spare: 1}
tasks: {owner: somebody, retries: 1, retry_delay_seconds: 1, timeout_minutes: 10}
secagg: {mode: active, n_c: 1, clip: 10.0, n_ref: 1000, w_max: 10.0, max_loss: 10.0}
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
    - {column: household, role: key}
    - {column: age, role: quasi_identifier, kind: numeric, minimum: 0.0, maximum: 99.0, hierarchy: age.yaml}
    - {column: county, role: quasi_identifier, hierarchy: county.csv}
    - {column: income, role: feature, kind: numeric, minimum: 0.0, maximum: 90000.0, optional: true}
    - {column: work, role: feature, values: ["yes", "no"]}
    - {column: entitled, role: target, values: ["no", "yes"]}
  classes: ["no", "yes"]
  privacy: {k: 4, suppression: 0.1}
  split: {train: 0.6, validation: 0.2, test: 0.2}
  quality: {min_rows: 20, min_completeness: 0.5, max_quarantined: 0.2, max_age_days: 60}
"""
AGENCY_YAML = """\
agency: {agency}
title: An agency
queue: {agency}
scenarios:
  welfare: {{kind: table, path: people.csv, as_of: day}}
"""
HIERARCHIES = {
    "age.yaml": "hierarchy: {type: intervals, low: 0, high: 100, widths: [25, 50]}\n",
    "county.csv": "".join(f"{code},{code[:2]}**,*\n" for code in ("1101", "1102", "1201", "1202")),
}
HEADER = ("household", "age", "county", "income", "work", "entitled", "day")


def people(count: int, seed: int) -> list[tuple[object, ...]]:
    """Rows as delivered; each agency's people are spread otherwise."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        income = "" if draw.random() < 0.1 else int(min(draw.gamma(2.0, 9000.0 + 2000.0 * seed), 90_000))
        county = draw.choice(("1101", "1102", "1201", "1202"), p=(0.5, 0.3, 0.15, 0.05))
        who = (number // 2, int(draw.integers(18, 90)), county, income, draw.choice(("yes", "no")))
        rows.append((*who, draw.choice(("yes", "no"), p=(0.3, 0.7)), f"2024-06-{draw.integers(1, 30):02d}"))
    return rows


class SurveyRun:
    """One run and its survey in a home of its own."""

    def __init__(self, folder: Path, *, run_id: str = RUN_ID) -> None:
        self.home = Home(folder / "home")
        self.federation = folder / "federation"
        self.run_id = run_id

    def install(self, rows: int = 160) -> SurveyRun:
        """Write YAML, hierarchies and data, make keys and a roster, and let every agency approve it."""
        texts = {
            f"scenarios/{SCENARIO}.yaml": SCENARIO_YAML,
            **{f"agencies/{agency}.yaml": AGENCY_YAML.format(agency=agency) for agency in AGENCIES},
            **{f"hierarchies/{SCENARIO}/{name}": text for name, text in HIERARCHIES.items()},
        }
        for name, text in texts.items():
            path = self.federation / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for seed, agency in enumerate(AGENCIES):
            self.deliver(agency, people(rows, seed))
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)
        roster = enrol.init_coordinator(self.home, self.federation, SCENARIO)
        for agency in AGENCIES:
            enrol.approve(self.home, SCENARIO, agency, roster.sha256.hex())
        return self

    def deliver(self, agency: str, rows: list[tuple[object, ...]]) -> None:
        path = self.home.agency(agency) / "people.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(",".join(map(str, row)) for row in (HEADER, *rows)) + "\n")

    def change(self, kind: str, name: str, change) -> None:
        """Change a YAML of the federation folder, kind `scenarios` or `agencies`."""
        path = self.federation / kind / f"{name}.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config))

    @property
    def config(self) -> ScenarioConfig:
        return load_scenario(self.federation, SCENARIO)

    @property
    def roster(self):
        return load_roster(self.home.coordinator, SCENARIO)

    @property
    def survey_exchange(self) -> FolderExchange:
        return FolderExchange(self.home.exchange(f"survey.{self.run_id}"))

    @property
    def exchange(self) -> FolderExchange:
        return FolderExchange(self.home.exchange(self.run_id))

    def spec(self, stage: str, agency: str | None = None, *, survey: bool | None = None, **changes) -> StageSpec:
        """A stage's spec; those that a survey shares with a training are the survey's unless said otherwise."""
        of_survey = stage in SURVEY_STAGES + SESSION_STAGES if survey is None else survey
        in_round = stage in ("count", "manifest", "ack", "reveal", "train", "aggregate", "close_round")
        fields = {
            "stage": stage,
            "scenario": SCENARIO,
            "run_id": f"survey.{self.run_id}" if of_survey else self.run_id,
            "data_interval": INTERVAL,
            "home": self.home.root,
            "federation": self.federation,
            "agency": agency,
            "round": 1 if in_round else None,
        }
        return StageSpec(**{**fields, **changes})

    def stage(self, stage: str, agency: str | None = None, **changes) -> StageResult:
        """Run one stage in this process; raises as the stage does."""
        return run_stage(write_spec(self.spec(stage, agency, **changes)))

    def command(self, stage: str, agency: str | None = None, **changes) -> subprocess.CompletedProcess[str]:
        """Run one stage as the scheduler does, in a process of its own."""
        path = write_spec(self.spec(stage, agency, **changes))
        argv = [sys.executable, "-P", "-m", "fl_tasks", "run", stage, "--spec", str(path)]
        env = os.environ | {"HUILIU_HOME": str(self.home.root)}
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, env=env)

    def each(self, stage: str, agencies=AGENCIES, **changes) -> list[StageResult]:
        return [self.stage(stage, agency, **changes) for agency in agencies]

    def set_up(self, agencies=AGENCIES, **changes) -> None:
        """The session's key steps, once it is open."""
        self.each("keys", agencies, **changes)
        self.stage("list", **changes)
        self.each("shares", agencies, **changes)
        self.each("ready", agencies, **changes)
        self.stage("close", **changes)

    def answer(self, agencies=AGENCIES, counting=None) -> StageResult:
        """The survey's round up to the reveals; gives the manifest's result."""
        self.each("count", agencies if counting is None else counting)
        result = self.stage("manifest")
        if not result.burnt:
            self.each("ack", agencies)
            self.each("reveal", agencies)
        return result

    def survey(self, agencies=AGENCIES) -> StageResult:
        """Everything from ingest to recode."""
        self.each("ingest", agencies)
        self.stage("survey")
        self.set_up(agencies)
        self.answer(agencies)
        return self.stage("recode")

    def request(self) -> SurveyRequest:
        return self._read(REQUEST, REQUEST_LABEL, SurveyRequest)

    def published(self) -> PreparationBody:
        return self._read(PREPARATION, PREPARATION_LABEL, PreparationBody)

    def cohort(self, exchange: FolderExchange) -> CohortBody:
        return read_record(exchange.get(names.COHORT), self._public, "cohort", CohortBody)

    def raw(self, agency: str) -> Table:
        """What ingest left."""
        return read_table(raw_path(self.home.agency_run(agency, self.run_id)))

    def validated(self, agencies=AGENCIES) -> None:
        """The rest of an agency's preparation."""
        for stage in ("anonymize", "standardize", "validate"):
            self.each(stage, agencies)

    def give_initial_model(self, preparation: Preparation) -> None:
        """What the learning process would leave for the cohort."""
        outputs = {"w": np.zeros((len(preparation.features), 2), np.float32)}
        save_state(self.spec("cohort"), 0, outputs, {"s": np.zeros(1, np.float32)})

    def promote(self, preparation: Preparation) -> ChampionBody:
        """Make a model with a preparation the champion of an earlier interval."""
        model: ModelSpec = model_spec(self.config, preparation)
        weights = {"w": np.zeros((len(preparation.features), 2), np.float32)}
        sha256 = tensors_sha256(weights).hex()
        spec = self.spec("report")
        champions.champions_exchange(spec).put(champions.model_name(sha256), tensors_to_bytes(weights))
        month = dt.timedelta(days=30)
        body = ChampionBody(
            number=1,
            action="promote",
            scenario=SCENARIO,
            version=7,
            model_sha256=sha256,
            model=model,
            run_id=f"{SCENARIO}__before",
            data_interval=(INTERVAL[0] - month, INTERVAL[0]),
            decided_at=dt.datetime.now(dt.UTC),
        )
        champions.append(spec, body)
        return body

    @property
    def _public(self) -> bytes:
        return bytes.fromhex(self.roster.coordinator_key)

    def _read(self, name, label, kind):
        return read_record(self.survey_exchange.get(name), self._public, label, kind)
