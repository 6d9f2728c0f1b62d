"""A server as `make up` starts it: one for all of these tests, in their order; the last one stops it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fl_airflow.server.api import health, request
from fl_airflow.server.errors import ApiError
from fl_airflow.server.supervisor import AIRFLOW_PARTS

REPOSITORY = Path(__file__).resolve().parents[2]
LISTEN = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def tcp_sockets(pids) -> list[tuple[str, str]]:
    """Return state and own address, as the kernel writes them, of each TCP socket that some processes have."""
    inodes = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since the folder was listed: it leads nowhere
                target = str(file.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.append((fields[3], fields[1]))
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
    addresses = {address for state, address in tcp_sockets(server.processes()) if state == LISTEN}
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


@pytest.fixture
def endless(server):
    """A file that the stages of the trial DAGs read, and that never ends."""
    file = server.home / "trial" / "scenarios" / "trial.yaml"
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    yield
    file.unlink()
    file.parent.rmdir()


@pytest.fixture
def stuck(server, endless):
    """A run of two stages that start at once and do not end; gives its id."""
    run_id = server.trigger("trial_stages")
    wait_for(lambda: len(server.stages()) == 2, 60, f"the stages did not start: {server.stages()}\n{server.logs()}")
    yield run_id
    with suppress(ApiError):  # a test may have stopped the server
        server.give_up("trial_stages", run_id)
    wait_for(lambda: not server.stages(), 60, "the stages of a run that was given up go on")


def stage(server, name: str) -> int:
    """The process of a stage, found by what `ps` shows."""
    (pid,) = (pid for pid, command in server.stages().items() if command.startswith(f"fl run {name} --spec "))
    return pid


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def daemons(server) -> list[int]:
    return [pid for pid, command in server.processes().items() if "-m fl_tasks serve" in command]


def test_stages_that_start_at_once_share_one_daemon_that_knows_no_airflow(server, stuck):
    daemon = server.daemon()
    wait_for(lambda: daemons(server) == [daemon], 30, "a daemon that came second stays")
    for name in ("cohort", "list"):
        assert parent_of(stage(server, name)) == daemon
        assert resource.prlimit(stage(server, name), resource.RLIMIT_DATA) == (2**33, 2**33)
    names = {word.partition(b"=")[0].decode() for word in Path(f"/proc/{daemon}/environ").read_bytes().split(b"\0")}
    assert {"HUILIU_HOME", "HUILIU_SERVER_ID"} <= names
    assert not [name for name in names if "AIRFLOW" in name]
    assert tcp_sockets([daemon, *server.stages()]) == []  # nothing leads to the database or the API


def test_a_task_that_is_ended_or_killed_takes_its_own_stage_along_and_not_the_daemon(server, stuck):
    daemon, cohort, listing = server.daemon(), stage(server, "cohort"), stage(server, "list")
    server.api.call("PATCH", f"/dags/trial_stages/dagRuns/{stuck}/taskInstances/cohort", {"new_state": "failed"})
    wait_for(lambda: cohort not in server.stages(), 30, "the stage of a task that was ended goes on")
    assert listing in server.stages()
    task = server.task_instances("trial_stages", stuck)["list"]["id"]
    (pid,) = (
        pid for pid, command in server.processes().items() if command.split() == ["airflow", "worker", "--", task]
    )
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not server.stages(), 10, "the stage of a task that was killed goes on")
    assert server.daemon() == daemon


def test_a_task_whose_time_is_over_takes_its_stage_along(server, endless):
    daemon = server.daemon()
    run_id = server.trigger("trial_timeout")
    wait_for(server.stages, 60, "the stage did not start")
    assert server.wait("trial_timeout", run_id) == "failed"
    assert "AirflowTaskTimeout" in server.log("trial_timeout", run_id, "close")
    wait_for(lambda: not server.stages(), 5, "the stage of a task whose time is over goes on")
    assert server.daemon() == daemon


def test_what_a_stage_says_stands_in_its_tasks_log(server):
    run_id = server.trigger("trial_stages")
    assert server.wait("trial_stages", run_id) == "failed"
    log = server.log("trial_stages", run_id, "cohort")
    assert "error: ConfigError: " in log
    assert "failed for good (exit code 10)" in log


def test_a_killed_scheduler_is_started_again_without_its_old_workers_and_runs_the_next_run(server, stuck, tmp_path):
    first = server.state.parts["scheduler"].process
    old = [pid for pid, command in server.processes().items() if "LocalExecutor" in command]
    learning = [pid for pid, command in server.processes().items() if "fl_tasks.learning.zygote" in command]
    assert old
    assert learning
    old += [*daemons(server), *learning, *server.stages()]
    first.signal(signal.SIGKILL)
    wait_for(lambda: server.state.parts["scheduler"].starts == 2, 15, "the scheduler was not started again")
    assert server.state.parts["scheduler"].process.pid != first.pid
    assert not set(old) & set(server.processes())
    note = tmp_path / "note"
    run_id = server.trigger("trial_note", {"file": str(note)})
    assert server.wait("trial_note", run_id) == "success"


def test_down_stops_runs_that_are_under_way_and_leaves_no_process(server, stuck, tmp_path):
    child = tmp_path / "child"
    server.trigger("trial_long", {"file": str(child)})
    pid = int(wait_for(lambda: child.exists() and child.read_text(), 60, "the long task did not start"))
    assert pid in server.processes()
    stages = server.stages()
    assert "no process of it is left" in server.stop()
    assert server.processes() == {}
    assert not [pid for pid in stages if Path(f"/proc/{pid}").exists()]
    assert server.command("status").returncode == 1
    assert "not running" in server.stop()
