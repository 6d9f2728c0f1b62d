"""The daemon: one process that waits on a socket, forks a child for each stage, and lends it a learning worker.

    client --(stage, spec, its output)--> daemon --fork--> stage --(job)--> daemon --> learning worker
    client <------- exit code ----------- daemon <--end--- stage <--(code)- daemon <-- learning worker

One loop, in the one thread of Python: a fork finds no lock of ours held. Nothing of a stage stays in the daemon, which
touches no data: a stage is a child with a copy of what was imported, and its end, like its client's, takes everything
with it that it started.
"""

from __future__ import annotations

import importlib
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from setproctitle import setproctitle

from fl_tasks.contracts.channel import Message, pair, receive, send
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.daemon.code import Code
from fl_tasks.daemon.parent import die_with_parent, handle_of
from fl_tasks.daemon.place import Place
from fl_tasks.daemon.workers import Workers
from fl_tasks.stages.learning_process import CHANNEL

# What stages import, the light ones first; imported here while there is nothing else to do.
_AHEAD = (
    *("fl_tasks.stages.train", "fl_tasks.stages.shares", "fl_tasks.stages.cohort", "fl_tasks.stages.aggregate"),
    *("fl_tasks.stages.series.ingest", "fl_tasks.stages.tables.ingest", "pyarrow.parquet"),
    *("pandas", "great_expectations.expectations.core", "mlflow"),
)
_CREDENTIALS = struct.Struct("3i")


@dataclass(eq=False)
class _Stage:
    """One stage at work.

    Attributes:
        client: Who asked for it; gets the exit code.
        pid: Of the child, which leads a process group.
        handle: Its pidfd: readable once it has ended.
        jobs: Channel on which it asks for learning jobs.
    """

    client: socket.socket
    pid: int
    handle: int
    jobs: socket.socket


class Daemon:
    """A daemon on its socket.

    Args:
        folder: Where the socket lies: the party's own folder, or the home folder for all parties of this machine.
        workers: Lends learning workers.
        memory_bytes: Most memory that a stage or a worker may take for itself.
        idle_seconds: Without a stage for so long, it ends.
        owner: Process with which it ends; None without one.
        run: Does a stage in the child: (stage, path of its spec) -> exit code.
    """

    def __init__(
        self,
        folder: Path,
        workers: Workers,
        *,
        memory_bytes: int,
        idle_seconds: float,
        owner: int | None,
        run: Callable[[str, str], int],
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._memory_bytes = memory_bytes
        self._idle_seconds = idle_seconds
        self._owner = None if owner is None else handle_of(owner)
        self._run = run
        self._code = Code.loaded()
        self._selector = selectors.DefaultSelector()
        self._clients: set[socket.socket] = set()
        self._stages: dict[socket.socket, _Stage] = {}
        self._place: Place | None = None
        self._last = time.monotonic()
        self._ahead = [*_AHEAD]

    def serve(self) -> None:
        """Serve until it is idle for too long, the owner is gone, or the code on the disk is another one.

        Raises:
            DaemonRuns: If another daemon serves this folder.
        """
        place = Place(self._folder)
        try:
            self._place = place
            self._watch(place.listener, self._accept)
            if self._owner is not None:
                self._watch(self._owner, self._stop)
            self._workers.attach(self._watch, self._selector.unregister)
            with suppress(ConfigError):  # the first learning job says what is missing
                self._workers.start()
            while self._stages or not place.left:
                left = self._idle_seconds - (time.monotonic() - self._last)
                if not self._stages and left <= 0:
                    break
                ready = self._selector.select(0 if self._ahead else None if self._stages else left)
                for key, _ in ready:
                    # Unless what came before it, in the same moment, has ended whom it is about.
                    if key in self._selector.get_map().values():
                        key.data()
                if not ready and self._ahead:
                    with suppress(ImportError):  # a stage that needs it says so
                        importlib.import_module(self._ahead.pop(0))
        finally:
            place.leave()
            self._workers.close()

    def _watch(self, file: socket.socket | int, call: Callable[[], None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, call)

    def _stop(self) -> None:
        """End at once: whatever runs is nobody's any more."""
        for stage in list(self._stages.values()):
            self._kill(stage)
        raise SystemExit(0)

    def _accept(self) -> None:
        assert self._place is not None
        client, _ = self._place.listener.accept()
        self._clients.add(client)
        self._watch(client, lambda: self._hear(client))

    def _hear(self, client: socket.socket) -> None:
        """A client asks for a stage, or is gone."""
        message = receive(client)
        stage = self._stages.get(client)
        if message is None or stage is not None:
            for file in () if message is None else message.files:
                os.close(file)
            if stage is not None:
                self._kill(stage)
            self._forget(client)
            return
        try:
            self._begin(client, message)
        finally:
            for file in message.files:
                os.close(file)

    def _begin(self, client: socket.socket, message: Message) -> None:
        _, user, _ = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if user != os.getuid() or len(message.files) != 1:
            self._forget(client)
            return
        if self._code.changed():
            # What was imported is not what is installed now: the next daemon has it.
            send(client, {"stale": True})
            self._forget(client)
            self._leave()
            return
        self._last = time.monotonic()
        mine, theirs = pair()
        pid = os.fork()
        if pid == 0:
            self._child(message, theirs)
        theirs.close()
        stage = _Stage(client, pid, handle_of(pid), mine)
        self._stages[client] = stage
        self._watch(stage.handle, lambda: self._end(stage))
        self._watch(mine, lambda: self._learn(stage))
        with suppress(OSError):  # a client that is gone: its channel tells
            send(client, {"begun": True})

    def _child(self, message: Message, jobs: socket.socket) -> NoReturn:
        """Be the stage: its output is the client's, and of the daemon's files it keeps the jobs' channel only."""
        code = 1
        try:
            os.setsid()
            die_with_parent()
            resource.setrlimit(resource.RLIMIT_DATA, (self._memory_bytes, self._memory_bytes))
            os.dup2(message.files[0], 1)
            os.dup2(message.files[0], 2)
            kept = os.dup2(jobs.detach(), 3)
            # Objects of the daemon are never run again here; their files only have to be gone.
            os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            os.environ[CHANNEL] = str(kept)
            # `ps` and `pgrep` find it like a process of its own. So long a title takes the place of the environment,
            # of which a copy is made, unless this variable forbids it.
            os.environ.pop("SPT_NOENV", None)
            setproctitle(f"fl run {message.body['stage']} --spec {message.body['spec']}")
            code = self._run(message.body["stage"], message.body["spec"])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(code)

    def _learn(self, stage: _Stage) -> None:
        """A stage asks for a learning job; its end closes the channel."""
        message = receive(stage.jobs)
        if message is None:
            self._selector.unregister(stage.jobs)
            return
        try:
            self._workers.lend(
                stage,
                message.body["job"],
                message.files[0],
                lambda code: send(stage.jobs, {"code": code}),
                weight=message.body["weight"],
            )
        finally:
            for file in message.files:
                os.close(file)

    def _end(self, stage: _Stage) -> None:
        """A stage has ended: tell the client, and end what it has left behind."""
        # Seen, not reaped yet: as long as it is a zombie no other group can have its number.
        with suppress(ProcessLookupError):
            os.killpg(stage.pid, signal.SIGKILL)
        _, status = os.waitpid(stage.pid, 0)
        self._drop(stage)
        with suppress(OSError):
            send(stage.client, {"code": os.waitstatus_to_exitcode(status)})
        self._forget(stage.client)
        self._last = time.monotonic()

    def _kill(self, stage: _Stage) -> None:
        # Itself too: a child that has just been forked may lead no group yet.
        os.kill(stage.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(stage.pid, signal.SIGKILL)
        os.waitpid(stage.pid, 0)
        self._drop(stage)

    def _drop(self, stage: _Stage) -> None:
        self._selector.unregister(stage.handle)
        os.close(stage.handle)
        self._workers.leave(stage)
        with suppress(KeyError):
            self._selector.unregister(stage.jobs)
        stage.jobs.close()
        del self._stages[stage.client]

    def _forget(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._clients.discard(client)
        client.close()

    def _leave(self) -> None:
        """Take no more clients; what runs is done."""
        if self._place is not None and not self._place.left:
            self._selector.unregister(self._place.listener)
            self._place.leave()
