"""An agency's own daemon, under its own user, asked by a worker that is another one: it trusts no request.

The daemon is `fl agency serve`. What is refused is refused with its own words in the worker's log and exit code 10, and
stands in the agency's journal.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from fl_tasks.contracts.call import Call, DagBundle
from fl_tasks.contracts.stage import read_result
from fl_tasks.stages.installed_code import approval_path
from tests.attacks.agency_site import AGENCIES, AGENCY, SCENARIO, Site
from tests.daemon.serving import ENV, ask, by_user, wait_for

DAEMON, WORKER, STRANGER = 61_001, 61_002, 61_003
GROUP = WORKER  # as of a number without an entry in the machine's list of users
BUNDLE = DagBundle(name="dags-folder")

pytestmark = pytest.mark.timeout(300)


class Agency:
    """One agency's installation, with a daemon of its own user."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder).install()
        self.folder = self.site.home.agency(AGENCY)
        self.socket = folder / "run"
        self.socket.mkdir()
        self.site.deliver("speed_5min.csv.gz", 50.0)
        self.own()
        os.chown(self.socket, DAEMON, DAEMON)
        words = ("--agency", AGENCY, "--socket-folder", str(self.socket), "--worker-user", str(WORKER))
        fl = (sys.executable, "-P", "-m", "fl_tasks")
        command = by_user(DAEMON, f"{DAEMON},{GROUP}", *fl, "agency", "serve", *words)
        places = {"HUILIU_HOME": str(self.site.home.root), "HUILIU_FEDERATION": str(self.site.federation)}
        places["HUILIU_FL_PYTHON"] = "/bin/true"  # no stage here learns
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                command, env={**ENV, **places}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        socket = self.socket / "daemon.sock"
        assert wait_for(lambda: socket.exists() or self.process.poll() is not None, 60)
        assert socket.exists(), (folder / "log").read_text()

    def own(self) -> None:
        """Give the installation to the daemon's user, who would have made it; the other agencies are not there."""
        for path in (self.site.home.root, *self.site.home.root.rglob("*")):
            os.chown(path, DAEMON, DAEMON)

    def call(self, stage: str, bundle: DagBundle = BUNDLE, federation: Path | None = None, **changes) -> bytes:
        request = self.site.spec(stage, **changes).request
        call = Call(request=request, federation=federation or self.site.federation, bundle=bundle)
        return call.model_dump_json(by_alias=True).encode()

    def ask(self, content: bytes) -> dict:
        return ask(WORKER, str(GROUP), self.socket, content)

    def refused(self, content: bytes, code: str, *, step: str | None = "ingest") -> str:
        """Ask for what has to be refused; gives what was said. `step` is what the journal then ends with."""
        before = len(self.site.refusals())
        said = self.ask(content)
        assert (said["code"], said["result"]) == (10, None)
        assert self.site.refusals()[before:] == ([] if step is None else [(step, code)])
        (line,) = [line for line in said["lines"] if line.startswith("error: ")]
        assert line.startswith(f"error: {code}: ")
        return line

    @contextmanager
    def changed(self, path: Path, change):
        """Let a file of the installation be another one for a while."""
        content = path.read_bytes()
        path.write_bytes(change(content))
        try:
            yield
        finally:
            path.write_bytes(content)

    @contextmanager
    def yaml(self, kind: str, name: str, change):
        path = self.site.federation / kind / f"{name}.yaml"

        def changed(content: bytes) -> bytes:
            config = yaml.safe_load(content)
            change(config)
            return yaml.safe_dump(config).encode()

        with self.changed(path, changed):
            yield


@pytest.fixture(scope="module")
def agency(others):
    agency = Agency(others / "agency")
    yield agency
    agency.process.kill()
    agency.process.wait()


@pytest.fixture(scope="module", autouse=True)
def _journal(agency):
    """A first refusal makes the journal: from then on the agency takes part in the scenario."""
    path = agency.site.federation / "agencies" / f"{AGENCY}.yaml"
    with agency.changed(path, lambda content: content.replace(b"path: ", b"path: other/")):
        agency.ask(agency.call("ingest"))
    assert agency.site.refusals() == [("ingest", "PolicyRefused")]


def test_what_is_admitted_is_done_and_its_result_comes_back(agency):
    said = agency.ask(agency.call("ingest"))
    assert said["code"] == 0, said["lines"]
    spec = agency.site.spec("ingest")
    assert json.loads(said["result"]) == read_result(spec).model_dump(mode="json")
    assert (spec.spec_path.stat().st_uid, spec.result_path.stat().st_uid) == (DAEMON, DAEMON)


def test_the_agencys_folder_is_unreadable_for_the_worker_and_for_others(agency):
    assert stat.S_IMODE(agency.folder.stat().st_mode) == 0o700
    look = "import os, sys\ntry: print(os.listdir(sys.argv[1]))\nexcept PermissionError: print('refused')"
    folders = [agency.folder, agency.folder / "keys", agency.folder / "runs"]
    for user, groups in ((WORKER, str(GROUP)), (STRANGER, f"{STRANGER},{GROUP}")):
        for folder in folders:
            command = by_user(user, groups, sys.executable, "-c", look, str(folder))
            done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
            assert done.stdout == "refused\n"


def test_a_stranger_is_not_answered(agency):
    said = ask(STRANGER, f"{STRANGER},{GROUP}", agency.socket, agency.call("ingest"))
    assert "unavailable" in said


def test_a_foreign_bundle_is_refused(agency):
    said = agency.refused(agency.call("ingest", DagBundle(name="git")), "PolicyRefused")
    assert "bundle 'git', admitted is 'dags-folder'" in said


def test_any_bundle_version_is_refused(agency):
    said = agency.refused(agency.call("ingest", DagBundle(name="dags-folder", version="0a1b")), "PolicyRefused")
    assert "version '0a1b' of its bundle" in said


def test_another_dag_folder_is_refused(agency):
    said = agency.refused(agency.call("ingest", federation=Path("/srv/dags/federation")), "PolicyRefused")
    assert "lies beside /srv/dags/federation, this daemon serves" in said


def test_another_agencys_name_is_refused(agency):
    said = agency.refused(agency.call("ingest", agency=AGENCIES[1]), "PolicyRefused")
    assert f"a request for agency '{AGENCIES[1]}': this daemon serves '{AGENCY}' alone" in said
    assert not agency.site.spec("ingest", agency=AGENCIES[1]).spec_path.exists()


def test_a_stage_of_the_coordinator_is_refused(agency):
    said = agency.refused(agency.call("cohort", agency=None), "PolicyRefused", step="cohort")
    assert "stage cohort is the coordinator's" in said


def test_a_changed_dag_is_refused(agency):
    with agency.changed(agency.site.dags / "forecast.py", lambda content: content + b"\n# another\n"):
        said = agency.refused(agency.call("ingest"), "CodeNotApproved")
    assert "dags/forecast.py (changed)" in said


def test_other_code_than_was_approved_is_refused(agency):
    def other(content: bytes) -> bytes:
        approval = json.loads(content)
        approval["files"]["fl_tasks/__init__.py"] = "0" * 64
        return json.dumps(approval).encode()

    with agency.changed(approval_path(agency.folder), other):
        said = agency.refused(agency.call("ingest"), "CodeNotApproved")
    assert "fl_tasks/__init__.py (changed)" in said


def test_another_data_path_is_refused(agency):
    with agency.yaml("agencies", AGENCY, lambda c: c["scenarios"][SCENARIO].update(path="keys/protocol.key")):
        said = agency.refused(agency.call("ingest"), "PolicyRefused")
    assert "sources: the run wants keys/protocol.key" in said


def test_rounds_over_the_limit_are_refused(agency):
    with agency.yaml("scenarios", SCENARIO, lambda c: c["rounds"].update(spare=50)):
        said = agency.refused(agency.call("ingest"), "PolicyRefused")
    assert "max_rounds: the run wants" in said


def test_an_unapproved_roster_is_refused(agency):
    with agency.yaml("scenarios", SCENARIO, lambda c: c["secagg"].update(w_max=2.0)):
        roster = agency.site.propose()
    agency.site.open_session(roster)
    agency.own()
    said = agency.refused(agency.call("keys"), "RosterNotApproved", step="keys")
    assert roster.sha256.hex() in said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("masking", False),
        ("home", "/tmp/mine"),
        ("federation", "/tmp/mine/federation"),
        ("run_id", f"{SCENARIO}__../../../keys"),
        ("agency", "../district_northwest"),
    ],
)
def test_what_no_request_has_is_refused_before_a_file_is_touched(agency, field, value):
    call = json.loads(agency.call("ingest"))
    call["request"][field] = value
    said = agency.refused(json.dumps(call).encode(), "PolicyRefused", step=None)
    assert f"a request that is none: field request.{field}: " in said


def test_a_request_that_is_too_long_is_refused_unread(agency):
    said = agency.refused(agency.call("ingest") + b" " * 300_000, "PolicyRefused", step=None)
    assert "was not read" in said


def test_the_daemon_has_gone_on_through_all_of_it(agency):
    assert agency.process.poll() is None
    assert agency.ask(agency.call("ingest"))["code"] == 0
