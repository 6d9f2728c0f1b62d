"""What the measure of a federation over many hosts counts as whose CPU."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.hosts import _scheduler_and_tasks

SPIN = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"
SCHEDULER = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {SPIN.format(seconds=0.6)!r}])
lives = subprocess.Popen([sys.executable, "-c", {SPIN.format(seconds=0.3)!r} + "\\nprint(1, flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
lives.stdout.readline()
{SPIN.format(seconds=0.2)}
print(1, flush=True)
input()
lives.kill()
"""


def test_the_schedulers_own_cpu_and_that_of_its_tasks_over_or_not_are_apart():
    process = subprocess.Popen([sys.executable, "-c", SCHEDULER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        own, tasks = _scheduler_and_tasks(process.pid)
    finally:
        process.communicate(b"\n")
    assert 0.2 <= own < 0.6
    assert 0.8 <= tasks < 1.6
