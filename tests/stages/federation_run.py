"""Drive a whole run stage by stage, as the scheduler would: real files, real protocol, real learning processes."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

from fl_tasks.contracts.config import ScenarioConfig, load_scenario
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import StageResult, StageSpec, write_spec
from fl_tasks.scenarios import load
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.stages import enrol
from fl_tasks.stages.learning_process import CHANNEL
from fl_tasks.stages.runner import run_stage

REPOSITORY = Path(__file__).parents[2]
SCENARIO = "traffic_districts"
AGENCIES = tuple(f"district_{corner}" for corner in ("northeast", "northwest", "southeast", "southwest"))
RUN_ID = f"{SCENARIO}__manual__2012-04-01"
ZONE = ZoneInfo("America/Los_Angeles")
INTERVAL = (dt.datetime(2012, 3, 1, tzinfo=ZONE), dt.datetime(2012, 4, 1, tzinfo=ZONE))


class Run:
    """One run in a home of its own, with a small model and few rounds."""

    def __init__(self, folder: Path, *, rounds: int, run_id: str = RUN_ID, federation: Path | None = None) -> None:
        self.home = Home(folder / "home")
        self.federation = federation or folder / "federation"
        self.rounds = rounds
        self.run_id = run_id

    def install(self, changes: Iterable[tuple[str, str]] = ()) -> None:
        """Copy the repository's federation with a small model, hand out generated data, make keys and a roster.

        Args:
            changes: Further replacements in the scenario's configuration.
        """
        shutil.copytree(REPOSITORY / "dags" / "federation", self.federation)
        path = self.federation / "scenarios" / f"{SCENARIO}.yaml"
        text = path.read_text()
        small = (("model: gru", "model: mlp"), ("units: 64", "units: 4"), ("  spare: 2", "  spare: 1"))
        for old, new in (*small, *changes):
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        self.found()

    def found(self) -> None:
        """Hand out generated data, make keys and a roster, and let every agency approve it."""
        scenario = load(SCENARIO)
        hand_out(SCENARIO, scenario.generate(seed=5), self.home, self.federation)
        for agency in AGENCIES:
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)
        roster = enrol.init_coordinator(self.home, self.federation, SCENARIO)
        for agency in AGENCIES:
            enrol.approve(self.home, SCENARIO, agency, roster.sha256.hex())

    @property
    def config(self) -> ScenarioConfig:
        return load_scenario(self.federation, SCENARIO)

    @property
    def exchange(self) -> Path:
        return self.home.exchange(self.run_id)

    def spec(self, stage: str, agency: str | None = None, round_: int | None = None) -> StageSpec:
        return StageSpec(
            stage=stage,
            scenario=SCENARIO,
            run_id=self.run_id,
            data_interval=INTERVAL,
            home=self.home.root,
            federation=self.federation,
            agency=agency,
            round=round_,
            rounds=self.rounds,
        )

    def stage(self, stage: str, agency: str | None = None, round_: int | None = None) -> StageResult:
        """Run one stage in this process; raises as the stage does."""
        return run_stage(write_spec(self.spec(stage, agency, round_)))

    def command(self, stage: str, agency: str | None = None, round_: int | None = None):
        """Run one stage as the scheduler does; gives the finished process."""
        write_spec(self.spec(stage, agency, round_))
        return self.again(stage, agency, round_)

    def again(self, stage: str, agency: str | None = None, round_: int | None = None):
        """Run one stage as the scheduler's retry does, by the spec that it left."""
        path = self.spec(stage, agency, round_).spec_path
        argv = [sys.executable, "-m", "fl_tasks", "run", stage, "--spec", str(path)]
        env = os.environ | {"HUILIU_HOME": str(self.home.root)}
        lent = [int(os.environ[CHANNEL])] if CHANNEL in os.environ else []
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, env=env, pass_fds=lent)

    def each(self, stage: str, agencies, round_: int | None = None) -> list[StageResult]:
        return [self.stage(stage, agency, round_) for agency in agencies]

    def prepare(self, agencies) -> None:
        for stage in ("ingest", "anonymize", "standardize", "validate"):
            self.each(stage, agencies)

    def set_up(self, agencies) -> None:
        self.each("keys", agencies)
        self.stage("list")
        self.each("shares", agencies)
        self.each("ready", agencies)
        self.stage("close")

    def finish_round(self, agencies, round_: int) -> StageResult:
        """Everything of a round after its uploads."""
        if not self.stage("manifest", round_=round_).burnt:
            self.each("ack", agencies, round_)
            self.each("reveal", agencies, round_)
            self.stage("aggregate", round_=round_)
        return self.stage("close_round", round_=round_)

    def sent(self) -> dict[str, bytes]:
        """Everything in the exchange."""
        return {
            path.relative_to(self.exchange).as_posix(): path.read_bytes()
            for path in self.exchange.rglob("*")
            if path.is_file()
        }
