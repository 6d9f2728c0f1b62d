"""A stage's process: nothing that it starts outlives it, and nothing that outlives it holds up the task."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from fl_airflow.process import GroupProcess


def python(script: str, lines: list[str]) -> GroupProcess:
    return GroupProcess([sys.executable, "-S", "-c", script], os.environ, lines.append)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_dead(pid: int) -> bool:
    end = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(pid)


def test_exit_code_and_every_line_of_both_streams_arrive():
    lines: list[str] = []
    script = "import sys; print('a'); print('b', file=sys.stderr, flush=True); print('ü'); sys.exit(10)"
    assert python(script, lines).run() == 10
    assert sorted(lines) == ["a", "b", "ü"]


def test_what_a_stage_leaves_running_in_its_group_is_killed():
    lines: list[str] = []
    script = "import subprocess; print(subprocess.Popen(['sleep', '300']).pid)"
    began = time.monotonic()
    assert python(script, lines).run() == 0
    assert time.monotonic() - began < 10
    assert wait_until_dead(int(lines[0]))


def test_an_orphan_in_another_session_that_holds_the_output_does_not_hang_the_task():
    lines: list[str] = []
    script = "import subprocess; print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid)"
    began = time.monotonic()
    assert python(script, lines).run() == 0
    assert time.monotonic() - began < 10
    assert is_alive(int(lines[0]))
    os.kill(int(lines[0]), signal.SIGKILL)


def test_kill_ends_the_stage_and_its_children():
    lines: list[str] = []
    process = python(
        "import subprocess, time; print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)", lines
    )
    threading.Timer(1.0, process.kill).start()
    assert process.run() == -signal.SIGKILL
    assert wait_until_dead(int(lines[0]))
    process.kill()  # over already: nothing to do


def test_a_timeout_in_the_task_kills_the_stage():
    class TimedOut(Exception):
        pass

    def raise_timeout(number, frame):
        raise TimedOut

    lines: list[str] = []
    before = signal.signal(signal.SIGVTALRM, raise_timeout)
    try:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGVTALRM)).start()
        with pytest.raises(TimedOut):
            python("import os, time; print(os.getpid(), flush=True); time.sleep(300)", lines).run()
    finally:
        signal.signal(signal.SIGVTALRM, before)
    assert wait_until_dead(int(lines[0]))
