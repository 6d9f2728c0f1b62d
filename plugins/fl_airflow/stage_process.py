"""How a stage is run: by an agency's daemon or that of this installation where there is one, else as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fl_airflow.process import GroupProcess
from fl_tasks.contracts.call import Call, DagBundle
from fl_tasks.contracts.stage import StageResult, StageSpec, read_failure, read_result, write_spec
from fl_tasks.daemon.client import StageByDaemon, start

# -P: whatever lies in the working directory is not imported.
FL = (sys.executable, "-P", "-m", "fl_tasks")
"""The command-line tool `fl` of this environment."""

OWNER = "HUILIU_DAEMON_OWNER"
"""Process id with which this installation's daemon ends. Unset: there is no daemon."""

DAEMON_SOCKET = "HUILIU_DAEMON_SOCKET"
"""Folder in which an agency's daemon listens. Set for the agency's worker, which is another user and starts none."""

AHEAD = "HUILIU_AHEAD"
"""Set where tasks are run one after another: the first of some siblings then starts the stages of all."""

OnLine = Callable[[str], None]


class StageProcess(Protocol):
    """One run of a stage."""

    def run(self) -> int:
        """Run to the end and return the exit code, negative for a signal."""

    def result(self) -> StageResult:
        """Return what it left; raises FileNotFoundError or ValidationError if there is no valid result."""

    def failure(self) -> StageResult | None:
        """Return what it told of its failure for good, if anything."""

    def kill(self) -> None:
        """End it, and everything that it started."""


def stage_process(command: Sequence[str], spec: StageSpec, bundle: DagBundle | None, on_line: OnLine) -> StageProcess:
    """Return a stage that is ready to run, or one that was begun ahead of its turn.

    Args:
        command: `fl`, as a list.
        spec: Of the stage.
        bundle: Where the task's DAG comes from, if Airflow has it from a bundle.
        on_line: Gets each line of its output.
    """
    begun = _begun.pop(spec.spec_path, None)
    if begun is not None:
        begun.on_line = on_line
        return begun
    folder, owner = os.environ.get(DAEMON_SOCKET), os.environ.get(OWNER)
    if folder is None and owner is None:
        return _Alone(command, spec, on_line)
    call = Call(request=spec.request, federation=spec.federation.resolve(), bundle=bundle)
    content = call.model_dump_json(by_alias=True).encode()
    if folder is not None:
        return _ByDaemon(StageByDaemon(Path(folder), content, on_line))
    # A daemon that is started here serves the very folders of this run.
    env = _without_airflow(os.environ) | {"HUILIU_HOME": str(spec.home), "HUILIU_FEDERATION": str(spec.federation)}
    return _ByDaemon(StageByDaemon(spec.home, content, on_line, command=_serve(command, str(owner)), env=env))


class _Alone(GroupProcess):
    """A stage as a process of its own, which finds its spec and leaves its result in the party's folder."""

    def __init__(self, command: Sequence[str], spec: StageSpec, on_line: OnLine) -> None:
        path = write_spec(spec)
        super().__init__([*command, "run", spec.stage, "--spec", str(path)], _without_airflow(os.environ), on_line)
        self._spec = spec

    def result(self) -> StageResult:
        return read_result(self._spec)

    def failure(self) -> StageResult | None:
        return read_failure(self._spec)


class _ByDaemon:
    """A stage in a daemon, which has the spec and gives the result by open files: its folder may be unreadable here."""

    def __init__(self, stage: StageByDaemon) -> None:
        self._stage = stage

    def run(self) -> int:
        return self._stage.run()

    def result(self) -> StageResult:
        return StageResult.model_validate_json(self._stage.result or b"")

    def failure(self) -> StageResult | None:
        return self.result() if self._stage.result else None

    def kill(self) -> None:
        self._stage.kill()


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


def begin(command: Sequence[str], spec: StageSpec, bundle: DagBundle | None) -> None:
    """Begin a stage ahead of its task's turn, so that siblings share the cores; each is begun once."""
    if not has_begun(spec):
        _begun[spec.spec_path] = _Begun(command, spec, bundle)


class _Begun:
    """A stage that runs in a thread already. Its lines wait until its task's turn, when `on_line` is set."""

    def __init__(self, command: Sequence[str], spec: StageSpec, bundle: DagBundle | None) -> None:
        self.on_line: OnLine
        self._lines: list[str] = []
        self._process = stage_process(command, spec, bundle, self._lines.append)
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

    def result(self) -> StageResult:
        return self._process.result()

    def failure(self) -> StageResult | None:
        return self._process.failure()

    def kill(self) -> None:
        self._process.kill()

    def _work(self) -> None:
        try:
            self._code = self._process.run()
        except Exception as error:
            self._error = error


_begun: dict[Path, _Begun] = {}
