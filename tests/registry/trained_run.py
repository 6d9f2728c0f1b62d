"""A run whose rounds are over, built record by record: real keys, roster, signatures and folders, nothing trained."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.report import Evaluation, EvaluationBody, ForecastMetric, RoundRecord
from fl_tasks.contracts.roster import CohortBody
from fl_tasks.contracts.stage import StageResult, StageSpec, write_spec
from fl_tasks.contracts.tensors import Tensors, tensors_sha256
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg import names
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages import champions, enrol
from fl_tasks.stages.context import config_sha256, load_key, load_roster, protocol_key_path
from fl_tasks.stages.model_state import FINAL_MODEL, FINAL_WEIGHTS, model_spec, publish, save_record
from fl_tasks.stages.runner import run_stage

REPOSITORY = Path(__file__).parents[2]
SCENARIO = "traffic_districts"
AGENCIES = tuple(f"district_{corner}" for corner in ("northeast", "northwest", "southeast", "southwest"))
ZONE = ZoneInfo("America/Los_Angeles")


def metric(scaled_rmse: float) -> ForecastMetric:
    """A metric of which only the scaled RMSE matters; a standard deviation is 10 of the agency's unit."""
    own = 10.0 * scaled_rmse
    return ForecastMetric(
        mae=own, rmse=own, n=777_777, last_step_mae=own, last_step_rmse=own, scaled_mae=scaled_rmse,
        scaled_rmse=scaled_rmse,
    )  # fmt: skip


def evaluation(federated: float, **others: float) -> Evaluation:
    """The same score at two horizons, for the new model and whatever else was scored."""
    scores = {"federated": federated, **others}
    return Evaluation(**{kind: {"15min": metric(s), "30min": metric(s)} for kind, s in scores.items()})


def weights(seed: int) -> Tensors:
    """A small model; another seed is another model."""
    return {"dense/kernel": np.full((3, 2), seed, dtype=np.float32), "dense/bias": np.zeros(2, dtype=np.float32)}


def a_model() -> ModelSpec:
    """What the repository's scenario trains."""
    return model_spec(load_scenario(REPOSITORY / "dags" / "federation", SCENARIO))


class Installation:
    """Four agencies and a coordinator with an approved roster."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.federation = folder / "federation"

    def install(self) -> Installation:
        shutil.copytree(REPOSITORY / "dags" / "federation", self.federation)
        for agency in AGENCIES:
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)
        roster = enrol.init_coordinator(self.home, self.federation, SCENARIO)
        for agency in AGENCIES:
            enrol.approve(self.home, SCENARIO, agency, roster.sha256.hex())
        return self

    @property
    def config(self) -> ScenarioConfig:
        return load_scenario(self.federation, SCENARIO)

    @property
    def coordinator_key(self):
        return load_key(protocol_key_path(self.home.coordinator))

    @property
    def registry(self) -> FolderExchange:
        return FolderExchange(self.home.registry(SCENARIO))

    def chain(self) -> list[ChampionBody]:
        return champions.champions(self.registry, self.coordinator_key.public_key().public_bytes_raw())

    def spec(self, stage: str, month: int, run: str | None = None, **fields) -> StageSpec:
        """A spec of the run of one month of 2012."""
        return StageSpec(
            stage=stage,
            scenario=SCENARIO,
            run_id=f"{SCENARIO}__{run or f'scheduled__2012-{month:02d}'}",
            data_interval=(dt.datetime(2012, month, 1, tzinfo=ZONE), dt.datetime(2012, month + 1, 1, tzinfo=ZONE)),
            home=self.home.root,
            federation=self.federation,
            **fields,
        )

    def stage(self, stage: str, month: int, run: str | None = None, **fields) -> StageResult:
        """Run one stage as the scheduler does."""
        return run_stage(write_spec(self.spec(stage, month, run, **fields)))

    def command(self, stage: str, month: int, run: str | None = None, **fields) -> subprocess.CompletedProcess[str]:
        """Run one stage in a process of its own."""
        path = write_spec(self.spec(stage, month, run, **fields))
        argv = [sys.executable, "-m", "fl_tasks", "run", stage, "--spec", str(path)]
        env = os.environ | {"HUILIU_HOME": str(self.home.root)}
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, env=env)

    def record(self, number: int, **changes) -> ChampionBody:
        """A good next record; `changes` spoil it."""
        values = {
            "number": number,
            "action": "promote",
            "scenario": SCENARIO,
            "version": number,
            "model_sha256": tensors_sha256(weights(number)).hex(),
            "model": model_spec(self.config),
            "run_id": f"{SCENARIO}__scheduled__2012-{number:02d}",
            "data_interval": self.spec("gate", number).data_interval,
            "decided_at": dt.datetime(2012, 12, number, tzinfo=dt.UTC),
        }
        return ChampionBody(**{**values, **changes})

    def signed(self, body: ChampionBody, key=None) -> bytes:
        return sign_record(key or self.coordinator_key, champions.LABEL, body)

    def train(
        self,
        month: int,
        seed: int,
        evaluations: dict[str, Evaluation],
        *,
        run: str | None = None,
        champion: object = ...,
        complete: bool = True,
        judged: int | None = None,
    ) -> str:
        """Leave what cohort, rounds and evaluate leave; gives the final model's hash.

        Args:
            month: Of the data interval.
            seed: Of the final model.
            evaluations: Agency -> what it says.
            run: The run's name, if the month has more than one.
            champion: Champion that was scored; by default the one of the interval, as cohort does.
            complete: Whether the rounds came to a final model.
            judged: Seed of the model that the agencies evaluated, if another.
        """
        spec = self.spec("gate", month, run)
        roster = load_roster(self.home.coordinator, SCENARIO)
        exchange = FolderExchange(self.home.exchange(spec.run_id))
        session = hashlib.sha256(spec.run_id.encode()).digest()[:16]
        model = weights(seed)
        sha256 = tensors_sha256(model).hex()
        if champion is ...:
            body = champions.as_of(self.chain(), spec.data_interval[1])
            champion = None if body is None else body.model_sha256
        cohort = CohortBody(
            session=session.hex(),
            run_id=spec.run_id,
            scenario=SCENARIO,
            data_interval=spec.data_interval,
            agencies=AGENCIES,
            roster_sha256=roster.sha256.hex(),
            config_sha256=config_sha256(self.config),
            rounds=2,
            parameters=8,
            model_sha256=tensors_sha256(weights(0)).hex(),
            champion_sha256=champion,
            not_after=dt.datetime(2100, 1, 1, tzinfo=dt.UTC),
        )
        exchange.put(names.COHORT, sign_record(self.coordinator_key, "cohort", cohort))
        for round_ in (1, 2) if complete else (1,):
            save_record(
                spec,
                RoundRecord(
                    round=round_, survivors=AGENCIES, loss=1.0 / round_, validation_loss=2.0 / round_, clipped=3,
                    examples=123_457, seconds=5.0, model_sha256=sha256,
                ),
            )  # fmt: skip
        if complete:
            publish(spec, exchange, session, 3, model, (FINAL_MODEL, FINAL_WEIGHTS))
        for agency, said in evaluations.items():
            word = EvaluationBody(
                run_id=spec.run_id,
                agency=agency,
                model_sha256=sha256 if judged is None else tensors_sha256(weights(judged)).hex(),
                champion_sha256=champion if said.champion else None,
                unit="mph",
                evaluation=said,
            )
            key = load_key(protocol_key_path(self.home.agency(agency)))
            exchange.put(f"evaluation/{agency}", sign_record(key, "evaluation", word))
        return sha256
