"""A federation with a coordinator, four agencies, and one agency's officer with a real PySyft datasite."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.approvals.check import Wanted, check_approval
from fl_tasks.approvals.delivery import Delivery, read_delivery
from fl_tasks.approvals.places import (
    COORDINATOR,
    card_path,
    delivery_folder,
    identity,
    job_folders,
    key_path,
    record_path,
    syftbox,
)
from fl_tasks.approvals.pysyft import job_files
from fl_tasks.approvals.records import write_record
from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import Decision, OfficerCard, Plan, Revocation, Standing
from fl_tasks.contracts.stage import StageResult, StageSpec, write_spec
from fl_tasks.secagg.journal import open_journal
from fl_tasks.stages import enrol
from fl_tasks.stages.context import journal_paths, load_roster
from fl_tasks.stages.installed_code import approve_code
from fl_tasks.stages.plan import wanted_of
from fl_tasks.stages.runner import run_stage
from tests.stages.federation_run import AGENCIES, REPOSITORY, SCENARIO, ZONE

AGENCY = AGENCIES[0]
MARCH, APRIL, MAY, JUNE = (f"{SCENARIO}__scheduled__2012-0{month}" for month in (3, 4, 5, 6))
INTERVALS = {
    run_id: (dt.datetime(2012, month, 1, tzinfo=ZONE), dt.datetime(2012, month + 1, 1, tzinfo=ZONE))
    for month, run_id in enumerate((MARCH, APRIL, MAY, JUNE), start=3)
}
NOW = dt.datetime.now(dt.UTC)
DATASITE = Path(__file__).with_name("datasite.py")


def pysyft_python() -> Path:
    """Interpreter of PySyft's environment; skips the test where there is none."""
    path = Path(os.environ.get("HUILIU_SYFT_PYTHON", REPOSITORY / ".venv-syft" / "bin" / "python"))
    if not path.exists():
        pytest.skip(f"not verified: needs PySyft's environment, {path} is not there: make officer-setup")
    return path


class Site:
    """Home of coordinator and agencies, the DAG folder, and the officer's own folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.home = Home(folder / "home")
        self.federation = folder / "dags" / "federation"
        self.officer = folder / "officer"

    def found(self) -> None:
        """Make keys, a roster that everyone approved, and an officer."""
        shutil.copytree(REPOSITORY / "dags" / "federation", self.federation)
        (self.federation.parent / "retraining.py").write_text("# a DAG of airflow\n")
        for agency in AGENCIES:
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)
        roster = enrol.init_coordinator(self.home, self.federation, SCENARIO)
        for agency in AGENCIES:
            enrol.approve(self.home, SCENARIO, agency, roster.sha256.hex())
        self.officer.mkdir()
        write_atomic(key_path(self.officer), Ed25519PrivateKey.generate().private_bytes_raw())
        self.officer.chmod(0o711)
        self.pin()

    def copy(self, folder: Path) -> Site:
        """Return the same site elsewhere, to be attacked there."""
        shutil.copytree(self.root, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("jobs"))
        other = Site(folder)
        approve_code(other.home, other.federation, AGENCY)
        other.pin()
        return other

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(key_path(self.officer).read_bytes())

    def pin(self, **changes: Any) -> None:
        """Pin the officer's card, as the agency's operator does."""
        card = {
            "agency": AGENCY,
            "public_key": self.key.public_key().public_bytes_raw().hex(),
            "folder": str(self.officer),
            "user": os.getuid(),
            "trial": True,
        }
        path = card_path(self.home.agency(AGENCY))
        write_atomic(path, OfficerCard(**card | changes).model_dump_json().encode())

    def spec(self, stage: str, run_id: str = MARCH, agency: str | None = None, **changes: Any) -> StageSpec:
        wanted = {"stage": stage, "scenario": SCENARIO, "run_id": run_id, "agency": agency}
        places = {"home": self.home.root, "federation": self.federation}
        interval = INTERVALS.get(run_id.removeprefix("survey."))
        return StageSpec(**{**wanted, **places, "data_interval": interval, **changes})

    def stage(self, stage: str, run_id: str = MARCH, agency: str | None = None) -> StageResult:
        return run_stage(write_spec(self.spec(stage, run_id, agency)))

    @cached_property
    def coordinator_key(self) -> bytes:
        return bytes.fromhex(load_roster(self.home.agency(AGENCY), SCENARIO).coordinator_key)

    def laid_out(self, run_id: str = MARCH) -> Path:
        return delivery_folder(self.home, AGENCY, run_id)

    def delivery(self, run_id: str = MARCH) -> Delivery:
        return read_delivery(self.laid_out(run_id), self.coordinator_key)

    def plan(self, run_id: str = MARCH) -> Plan:
        return self.delivery(run_id).plan

    def pysyft(self, *deeds: tuple[str, ...]) -> dict[str, Any]:
        """Do deeds with PySyft's client in a process of its own; gives each job's state as PySyft reads it."""
        told = [[deed, identity(AGENCY), COORDINATOR, *rest] for deed, *rest in deeds]
        argv = [pysyft_python(), "-I", DATASITE, syftbox(self.officer)]
        done = subprocess.run(argv, input=json.dumps(told), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def hand_in(self, run_id: str = MARCH) -> tuple[str, ...]:
        """Build a job's folder as the officer does; gives the deed of handing it in."""
        code = self.root / "jobs" / run_id
        for name, data in self.delivery(run_id).job.items():
            path = code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return ("submit", run_id, str(code))

    def decide(self, run_id: str = MARCH, **changes: Any) -> Decision:
        """Sign a decision on what lies there; an approval unless told otherwise."""
        plan = self.plan(run_id)
        decision = {
            "id": secrets.token_hex(16),
            "agency": AGENCY,
            "verdict": "approved",
            "run_id": run_id,
            "plan_sha256": plan.sha256,
            "job": run_id,
            "files": job_files(self.inbox(run_id)),
            "interval_end": plan.data_interval[1],
            "at": NOW,
            "not_after": NOW + dt.timedelta(days=30),
        }
        record = Decision(**decision | changes)
        write_record(self.officer, self.key, record)
        return record

    def stand(self, run_id: str = MARCH, **changes: Any) -> Standing:
        """Sign a standing approval of a run's terms."""
        standing = {
            "id": secrets.token_hex(16),
            "agency": AGENCY,
            "terms_sha256": self.plan(run_id).terms_sha256,
            "first_run": run_id,
            "interval_end": self.plan(run_id).data_interval[1],
            "at": NOW - dt.timedelta(days=60),
            "not_after": NOW + dt.timedelta(days=60),
            "max_runs": 2,
        }
        record = Standing(**standing | changes)
        write_record(self.officer, self.key, record)
        return record

    def revoke(self, id_: str) -> Path:
        return write_record(self.officer, self.key, Revocation(id=id_, agency=AGENCY, at=NOW))

    def record(self, decision: Decision) -> Path:
        return record_path(self.officer, "decisions", decision.id)

    def inbox(self, run_id: str = MARCH) -> Path:
        return job_folders(self.officer, AGENCY, run_id)[0]

    def state(self, run_id: str = MARCH) -> Path:
        return job_folders(self.officer, AGENCY, run_id)[1] / "state.yaml"

    def wanted(self, run_id: str = MARCH) -> Wanted:
        """What the agency's installation would do as it is now."""
        return wanted_of(self.spec("ingest", run_id, AGENCY))

    def check(self, run_id: str = MARCH, *, now: dt.datetime = NOW, **changes: Any) -> Decision:
        """Ask the agency's daemon whether ingest may open the data."""
        return self.check_spec(self.spec("ingest", run_id, AGENCY, **changes), now)

    def check_spec(self, spec: StageSpec, now: dt.datetime = NOW) -> Decision:
        """Ask the agency's daemon whether a stage may open the data."""
        with open_journal(*journal_paths(self.home.agency(AGENCY), SCENARIO)) as journal:
            return check_approval(self.home, wanted_of(spec), self.coordinator_key, now, journal)
