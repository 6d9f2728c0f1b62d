"""Run pytest in both environments side by side and sum up: `python tests/run.py [pytest arguments]`.

An environment that collects nothing of what was asked for counts as not asked. Ends with one line of summed
counts, and fails if any process of the tests is still alive.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from contextlib import suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENTS = (".venv", ".venv-fl")
NOTHING_COLLECTED = {4, 5}  # pytest: a named test is not there; no tests
# Whole runs under a scheduler: `make faults`, which takes half an hour.
SLOW = ("tests/faults", "tests/attacks/test_through_airflow.py", "tests/federation/test_faults.py")
MARK = "HUILIU_TEST_RUN"
# Beside Airflow much of the time is spent waiting for processes: every core is kept busy by one process more, up to a
# number of whole servers that a usual machine's memory holds. The learning side's tests take a few minutes. The tests
# themselves say what begins first.
SIDE_BY_SIDE = ["--dist=loadgroup", "--no-loadscope-reorder", f"--numprocesses={min((os.cpu_count() or 1) + 1, 4)}"]
_LAST_LINES_SECONDS = 1.0  # until the last lines of an ended pytest have been read


def main(arguments: list[str]) -> int:
    # The slow ones are all beside Airflow: the other environment cannot even import what they share.
    environments = ENVIRONMENTS[:1] if arguments and all(map(_is_slow, arguments)) else ENVIRONMENTS
    options: dict[str, list[str]] = {name: [] for name in environments}
    if not any(map(_is_slow, arguments)):
        arguments = [*arguments, *(f"--ignore={slow}" for slow in SLOW)]
        options[".venv"] = SIDE_BY_SIDE
    mark = uuid.uuid4().hex
    totals = dict.fromkeys(("passed", "failed", "skipped"), 0)
    codes = []
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        reports = {name: Path(folder) / f"{name}.xml" for name in environments}
        running = {
            name: Pytest(name, [*arguments, *options[name], f"--junitxml={reports[name]}"], mark)
            for name in environments
        }
        try:
            for name, counts in reports.items():
                print(f"tests in {name}", flush=True)
                code, output = running[name].show()
                if code not in NOTHING_COLLECTED:
                    codes.append(code)
                    _add(totals, counts)
                else:
                    outputs.append(output)
        except KeyboardInterrupt:
            for pytest in running.values():
                pytest.stop()
            raise
    left = _alive(mark)
    for pid, command in left.items():
        print(f"left behind by the tests: {pid} {command}")
        os.kill(pid, signal.SIGKILL)
    if not codes:
        print("".join(outputs))
        print("no environment collected a test: check the arguments")
    failed = not codes or any(codes) or bool(left)
    if failed and totals["failed"] == 0:
        totals["failed"] = 1  # a crash of pytest itself, nothing collected, or a process left behind
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return int(failed)


def _is_slow(argument: str) -> bool:
    return any(slow in argument for slow in SLOW)


class Pytest:
    """One pytest in a session of its own; what it leaves behind cannot hold our output open."""

    def __init__(self, environment: str, arguments: list[str], mark: str) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._child = subprocess.Popen(
            [REPOSITORY / environment / "bin" / "python", "-m", "pytest", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, MARK: mark, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._wait, daemon=True).start()

    def show(self) -> tuple[int, str]:
        """Print what was said so far and what follows, until it ends; return exit code and output."""
        lines = []
        while (line := self._lines.get()) is not None:
            lines.append(line)
            print(line, end="", flush=True)
        return self._child.wait(), "".join(lines)

    def stop(self) -> None:
        """Kill it with everything that is still in its session."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _read(self) -> None:
        for line in self._child.stdout:
            self._lines.put(line)

    def _wait(self) -> None:
        self._child.wait()
        time.sleep(_LAST_LINES_SECONDS)
        self._lines.put(None)


def _add(totals: dict[str, int], report: Path) -> None:
    if not report.exists():
        return
    for suite in ET.parse(report).getroot().iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        totals["failed"] += failed
        totals["skipped"] += skipped
        totals["passed"] += int(suite.get("tests", 0)) - failed - skipped


def _alive(mark: str) -> dict[int, str]:
    """Find processes that were started by the tests, by the mark in their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(folder.name)] = command[:120]
        except OSError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
