"""The daemon keeps a stage's contract: its output, its exit code, its end, and nothing of it that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from fl_tasks.daemon import place
from fl_tasks.daemon.client import DaemonUnavailable, StageByDaemon
from tests.daemon.serving import called, gone, wait_for


def test_a_stage_writes_into_its_callers_output_and_gives_its_exit_code(served):
    home = served()
    assert home.stage("say").run() == 0
    assert home.lines == ["to standard output", "to standard error"]
    assert home.stage("exit", 10).run() == 10
    assert home.stage("signal", int(signal.SIGKILL)).run() == -signal.SIGKILL


def test_a_mistake_in_a_stage_is_told_and_leaves_the_daemon_alone(served):
    home = served()
    assert home.stage("break").run() == 1
    assert any("broken inside" in line for line in home.lines)
    first = home.pid()
    assert home.stage("say").run() == 0
    assert home.pid() == first


def test_nothing_of_a_stage_stays_for_the_next(served):
    home = served()
    for _ in range(2):
        assert home.stage("state").run() == 0
        assert home.lines == ["seen=False"]


def test_a_stage_holds_no_file_of_the_daemon(served):
    home = served()
    assert home.stage("files").run() == 0
    assert home.lines == ["[0, 1, 2, 3, 4]"]  # 3: where it asks for learning jobs; 4: where its result goes


def test_a_stage_whose_client_is_killed_ends_with_all_that_it_started(served, tmp_path):
    home = served()
    stage = home.stage("wait", tmp_path)
    runner = threading.Thread(target=stage.run)
    runner.start()
    assert wait_for((tmp_path / "pids").exists)
    assert wait_for(lambda: len((tmp_path / "pids").read_text().split()) == 2)
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    stage.kill()
    runner.join(20)
    assert not runner.is_alive()
    assert wait_for(lambda: all(gone(pid) for pid in pids))


def test_a_daemon_that_is_killed_takes_its_stages_along_and_the_next_call_starts_another(served, tmp_path):
    home = served()
    codes: list[int] = []
    runner = threading.Thread(target=lambda: codes.append(home.stage("wait", tmp_path).run()))
    runner.start()
    assert wait_for((tmp_path / "pids").exists)
    assert wait_for(lambda: len((tmp_path / "pids").read_text().split()) == 2)
    stage, child = (int(word) for word in (tmp_path / "pids").read_text().split())
    first = home.pid()
    os.kill(first, signal.SIGKILL)
    runner.join(20)
    assert codes == [-signal.SIGKILL]
    assert wait_for(lambda: gone(stage))
    os.kill(child, signal.SIGKILL)  # nobody is left who would: real stages start their processes by the daemon
    assert home.stage("say").run() == 0
    assert home.pid() != first


def test_a_stage_that_ends_in_the_moment_in_which_its_client_leaves_is_no_harm(served, tmp_path):
    home = served()
    process = home.stage("wait", tmp_path)
    runner = threading.Thread(target=process.run)
    runner.start()
    assert wait_for(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    stage, child = (int(word) for word in (tmp_path / "pids").read_text().split())
    daemon = home.pid()
    os.kill(daemon, signal.SIGSTOP)  # as if it were importing: it hears of both at once
    try:
        os.kill(child, signal.SIGKILL)
        os.kill(stage, signal.SIGKILL)
        process.kill()
    finally:
        os.kill(daemon, signal.SIGCONT)
    runner.join(20)
    assert home.stage("say").run() == 0
    assert home.pid() == daemon


def test_a_daemon_ends_with_its_owner(served):
    with subprocess.Popen(["sleep", "300"]) as owner:
        home = served("--owner", str(owner.pid))
        assert home.stage("say").run() == 0
        pid = home.pid()
        owner.kill()
        owner.wait()
    assert wait_for(lambda: gone(pid))
    assert place.connect(home.folder) is None


def test_an_idle_daemon_ends_by_itself(served):
    home = served("--idle", "5")
    assert home.stage("say").run() == 0
    pid = home.pid()
    assert wait_for(lambda: gone(pid))
    assert not (home.folder / "daemon.sock").exists()


def test_a_second_daemon_of_a_folder_is_refused(served):
    home = served()
    assert home.stage("say").run() == 0
    done = subprocess.run(home.command, env=home.env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DaemonRuns" in done.stderr
    assert home.stage("say").run() == 0


def test_a_stage_that_takes_more_memory_than_it_may_fails_and_the_daemon_goes_on(served):
    home = served("--memory", str(512 * 2**20))
    assert home.stage("take", 2**20).run() == 0
    assert home.stage("take", 2**30).run() == 1
    assert any("MemoryError" in line for line in home.lines)
    assert home.stage("say").run() == 0


def test_a_deep_folder_is_no_obstacle(served, tmp_path):
    home = served(folder=tmp_path / ("deep" * 20) / ("deeper" * 20))
    assert home.stage("say").run() == 0


def test_siblings_run_at_the_same_time(served, tmp_path):
    home = served()
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    stages = [home.stage("wait", folder) for folder in folders]
    threads = [threading.Thread(target=stage.run) for stage in stages]
    for thread in threads:
        thread.start()
    assert wait_for(lambda: all((folder / "pids").exists() for folder in folders))
    for stage in stages:
        stage.kill()
    for thread in threads:
        thread.join(20)


def test_a_daemon_whose_code_is_outdated_makes_room_for_the_next(served):
    home = served()
    assert home.stage("say").run() == 0
    first = home.pid()
    file = Path(str(place.__file__))
    times = file.stat()
    try:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
        assert home.stage("say").run() == 0
        assert home.pid() != first
        assert wait_for(lambda: gone(first))
    finally:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_daemon_that_does_not_start_is_told_with_where_its_reason_stands(served, tmp_path):
    stage = StageByDaemon(tmp_path, called("say"), print, command=["/bin/false"], env=os.environ)
    with pytest.raises(DaemonUnavailable, match=r"daemon\.log"):
        stage.run()
