"""Follow a run's log: one printed line for each step that is over, and what a failed step said last."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fl_airflow.installation import STEP

_LAST_LINES = 12
_TASK_BEGINS = "[DAG TEST] starting task_id="
# time [level] text [logger] ...: what the stage itself said, as the operator passed it on
_OPERATOR_LINE = re.compile(r"^\S+ \[\w+ *\] (?P<text>.*?) *\[airflow\.task\.operators\.\S*FLStageOperator\]")


@dataclass(frozen=True)
class FailedStep:
    """A step that failed, and the last lines of its output."""

    title: str
    lines: tuple[str, ...]


class Progress:
    """Reads what is new in a log whenever it is asked to.

    Attributes:
        failed: Steps that failed so far, each try by itself.
    """

    def __init__(self, log: Path, show: Callable[[str], None] = print) -> None:
        self._log = log
        self._show = show
        self._position = 0
        self._rest = b""
        self._began = time.monotonic()
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.failed: list[FailedStep] = []

    def read(self) -> None:
        """Show the steps that are over since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", errors="replace"))

    def last_lines(self) -> list[str]:
        """Return the last lines of the whole log, for a run that broke outside of a step."""
        return self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]

    def _line(self, line: str) -> None:
        if _TASK_BEGINS in line:
            self._lines.clear()
        match = _OPERATOR_LINE.match(line)
        if match is None:
            return
        text = match["text"]
        if not text.startswith(f"{STEP} {{"):
            self._lines.append(text)
            return
        step = json.loads(text.removeprefix(STEP))
        title = " ".join(str(part) for part in (step["stage"], step["agency"], _where(step)) if part)
        if step["state"] == "failed":
            self.failed.append(FailedStep(title, tuple(self._lines)))
        self._show(self._row(step))

    def _row(self, step: dict[str, str | float | None]) -> str:
        note = "" if step["state"] == "done" else f"  {step['state']}"
        reason = f": {step['reason']}" if step["reason"] and note else ""
        return (
            f"{time.monotonic() - self._began:7.1f} s  {_where(step):9} {step['stage']:12} "
            f"{step['agency'] or 'coordinator':24} {step['seconds']:6.1f} s{note}{reason}"
        )


def _where(step: dict[str, str | float | None]) -> str:
    """Say in which round a step is; a survey has one alone."""
    if step["run"] == "survey":
        return "survey"
    return f"round {step['round']}" if step["round"] else ""
