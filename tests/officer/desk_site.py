"""An agency's deliveries, an officer's folder, and PySyft's own client in a process of its own beside it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.approvals.delivery import PLAN_LABEL, hashes, lay_out, pack
from fl_tasks.approvals.places import delivery_folder, identity, job_folders, syftbox
from fl_tasks.approvals.records import read_records
from fl_tasks.contracts.base import sha256_hex
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.plan import Decision, Plan, Terms, code_sha256
from fl_tasks.officer.desk import Desk, open_desk
from fl_tasks.secagg.records import sign_record
from tests.saying import Said

REPOSITORY = Path(__file__).resolve().parents[2]
AGENCY, SCENARIO = "district_northwest", "traffic_districts"
MARCH, APRIL, MAY, JUNE = (f"{SCENARIO}__scheduled__2012-0{month}-01T00:00:00+00:00" for month in (3, 4, 5, 6))
CODE = {
    "fl_tasks/train.py": b"clip = 1.0\nrounds = 3\n",
    "fl_tasks/logo.png": b"\x89PNG\xff",
    "dags/retraining.py": b"# airflow dag\n",
}
NOW = dt.datetime.now(dt.UTC)

# PySyft's own client, as an officer would call it without us.
_OWN_CLIENT = """
import contextlib, json, sys
from syft_job import JobClient, SyftJobConfig
box, who, deed, name = sys.argv[1:5]
with contextlib.redirect_stdout(sys.stderr):
    client = JobClient.from_config(SyftJobConfig.from_syftbox_folder(box, who))
    if deed != "look":
        getattr(client.jobs[name], deed)(*sys.argv[5:])
    told = {job.name: [job.status, job.approval_method, job.review_reason, job.submitted_by] for job in client.jobs}
print(json.dumps(told))
"""


def pysyft_python() -> Path:
    """Interpreter of PySyft's environment; skips the test where there is none."""
    path = Path(os.environ.get("HUILIU_SYFT_PYTHON", REPOSITORY / ".venv-syft" / "bin" / "python"))
    if not path.exists():
        pytest.skip(f"not verified: needs PySyft's environment, {path} is not there: make officer-setup")
    return path


def own_client(officer: Path, agency: str, deed: str = "look", name: str = "", *words: str) -> dict:
    """Ask PySyft's own JobClient, as the datasite's owner; gives job -> state, method, reason, submitter."""
    argv = [pysyft_python(), "-I", "-c", _OWN_CLIENT, syftbox(officer), identity(agency), deed, name, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class DeskSite:
    """One agency's home with deliveries, and its officer."""

    def __init__(self, root: Path, call) -> None:
        self.home = Home(root / "home")
        self.folder = root / "officer"
        self.coordinator = Ed25519PrivateKey.generate()
        self._call = call
        self.home.agency(AGENCY).mkdir(parents=True, exist_ok=True)

    def copy(self, root: Path, call: Callable[[DeskSite, tuple[str, ...]], Said]) -> DeskSite:
        """Return the same site elsewhere."""
        shutil.copytree(self.home.root.parent, root, dirs_exist_ok=True)
        made = DeskSite(root, call)
        made.coordinator = self.coordinator
        return made

    @property
    def coordinator_key(self) -> str:
        return self.coordinator.public_key().public_bytes_raw().hex()

    def fl(self, *words: object) -> Said:
        """Run `fl officer ...` as from a shell."""
        return self._call(self, ("officer", *map(str, words)))

    def done(self, *words: object) -> str:
        """Run a command that has to go well; gives what it printed."""
        said = self.fl(*words)
        assert said.code == 0, said.error
        return said.out

    def init(self) -> None:
        self.done("init", "--agency", AGENCY, "--coordinator", self.coordinator_key, "--trial")

    @property
    def desk(self) -> Desk:
        return open_desk(self.home, self.folder)

    def plan(self, run_id: str, files=CODE, **changes) -> Plan:
        month = int(run_id.split("-")[1])
        terms = {
            "scenario": SCENARIO,
            "agency": AGENCY,
            "code_sha256": code_sha256(hashes(files)),
            "config_sha256": "c" * 64,
            "roster_sha256": "d" * 64,
            "source": "incoming/speed.csv.gz",
            "source_sha256": "e" * 64,
            "lookback_months": 3,
            "columns": {"timestamp": "time", "*": "value"},
            "model": "gru",
            "rounds": 5,
            "clip": 1.0,
            "privacy": {"least_agencies": 3.0},
        }
        return Plan(
            terms=Terms(**terms | changes),
            run_id=run_id,
            data_interval=(dt.datetime(2012, month, 1, tzinfo=dt.UTC), dt.datetime(2012, month + 1, 1, tzinfo=dt.UTC)),
            code_archive_sha256=sha256_hex(pack(files)),
        )

    def deliver(self, run_id: str = MARCH, files=CODE, **changes) -> Plan:
        """Lay a signed plan and its code out, as the agency's stage does."""
        plan = self.plan(run_id, files, **changes)
        lay_out(self.delivery(run_id), sign_record(self.coordinator, PLAN_LABEL, plan), pack(files))
        return plan

    def delivery(self, run_id: str = MARCH) -> Path:
        return delivery_folder(self.home, AGENCY, run_id)

    def inbox(self, run_id: str = MARCH) -> Path:
        return job_folders(self.folder, AGENCY, run_id)[0]

    def decisions(self) -> list[Decision]:
        return read_records(self.folder, Decision, self.desk.public_key)

    def own_client(self, deed: str = "look", name: str = "", *words: str) -> dict:
        """Ask PySyft's own JobClient; gives job -> state, method, reason, submitter."""
        return own_client(self.folder, AGENCY, deed, name, *words)

    def hand_in_foreign(self, name: str, code: Path) -> None:
        """Somebody else hands in a job with PySyft's own client."""
        script = (
            "import sys; from syft_job import JobClient, SyftJobConfig\n"
            "JobClient.from_config(SyftJobConfig.from_syftbox_folder(sys.argv[1], 'eve@else.invalid'))"
            ".submit_python_job(sys.argv[2], sys.argv[3], sys.argv[4])"
        )
        argv = [pysyft_python(), "-I", "-c", script, syftbox(self.folder), identity(AGENCY), code, name]
        subprocess.run(argv, capture_output=True, check=True, timeout=120)
