"""Where a task's stage runs: at an agency by the daemon that its operator keeps, which a worker never starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fl_airflow import stage_process as module
from fl_airflow.stage_process import DAEMON_SOCKET, FL, OWNER, stage_process
from pydantic import ValidationError

from fl_tasks.contracts.call import DagBundle
from fl_tasks.contracts.stage import read_result
from fl_tasks.daemon.client import DaemonUnavailable
from tests.attacks.agency_site import AGENCY, Site
from tests.daemon.serving import ENV, wait_for

BUNDLE = DagBundle(name="dags-folder")


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """The environment of an agency's worker, and the folder in which its daemon listens."""
    monkeypatch.setenv(DAEMON_SOCKET, str(tmp_path / "run"))
    monkeypatch.setenv(OWNER, str(os.getpid()))
    monkeypatch.setattr("fl_tasks.daemon.client.AWAITED_SECONDS", 0.1)
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *_, **__: pytest.fail("a worker starts nothing"))
    return tmp_path / "run"


def test_a_worker_starts_no_daemon_and_says_what_has_to_run(worker, tmp_path):
    spec = Site(tmp_path).spec("ingest")
    stage = stage_process(FL, spec, BUNDLE, print)
    with pytest.raises(DaemonUnavailable, match="`fl agency serve` has to run there, as its systemd unit does"):
        stage.run()
    with pytest.raises(ValidationError):
        stage.result()


def test_a_stage_that_was_begun_ahead_hands_its_result_on(tmp_path, monkeypatch):
    monkeypatch.delenv(OWNER, raising=False)
    spec = Site(tmp_path).spec("ingest")
    module.begin(("/bin/true",), spec, BUNDLE)
    begun = stage_process(FL, spec, BUNDLE, print)
    assert begun.run() == 0
    with pytest.raises(FileNotFoundError):
        begun.result()


def test_the_agencys_daemon_gives_output_exit_code_and_result(tmp_path, monkeypatch):
    site = Site(tmp_path).install()
    monkeypatch.setenv(DAEMON_SOCKET, str(tmp_path / "run"))
    places = {"HUILIU_HOME": str(site.home.root), "HUILIU_FEDERATION": str(site.federation)}
    words = ("--socket-folder", str(tmp_path / "run"), "--worker-user", str(os.getuid()))
    command = [sys.executable, "-P", "-m", "fl_tasks", "agency", "serve", "--agency", AGENCY, *words]
    lines: list[str] = []
    with subprocess.Popen(command, env={**ENV, **places, "HUILIU_FL_PYTHON": "/bin/true"}) as daemon:
        try:
            assert wait_for((tmp_path / "run" / "daemon.sock").exists)
            # What the worker calls its own home is nobody's business at the daemon.
            spec = site.spec("ingest").model_copy(update={"home": tmp_path / "elsewhere"})
            missing = stage_process(FL, spec, BUNDLE, lines.append)
            assert missing.run() == 10
            assert any("InputError" in line for line in lines)
            site.deliver("speed_5min.csv.gz", 50.0)
            done = stage_process(FL, spec, BUNDLE, lines.append)
            assert done.run() == 0, lines
            assert done.result() == read_result(site.spec("ingest"))
            assert not (tmp_path / "elsewhere").exists()
        finally:
            daemon.kill()
