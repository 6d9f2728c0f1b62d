"""Asking a daemon for a stage; on one machine with its user it is started where none runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, ClassVar

from fl_tasks.contracts.call import MOST_RESULT_BYTES, read_sealed, sealed
from fl_tasks.contracts.channel import Message, receive, send
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.stage import EXIT_FINAL
from fl_tasks.daemon import place

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02
# Of a daemon that somebody else starts: one that was killed is there again within seconds.
AWAITED_SECONDS = 30.0
# One may find the folder still held by another that is about to end.
_MOST_STARTS = 5
# Once the stage is over only a process that left its group can still hold the pipe; its lines are not waited for.
_LAST_LINES_SECONDS = 2.0


class DaemonUnavailable(FLError):
    """There is no daemon, it did not start, or it went away before it began the stage."""

    retryable: ClassVar[bool] = True


def start(folder: Path, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a daemon that outlives this process, unless its owner ends.

    Args:
        folder: The daemon's, which gets its log.
        command: Starts it.
        env: Its whole environment, and that of its stages.
    """
    path = folder / place.LOG
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        return subprocess.Popen(
            command, env=dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


class StageByDaemon:
    """One stage, run by the daemon of a folder; the counterpart of a process of its own.

    Args:
        folder: The daemon's.
        call: Content of the call (contracts/call.py).
        on_line: Gets each line of the stage's output, in a thread.
        command: Starts a daemon for that folder where none runs; empty: it is another user's to start.
        env: Environment of a daemon that has to be started.

    Attributes:
        result: Content of the stage's result, once it has ended well.
    """

    def __init__(
        self,
        folder: Path,
        call: bytes,
        on_line: Callable[[str], None],
        *,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.result: bytes | None = None
        self._folder = folder
        self._call = call
        self._on_line = on_line
        self._command = list(command)
        self._env = dict(env or {})
        self._channel: socket.socket | None = None
        self._killed = False

    def run(self) -> int:
        """Run to the end and return the exit code; negative if a signal ended the stage, or with the daemon.

        Raises:
            DaemonUnavailable: If no daemon could be had.
        """
        for _ in range(_MOST_STARTS if self._command else 1):
            channel = self._connected()
            if channel is None:
                return -signal.SIGKILL
            with channel:
                self._channel = channel
                pump = self._ask(channel)
                begun = receive(channel)
                if begun is None or "begun" not in begun.body:
                    continue  # it has just ended, or its code is outdated: the next one does it
                answer = receive(channel)
            pump.join(_LAST_LINES_SECONDS)
            return -signal.SIGKILL if answer is None else self._take(answer)
        if self._killed:
            return -signal.SIGKILL
        answered, said = "its own", f"; {self._folder / place.LOG} says more"
        if not self._command:
            answered, said = "its --worker-user", "; after an update it starts anew; its log says more"
        raise DaemonUnavailable(
            f"{self._folder}: the daemon hangs up without beginning the stage: no other user than {answered} is "
            f"answered{said}"
        )

    def _ask(self, channel: socket.socket) -> threading.Thread:
        """Ask for the stage, and return the thread that reads its output."""
        reading, writing = os.pipe()
        pump = threading.Thread(target=self._pump, args=(os.fdopen(reading, errors="replace"),), daemon=True)
        pump.start()
        call = sealed(self._call)
        try:
            with suppress(OSError):  # it ended between our connecting and our asking, which its answer tells
                send(channel, {}, [writing, call])
        finally:
            os.close(writing)
            os.close(call)
        return pump

    def _take(self, answer: Message) -> int:
        """Read the result that came with an answer, and return the exit code."""
        try:
            code = int(answer.body["code"])
            if code in (0, EXIT_FINAL) and answer.files:
                self.result = read_sealed(answer.files[0], MOST_RESULT_BYTES) or None
        finally:
            for file in answer.files:
                os.close(file)
        return code

    def kill(self) -> None:
        """End the stage and everything that it started: the daemon does so when its client is gone."""
        self._killed = True
        if self._channel is not None:
            with suppress(OSError):  # it is over
                self._channel.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> socket.socket | None:
        """Return a channel to the folder's daemon, which is started if none answers; None once we are killed."""
        started: list[subprocess.Popen[bytes]] = []
        began = time.monotonic()
        while not self._killed and time.monotonic() < began + _START_SECONDS:
            channel = place.connect(self._folder)
            if channel is not None:
                return channel
            if not self._command:
                if time.monotonic() > began + AWAITED_SECONDS:
                    raise DaemonUnavailable(
                        f"{self._folder}: no daemon answers; `fl agency serve` has to run there, as its systemd unit "
                        "does (`fl agency units`); `fl agency status` says more"
                    )
            elif not started or started[-1].poll() is not None:
                if len(started) == _MOST_STARTS:
                    break
                started.append(start(self._folder, self._command, self._env))
            time.sleep(_LOOK_SECONDS)
        if self._killed:
            return None
        raise DaemonUnavailable(f"{self._folder}: no daemon answers; {self._folder / place.LOG} says why")

    def _pump(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._on_line(line.rstrip("\n"))
