"""A server as `make up` starts it: one for all of these tests, in their order; the last one stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fl_airflow.server.api import health, request
from fl_airflow.server.errors import ApiError
from fl_airflow.server.supervisor import AIRFLOW_PARTS

REPOSITORY = Path(__file__).resolve().parents[2]
LISTEN = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def listening(pids) -> set[str]:
    """Return the addresses, as the kernel writes them, on which some processes listen."""
    inodes = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            target = str(file.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                found.add(fields[1])
    return found


def wait_for(what, seconds: float, message: str):
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, message
        time.sleep(0.2)
    return value


def test_up_returns_once_every_part_is_healthy(server):
    assert health(server.url) == dict.fromkeys(AIRFLOW_PARTS, "healthy")
    assert server.command("status").returncode == 0
    for part in AIRFLOW_PARTS:  # what a container's health check runs
        env = {**os.environ, "HUILIU_HOME": str(server.home), "HUILIU_PYTHON": sys.executable}
        assert subprocess.run([REPOSITORY / "scripts" / "health.sh", part], env=env, check=False).returncode == 0
    assert f"Airflow is up: {server.url}" in server.said


def test_a_second_up_says_that_it_is_up_and_changes_nothing(server):
    before = server.processes()
    done = server.command("up", "--port", str(server.port))
    assert done.returncode == 0
    assert "is up already" in done.stdout
    assert set(before) & set(server.processes()) == set(before)


def test_the_password_is_shown_once_and_no_secret_is_in_an_environment_or_open_to_others(server):
    folder = server.home / "server"
    password = json.loads((folder / "passwords.json").read_text())["admin"]
    assert password in server.said
    assert password not in server.command("up", "--port", str(server.port)).stdout
    secrets = [path.read_text() for path in (folder / "secrets").iterdir()] + [password]
    assert len(secrets) == 6
    environments = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in server.processes())
    commands = "".join(server.processes().values())
    for secret in secrets:
        assert secret.encode() not in environments
        assert secret not in commands
    for path in folder.rglob("*"):
        assert path.is_dir() or "logs" in path.parts or path.stat().st_mode & 0o077 == 0, path
    assert folder.stat().st_mode & 0o077 == 0


def test_nothing_listens_beyond_the_loopback_address(server):
    addresses = listening(server.processes())
    assert len(addresses) == 2, addresses  # the API, and PostgreSQL
    assert {address.split(":")[0] for address in addresses} <= LOOPBACK


def test_the_training_pool_has_a_slot_a_core(server):
    assert server.api.call("GET", "/pools/fl_training")["slots"] == os.cpu_count()


def test_dags_are_paused_until_someone_unpauses_them(server):
    found = wait_for(lambda: server.api.call("GET", "/dags?limit=10")["dags"], 60, "no DAG was parsed")
    assert all(dag["is_paused"] for dag in found)


def test_a_run_triggered_with_a_login_token_succeeds(server, tmp_path):
    with pytest.raises(ApiError, match="401"):
        request(server.url, "POST", "/auth/token", {"username": "admin", "password": "wrong"})
    with pytest.raises(ApiError, match="401"):
        request(server.url, "POST", "/api/v2/dags/trial_note/dagRuns", {"logical_date": None})
    note = tmp_path / "note"
    run_id = server.trigger("trial_note", {"file": str(note)})
    assert server.wait("trial_note", run_id) == "success"
    assert note.read_text() == run_id
    assert server.task_instances("trial_note", run_id)["note"]["try_number"] == 1


def test_a_killed_scheduler_is_started_again_without_its_old_workers_and_runs_the_next_run(server, tmp_path):
    first = server.state.parts["scheduler"].process
    old = [pid for pid, command in server.processes().items() if "LocalExecutor" in command]
    assert old
    first.signal(signal.SIGKILL)
    wait_for(lambda: server.state.parts["scheduler"].starts == 2, 15, "the scheduler was not started again")
    assert server.state.parts["scheduler"].process.pid != first.pid
    assert not set(old) & set(server.processes())
    note = tmp_path / "note"
    run_id = server.trigger("trial_note", {"file": str(note)})
    assert server.wait("trial_note", run_id) == "success"


def test_down_stops_a_run_that_is_under_way_and_leaves_no_process(server, tmp_path):
    child = tmp_path / "child"
    server.trigger("trial_long", {"file": str(child)})
    pid = int(wait_for(lambda: child.exists() and child.read_text(), 60, "the long task did not start"))
    assert pid in server.processes()
    assert "no process of it is left" in server.stop()
    assert server.processes() == {}
    assert server.command("status").returncode == 1
    assert "not running" in server.stop()
