"""A daemon whose stages do what their names say: `python -m tests.daemon.behaving FOLDER ...`; see main."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.contracts.jobs import Job, JobFile, JobResult
from fl_tasks.daemon import server
from fl_tasks.daemon.server import Daemon, Done
from fl_tasks.daemon.workers import Workers
from fl_tasks.stages.learning_process import learning_python, run_job


@dataclass(frozen=True)
class Errand:
    """Due while `due` lies in a folder, a line of `done` each time, then does what `due` says."""

    folder: Path

    def due(self) -> bool:
        return (self.folder / "due").exists()

    def run(self) -> None:
        with (self.folder / "done").open("a") as done:
            done.write(f"{os.getpid()} {os.getppid()}\n")
        how = (self.folder / "due").read_text()
        if how == "break":
            raise RuntimeError("broken on an errand")
        if how == "wait":
            time.sleep(300)


def read_job(path: Path) -> Job:
    return JobFile.model_validate_json(path.read_bytes()).job


def behave(stage: str, spec: str) -> int:
    """Do what a stage's name says; `spec` is a folder or a number."""
    if stage == "say":
        print("to standard output", flush=True)
        print("to standard error", file=sys.stderr, flush=True)
    elif stage == "talk":
        print("x" * 1_000_000, flush=True)
    elif stage == "exit":
        return int(spec)
    elif stage == "break":
        raise RuntimeError("broken inside")
    elif stage == "signal":
        os.kill(os.getpid(), int(spec))
    elif stage == "wait":
        child = subprocess.Popen(["sleep", "300"])
        (Path(spec) / "pids").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(300)
    elif stage == "take":
        len(bytearray(int(spec)))
    elif stage == "files":
        print([number for number in range(1024) if _open(number)])
    elif stage == "learn":
        path = Path(spec)
        result = run_job(read_job(path), path)
        print(f"import={result.seconds_import:.3f}")
    elif stage == "state":
        seen = getattr(JobResult, "_seen_by_an_earlier_stage", False)
        JobResult._seen_by_an_earlier_stage = True
        print(f"seen={seen}")
    return 0


def run(call: bytes | None) -> Done:
    """Behave as a call says; "say" leaves a result as well."""
    if call is None:
        print("too long")
        return Done(10)
    asked = json.loads(call)
    return Done(behave(asked["stage"], asked["spec"]), b"a result" if asked["stage"] == "say" else b"")


def _open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--owner", type=int)
    parser.add_argument("--memory", type=int, default=2**33)
    parser.add_argument("--learning", action="store_true")
    parser.add_argument("--silent", type=float, default=10.0)
    parser.add_argument("--worker", type=int, nargs=2, help="another user's and group's id")
    parser.add_argument("--errand", type=Path, help="a folder; see Errand")
    options = parser.parse_args()
    server._SILENT_SECONDS = options.silent
    if options.errand is not None:
        server._ERRAND_SECONDS = 0.1
        server._AHEAD = ()  # while it imports ahead it never sleeps
    user, group = options.worker or (None, None)
    # `true` ends at once: most of these stages take no learning jobs.
    python = learning_python if options.learning else lambda: Path("/bin/true")
    workers = Workers(python, most=1, memory_bytes=options.memory)
    Daemon(
        options.folder,
        workers,
        memory_bytes=options.memory,
        idle_seconds=options.idle,
        owner=options.owner,
        run=run,
        users=() if user is None else (user,),
        group=group,
        errand=None if options.errand is None else Errand(options.errand),
    ).serve()


if __name__ == "__main__":
    main()
