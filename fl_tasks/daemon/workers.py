"""The learning workers of a daemon: forked from one TensorFlow that was imported once, kept, lent for one job each."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.contracts.channel import pair, receive, send

_CRASHED = 1


@dataclass(eq=False)
class _Job:
    """A job that somebody waits for: its file, its size, the waiting one's output, what to do with the exit code."""

    who: object
    path: str
    weight: int
    output: int
    done: Callable[[int], None]


@dataclass(eq=False)
class _Worker:
    """Jobs go to its channel, exit codes come back; when the channel is closed it ends, whatever it is doing."""

    channel: socket.socket
    job: _Job | None = None


class Workers:
    """At most `most` workers; TensorFlow is imported at the first job, or by `start`.

    Args:
        python: Gives the interpreter of the learning environment.
        most: Workers at one time.
        memory_bytes: Most memory that a worker may take for itself; it is not used again once it has more than half.
    """

    def __init__(self, python: Callable[[], Path], *, most: int, memory_bytes: int) -> None:
        self._python = python
        self._most = most
        self._memory_bytes = memory_bytes
        self._workers: list[_Worker] = []
        self._waiting: list[_Job] = []
        self._control: socket.socket | None = None
        self._zygote: subprocess.Popen[bytes] | None = None
        self._watch: Callable[[socket.socket, Callable[[], None]], None]
        self._unwatch: Callable[[socket.socket], object]

    def attach(
        self,
        watch: Callable[[socket.socket, Callable[[], None]], None],
        unwatch: Callable[[socket.socket], object],
    ) -> None:
        """Take part in a daemon's loop."""
        self._watch, self._unwatch = watch, unwatch

    def start(self) -> None:
        """Let the import of TensorFlow begin, if it has not; nothing waits for it."""
        if self._control is not None:
            return
        mine, theirs = pair()
        with theirs:
            self._zygote = subprocess.Popen(
                [
                    *(self._python(), "-P", "-m", "fl_tasks.learning.zygote"),
                    *(str(theirs.fileno()), str(self._memory_bytes)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._control = mine
        self._watch(mine, self._zygote_gone)

    def lend(self, who: object, path: str, output: int, done: Callable[[int], None], *, weight: int) -> None:
        """Have a job done by an idle worker, by a new one, or by the first that becomes idle.

        The largest of those that wait is next: a large one begun last would keep one core busy and the others idle.

        Args:
            who: Whose job it is, for `leave`.
            path: The job's file.
            output: Where the job's output goes; the caller closes its own descriptor.
            done: Gets the job's exit code; 1 if the worker died.
            weight: How large the job is beside others.
        """
        self.start()
        self._waiting.append(_Job(who, path, weight, os.dup(output), done))
        self._go_on()

    def leave(self, who: object) -> None:
        """Nobody waits for these jobs any more: a worker in the middle of one ends."""
        for job in [job for job in self._waiting if job.who is who]:
            self._waiting.remove(job)
            os.close(job.output)
        for worker in [worker for worker in self._workers if worker.job is not None and worker.job.who is who]:
            worker.job = None
            self._remove(worker)
        self._go_on()

    def close(self) -> None:
        """End all workers and the zygote."""
        for worker in list(self._workers):
            self._remove(worker)
        if self._control is not None:
            self._unwatch(self._control)
            self._control.close()
            self._control = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = None

    def _go_on(self) -> None:
        while self._waiting:
            worker = next((worker for worker in self._workers if worker.job is None), None) or self._new()
            if worker is None:
                return
            job = max(self._waiting, key=lambda job: job.weight)  # the first of equal ones
            self._waiting.remove(job)
            worker.job = job
            with suppress(OSError):  # it has just died, which its channel tells
                send(worker.channel, {"job": job.path}, [job.output])
            os.close(job.output)

    def _new(self) -> _Worker | None:
        if len(self._workers) >= self._most or self._control is None:
            return None
        mine, theirs = pair()
        with theirs, suppress(OSError):
            send(self._control, {}, [theirs.fileno()])
        worker = _Worker(mine)
        self._workers.append(worker)
        self._watch(mine, lambda: self._hear(worker))
        return worker

    def _hear(self, worker: _Worker) -> None:
        """A worker has done its job, or is gone."""
        message = receive(worker.channel)
        job, worker.job = worker.job, None
        if message is None or message.body["memory"] > self._memory_bytes // 2:
            self._remove(worker)
        if job is not None:
            with suppress(OSError):  # a stage that is gone: its end is about to be seen
                job.done(_CRASHED if message is None else message.body["code"])
        self._go_on()

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._unwatch(worker.channel)
        worker.channel.close()

    def _zygote_gone(self) -> None:
        """The zygote ended: what it has forked goes on, what it has not is gone, as the channels tell."""
        assert self._control is not None
        if receive(self._control) is None:
            self._unwatch(self._control)
            self._control.close()
            self._control = None
            if self._zygote is not None:
                self._zygote.kill()
                self._zygote.wait()
                self._zygote = None
