"""Run pytest in both environments and sum up: `python tests/run.py [pytest arguments]`.

An environment that collects nothing of what was asked for counts as not asked. Ends with one line of summed
counts, and fails if any process of the tests is still alive.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENTS = (".venv", ".venv-fl")
NOTHING_COLLECTED = {4, 5}  # pytest: a named test is not there; no tests
MARK = "HUILIU_TEST_RUN"


def main(arguments: list[str]) -> int:
    if not any("tests/faults" in argument for argument in arguments):
        arguments = [*arguments, "--ignore=tests/faults"]  # a make target of its own: it takes a quarter of an hour
    mark = uuid.uuid4().hex
    totals = dict.fromkeys(("passed", "failed", "skipped"), 0)
    codes = []
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ENVIRONMENTS:
            counts = Path(folder) / f"{name}.xml"
            print(f"tests in {name}", flush=True)
            code, output = _pytest(name, [*arguments, f"--junitxml={counts}"], mark)
            if code not in NOTHING_COLLECTED:
                codes.append(code)
                _add(totals, counts)
            else:
                outputs.append(output)
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


def _pytest(environment: str, arguments: list[str], mark: str) -> tuple[int, str]:
    """Run pytest in a session of its own; what it leaves behind cannot hold our output open."""
    command = [REPOSITORY / environment / "bin" / "python", "-m", "pytest", *arguments]
    child = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, MARK: mark, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []

    def pump() -> None:
        for line in child.stdout:
            lines.append(line)
            print(line, end="", flush=True)

    reader = threading.Thread(target=pump, daemon=True)
    reader.start()
    try:
        code = child.wait()
        reader.join(timeout=5)
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return code, "".join(lines)


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
