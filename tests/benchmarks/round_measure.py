"""What a whole program costs: wall time, CPU time and memory of it and of all that it starts, itself left out.

`python -m tests.benchmarks.round_measure SECONDS FOLDER COMMAND...` runs a command with its output in FOLDER/log and
prints JSON. All processes below it are over then, those too that have lost their parents: TensorFlow Federated's
executor and Ray leave some. CPU time is what the kernel sums up of processes that were waited for. Ray's parents wait
for none, so that it is also sampled, process by process, and the larger sum counts.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fl_airflow.embedded.memory import PeakMemory
from fl_airflow.process_tree import adopt_orphans, descendants, kill_descendants, tree_pss_bytes

from fl_tasks.daemon.parent import die_with_parent

REPOSITORY = Path(__file__).resolve().parents[2]
LAST_LINES = 20
SECONDS_BETWEEN = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


class MeasurementFailed(Exception):
    """The command failed; the message holds the last lines of its output."""


class TookTooLong(MeasurementFailed):
    """The command was killed after the seconds that it was given."""


def measured(
    argv: list[str | Path], folder: Path, *, seconds: float, env: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Run a command in a session of its own and return {wall, cpu, peak_pss}: seconds, seconds, bytes.

    Args:
        argv: The command. It runs in the repository.
        folder: For its output; made if it is not there.
        seconds: After these it is killed with all that it started.
        env: What is added to this process's environment.

    Raises:
        TookTooLong: If it did not end by itself.
        MeasurementFailed: If it ended with another exit code than 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    supervisor = [sys.executable, "-m", "tests.benchmarks.round_measure", str(seconds), str(folder), *map(str, argv)]
    done = subprocess.run(
        supervisor,
        cwd=REPOSITORY,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    if (code := answer.pop("code")) != 0:
        last = (folder / "log").read_text(errors="replace").splitlines()[-LAST_LINES:]
        ended = f"was killed after {seconds:.0f} s" if code is None else f"ended with exit code {code}"
        failure = TookTooLong if code is None else MeasurementFailed
        raise failure("\n".join([f"{' '.join(map(str, argv))} {ended}; it said last:", *last]))
    return answer


def supervise(argv: list[str], folder: Path, seconds: float) -> dict[str, float | None]:
    """Run a command below this process, and leave nothing of it behind."""
    die_with_parent()
    adopt_orphans()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (folder / "log").open("wb") as output, PeakMemory(folder / "memory.json") as memory:
        own = tree_pss_bytes(os.getpid())
        sampled: dict[tuple[int, str], int] = {}
        code, began = None, time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while code is None and time.monotonic() < began + seconds:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(timeout=SECONDS_BETWEEN)
                sampled |= _ticks()
        finally:
            wall = time.monotonic() - began
            process.kill()
            process.wait()
            kill_descendants()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "code": code,
        "wall": wall,
        "cpu": max(used.ru_utime + used.ru_stime, sum(sampled.values()) / _TICKS),
        "peak_pss": max(0, memory.peak_bytes - own),
    }


def _ticks() -> dict[tuple[int, str], int]:
    """CPU time so far of each process below this one, in ticks; a process is its id and its start."""
    found = {}
    for pid in descendants(os.getpid()):
        with suppress(OSError):  # gone meanwhile
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid, fields[19]] = int(fields[11]) + int(fields[12])
    return found


if __name__ == "__main__":
    print(json.dumps(supervise(sys.argv[3:], Path(sys.argv[2]), float(sys.argv[1]))))
