"""One installation with four agencies of a scenario, whose operators approved everything as it stood at first.

What a coordinator changes afterwards (YAML, roster, cohort, DAG files, code) is what the attacks are about.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import CohortBody, Roster
from fl_tasks.contracts.stage import StageResult, StageSpec, write_spec
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.secagg import names
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages import enrol
from fl_tasks.stages.context import config_sha256, load_key, protocol_key_path
from fl_tasks.stages.runner import run_stage

REPOSITORY = Path(__file__).parents[2]
SCENARIO = "traffic_districts"
AGENCIES = tuple(f"district_{corner}" for corner in ("northeast", "northwest", "southeast", "southwest"))
AGENCY = AGENCIES[0]
ZONE = ZoneInfo("America/Los_Angeles")
INTERVAL = (dt.datetime(2012, 3, 1, tzinfo=ZONE), dt.datetime(2012, 4, 1, tzinfo=ZONE))
RUN_ID = f"{SCENARIO}__manual__2012-04-01"
ROWS = 40


class Site:
    """The installation below one folder: home, DAG files with their YAML, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self.dags = folder / "dags"
        self.federation = self.dags / "federation"

    def install(self) -> Site:
        shutil.copytree(REPOSITORY / "dags", self.dags, ignore=shutil.ignore_patterns("__pycache__"))
        self.enrol()
        return self

    def enrol(self) -> None:
        """Let every agency's operator approve what is there now."""
        for agency in AGENCIES:
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)
        self.approve(self.propose())

    def propose(self) -> Roster:
        return enrol.init_coordinator(self.home, self.federation, SCENARIO)

    def approve(self, roster: Roster) -> None:
        for agency in AGENCIES:
            enrol.approve(self.home, SCENARIO, agency, roster.sha256.hex())

    def change(self, kind: str, name: str, change) -> None:
        """Change a YAML of the federation folder, kind `scenarios` or `agencies`, as whoever delivers it could."""
        path = self.federation / kind / f"{name}.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config))

    def deliver(self, name: str, level: float) -> None:
        """Give the agency a data file of six series around a level, in the declared form."""
        path = self.home.agency(AGENCY) / "incoming" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        start = dt.datetime(2012, 3, 1)
        rows = (f"{start + i * dt.timedelta(minutes=5)}" + f",{level + i % 7}" * 6 for i in range(ROWS))
        text = "timestamp," + ",".join(f"s{i}" for i in range(6)) + "\n" + "\n".join(rows) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())

    @property
    def exchange(self) -> FolderExchange:
        return FolderExchange(self.home.exchange(RUN_ID))

    def open_session(self, roster: Roster, **changes) -> None:
        """Sign a cohort of all agencies under a roster, as the coordinator does."""
        body = {
            "session": "ab" * 16,
            "run_id": RUN_ID,
            "scenario": SCENARIO,
            "data_interval": INTERVAL,
            "agencies": AGENCIES,
            "roster_sha256": roster.sha256.hex(),
            "config_sha256": config_sha256(load_scenario(self.federation, SCENARIO)),
            "rounds": 1,
            "parameters": 100,
            "model_sha256": "0" * 64,
            "not_after": dt.datetime.now(dt.UTC) + dt.timedelta(days=1),
        }
        key = load_key(protocol_key_path(self.home.coordinator))
        self.exchange.put(names.COHORT, sign_record(key, "cohort", CohortBody(**{**body, **changes})))

    def spec(self, stage: str, **changes) -> StageSpec:
        fields = {
            "stage": stage,
            "scenario": SCENARIO,
            "run_id": RUN_ID,
            "data_interval": INTERVAL,
            "home": self.home.root,
            "federation": self.federation,
            "agency": AGENCY,
        }
        return StageSpec(**{**fields, **changes})

    def stage(self, stage: str, **changes) -> StageResult:
        """Run one stage in this process, where a test has taken a check out."""
        return run_stage(write_spec(self.spec(stage, **changes)))

    def run(self, stage: str, env: dict[str, str] | None = None, **changes) -> subprocess.CompletedProcess[str]:
        """Run one stage in a fresh process, as the scheduler does."""
        path = write_spec(self.spec(stage, **changes))
        argv = [sys.executable, "-P", "-m", "fl_tasks", "run", stage, "--spec", str(path)]
        env = os.environ | {"HUILIU_HOME": str(self.home.root)} | (env or {})
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)

    def refused(self, stage: str, code: str, env: dict[str, str] | None = None, **changes) -> str:
        """Run one stage in a fresh process; it has to end for good with this error, journaled. Gives its message."""
        done = self.run(stage, env, **changes)
        assert done.returncode == 10, done.stdout + done.stderr
        assert f"error: {code}: " in done.stderr
        assert self.refusals()[-1] == (stage, code)
        return done.stderr

    def refusals(self) -> list[tuple[str, str]]:
        """Step and code of each refusal in the agency's journal."""
        path = self.home.agency(AGENCY) / "secagg" / SCENARIO / "journal.jsonl"
        entries = map(json.loads, path.read_text().splitlines())
        return [(entry["facts"]["step"], entry["facts"]["code"]) for entry in entries if entry["kind"] == "refused"]
