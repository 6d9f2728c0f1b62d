"""How a stage is run: by the daemon of this installation where there is one, else as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fl_airflow.process import GroupProcess
from fl_tasks.contracts.stage import StageSpec, write_spec
from fl_tasks.daemon.client import StageByDaemon, start

# -P: whatever lies in the working directory is not imported.
FL = (sys.executable, "-P", "-m", "fl_tasks")
"""The command-line tool `fl` of this environment."""

OWNER = "HUILIU_DAEMON_OWNER"
"""Process id with which this installation's daemon ends. Unset: there is no daemon."""

AHEAD = "HUILIU_AHEAD"
"""Set where tasks are run one after another: the first of some siblings then starts the stages of all."""

OnLine = Callable[[str], None]


class StageProcess(Protocol):
    """One run of a stage."""

    def run(self) -> int:
        """Run to the end and return the exit code, negative for a signal."""

    def kill(self) -> None:
        """End it, and everything that it started."""


def stage_process(command: Sequence[str], spec: StageSpec, on_line: OnLine) -> StageProcess:
    """Return a stage that is ready to run, or one that was begun ahead of its turn.

    Args:
        command: `fl`, as a list.
        spec: Of the stage; it is written where the stage expects it.
        on_line: Gets each line of its output.
    """
    begun = _begun.pop(spec.spec_path, None)
    if begun is not None:
        begun.on_line = on_line
        return begun
    path = write_spec(spec)
    env = _without_airflow(os.environ)
    owner = os.environ.get(OWNER)
    if owner is None:
        return GroupProcess([*command, "run", spec.stage, "--spec", str(path)], env, on_line)
    return StageByDaemon(spec.home, _serve(command, owner), spec.stage, path, env, on_line)


def start_daemon(home: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start an installation's daemon before its first stage, so that it is ready by then; it ends with this process.

    Args:
        home: The installation's home folder.
        env: As a task would have it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return start(home, _serve(FL, str(os.getpid())), _without_airflow(env))


def _serve(command: Sequence[str], owner: str) -> list[str]:
    return [*command, "serve", "--owner", owner]


def _without_airflow(env: Mapping[str, str]) -> dict[str, str]:
    """A stage knows no Airflow: neither its database nor its signing keys are passed on."""
    return {name: value for name, value in env.items() if not name.lstrip("_").startswith("AIRFLOW")}


def has_begun(spec: StageSpec) -> bool:
    """Whether a stage was begun ahead of its turn: then all siblings whose turn had come were, too."""
    return spec.spec_path in _begun


def begin(command: Sequence[str], spec: StageSpec) -> None:
    """Begin a stage ahead of its task's turn, so that siblings share the cores; each is begun once."""
    if not has_begun(spec):
        _begun[spec.spec_path] = _Begun(command, spec)


class _Begun:
    """A stage that runs in a thread already. Its lines wait until its task's turn, when `on_line` is set."""

    def __init__(self, command: Sequence[str], spec: StageSpec) -> None:
        self.on_line: OnLine
        self._lines: list[str] = []
        self._process = stage_process(command, spec, self._lines.append)
        self._code = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def run(self) -> int:
        self._thread.join()
        for line in self._lines:
            self.on_line(line)
        if self._error is not None:
            raise self._error
        return self._code

    def kill(self) -> None:
        self._process.kill()

    def _work(self) -> None:
        try:
            self._code = self._process.run()
        except Exception as error:
            self._error = error


_begun: dict[Path, _Begun] = {}
