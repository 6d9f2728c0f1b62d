"""A run that classifies made-up persons, from its cohort on: real keys, roster and signatures, nothing trained.

The scenario's module is welfare's; its YAML is a small one. Rows and preparations are made by hand.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.data import fit_examples, held_back_examples, held_back_groups, preparation_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.preparation import ColumnScale, Preparation
from fl_tasks.contracts.roster import CohortBody
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.tensors import Tensors, tensors_sha256, tensors_to_bytes
from fl_tasks.data.arrays import write_array
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg import names
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages import champions, enrol
from fl_tasks.stages.context import config_sha256, load_key, load_roster, protocol_key_path
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, model_spec, publish

SCENARIO = "welfare"
AGENCIES = ("east", "north", "south", "west")
AGENCY = "north"
INTERVAL = (dt.datetime(2024, 6, 1, tzinfo=dt.UTC), dt.datetime(2024, 7, 1, tzinfo=dt.UTC))
RUN_ID = f"{SCENARIO}__scheduled__2024-06"
SESSION = bytes(range(16))
VERSION = 7

SCENARIO_YAML = """\
scenario: welfare
title: Who is poor
schedule: {cron: "@monthly", timezone: UTC, start_date: 2024-01-01, catchup: false, max_active_runs: 1,
           lookback_months: 3}
rounds: {wanted: 3, spare: 1}
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
    - {column: person, role: key}
    - {column: age, role: feature, kind: numeric, minimum: 0.0, maximum: 120.0}
    - {column: income, role: feature, kind: numeric, minimum: 0.0, maximum: 100000.0, optional: true}
    - {column: sex, role: feature, values: [female, male]}
    - {column: poor, role: target, values: ["no", "yes"]}
  classes: ["no", "yes"]
  protected: sex
  split: {train: 0.7, validation: 0.1, test: 0.2}
  quality: {min_rows: 50, min_completeness: 0.5, max_quarantined: 0.2, max_age_days: 60}
"""

FEATURES = ("age", "income", "income?", "sex=female", "sex=male")


def preparation(*, age=(40.0, 20.0), income=(20_000.0, 9000.0), **changes) -> Preparation:
    scales = {name: ColumnScale(mean=mean, std=std) for name, (mean, std) in (("age", age), ("income", income))}
    return Preparation(**{"features": FEATURES, "scales": scales, **changes})


OURS = preparation()
THEIRS = preparation(age=(46.5, 17.25), income=(30_000.0, 12_345.0))


class Persons:
    """Made-up persons; those of small income are mostly poor, and more so if they are women."""

    def __init__(self, count: int, seed: int = 3) -> None:
        draw = np.random.default_rng(seed)
        self.age = draw.integers(18, 90, count).astype(float)
        self.income = np.where(draw.random(count) < 0.1, np.nan, draw.integers(1000, 60_000, count))
        self.sex = draw.integers(0, 2, count)
        chance = np.where(np.nan_to_num(self.income, nan=20_000.0) < 20_000, 0.7 - 0.3 * self.sex, 0.1)
        self.poor = (draw.random(count) < chance).astype(int)

    def x(self, scale: Preparation) -> np.ndarray:
        """The features, straight from the values."""
        missing = np.isnan(self.income)
        age, income = (scale.scales[name] for name in ("age", "income"))
        columns = [
            (self.age - age.mean) / age.std,
            np.where(missing, 0.0, (self.income - income.mean) / income.std),
            missing,
            self.sex == 0,
            self.sex == 1,
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    @property
    def y(self) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[self.poor]


def weights(seed: int) -> Tensors:
    """A logistic regression, as the learning process names its weights."""
    draw = np.random.default_rng(seed)
    shapes = {"000/logits/kernel": (len(FEATURES), 2), "001/logits/bias": (2,)}
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def logits_of(model: Tensors, x: np.ndarray) -> np.ndarray:
    return x @ model["000/logits/kernel"] + model["001/logits/bias"]


class Session:
    """Four agencies and a coordinator at the end of the rounds of one run."""

    def __init__(self, folder: Path) -> None:
        self.home, self.federation = Home(folder / "home"), folder / "federation"

    def install(self) -> Session:
        """Make keys and a roster, which every agency approves."""
        files = {f"scenarios/{SCENARIO}.yaml": SCENARIO_YAML}
        for agency in AGENCIES:
            source = f"scenarios: {{{SCENARIO}: {{kind: table, path: people.csv, snapshot: 2024-06-30}}}}\n"
            files[f"agencies/{agency}.yaml"] = f"agency: {agency}\ntitle: {agency}\nqueue: {agency}\n{source}"
        for name, text in files.items():
            path = self.federation / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for agency in AGENCIES:
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)
        roster = enrol.init_coordinator(self.home, self.federation, SCENARIO)
        for agency in AGENCIES:
            enrol.approve(self.home, SCENARIO, agency, roster.sha256.hex())
        return self

    @property
    def config(self) -> ScenarioConfig:
        return load_scenario(self.federation, SCENARIO)

    def spec(self, stage: str, agency: str | None = AGENCY, run_id: str = RUN_ID) -> StageSpec:
        return StageSpec(
            stage=stage,
            scenario=SCENARIO,
            run_id=run_id,
            data_interval=INTERVAL,
            home=self.home.root,
            federation=self.federation,
            agency=agency,
        )

    @property
    def exchange(self) -> FolderExchange:
        return FolderExchange(self.home.exchange(RUN_ID))

    def end_rounds(self, *, applied: Preparation = OURS, champion: str | None = None) -> None:
        """Leave what cohort and one round leave; the final model is weights(1), the initial one weights(0)."""
        spec, exchange = self.spec("gate", None), self.exchange
        cohort = CohortBody(
            session=SESSION.hex(),
            run_id=RUN_ID,
            scenario=SCENARIO,
            data_interval=INTERVAL,
            agencies=AGENCIES,
            roster_sha256=load_roster(self.home.coordinator, SCENARIO).sha256.hex(),
            config_sha256=config_sha256(self.config),
            rounds=1,
            preparation=applied,
            parameters=12,
            model_sha256=tensors_sha256(weights(0)).hex(),
            champion_sha256=champion,
            not_after=dt.datetime(2100, 1, 1, tzinfo=dt.UTC),
        )
        key = load_key(protocol_key_path(self.home.coordinator))
        exchange.put(names.COHORT, sign_record(key, "cohort", cohort))
        exchange.put(names.weights(1), tensors_to_bytes(weights(0)))
        exchange.put(names.manifest(1), b"a manifest")
        publish(spec, exchange, SESSION, 2, weights(1), (FINAL_MODEL, FINAL_WEIGHTS))

    def keep(self, agency: str | None, accepted: Preparation = OURS) -> None:
        """Leave what a party, None is the coordinator, keeps of its run's survey: it has accepted the preparation."""
        stage = "gate" if agency is None else "evaluate"
        path = preparation_path(self.spec(stage, agency).folder)
        write_atomic(path, accepted.model_dump_json().encode())

    def promote(self, trained_with: Preparation, seed: int = 2, **changes) -> ChampionBody:
        """Make weights(seed) champion, as a run of the month before would have."""
        sha256 = tensors_sha256(weights(seed)).hex()
        spec = self.spec("report", None)
        champions.champions_exchange(spec).put(champions.model_name(sha256), tensors_to_bytes(weights(seed)))
        body = ChampionBody(
            number=1,
            action="promote",
            scenario=SCENARIO,
            version=VERSION,
            model_sha256=sha256,
            model=model_spec(self.config, trained_with).model_copy(update=changes),
            run_id=f"{SCENARIO}__scheduled__2024-05",
            data_interval=(dt.datetime(2024, 5, 1, tzinfo=dt.UTC), INTERVAL[0]),
            decided_at=INTERVAL[0],
        )
        champions.append(spec, body)
        return body

    def hold(self, fit: Persons, test: Persons, scale: Preparation = OURS) -> None:
        """Leave an agency's examples as validate does, and the preparation that its survey ended with."""
        folder = self.spec("evaluate").folder
        self.keep(AGENCY, scale)
        for place, persons in ((fit_examples(folder), fit), (held_back_examples(folder), test)):
            write_array(place / "x.npy", persons.x(scale))
            write_array(place / "y.npy", persons.y)
        write_array(held_back_groups(folder), test.sex.astype(np.int16))
