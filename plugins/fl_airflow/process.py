"""A child process in a session of its own, whose descendants cannot outlive it or hold up its caller."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO

# Once the group is dead only a process that left it can still hold the pipe; its lines are not waited for.
_LAST_LINES_SECONDS = 2.0


class GroupProcess:
    """One run of a command, with everything that it starts in its process group.

    Args:
        argv: The command as a list; no shell reads it.
        env: The child's whole environment.
        on_line: Gets each line of the child's output (standard error included), without its end, in a thread.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], on_line: Callable[[str], None]) -> None:
        self._argv = list(argv)
        self._env = dict(env)
        self._on_line = on_line
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> int:
        """Run to the end of the command itself, kill what is left of its group, return its exit code.

        A negative exit code is the number of the signal that ended it, as in subprocess.
        """
        process = subprocess.Popen(
            self._argv,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._process = process
        pump = threading.Thread(target=self._pump, args=(process.stdout,), name=f"output of {process.pid}", daemon=True)
        pump.start()
        try:
            # Seen, not reaped: as long as it is a zombie no other group can have its number.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            self.kill()
            process.wait()
            self._process = None
            pump.join(_LAST_LINES_SECONDS)
        return process.returncode

    def kill(self) -> None:
        """Kill the command and its group, if it runs."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _pump(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._on_line(line.rstrip("\n"))
