"""The daemon: one process that waits on a socket, forks a child for each stage, and lends it a learning worker.

    client --(call, its output)---> daemon --fork--> stage --(job)--> daemon --> learning worker
    client <--(exit code, result)-- daemon <--end--- stage <--(code)- daemon <-- learning worker

One loop, in the one thread of Python: a fork finds no lock of ours held. Nothing of a stage stays in the daemon, which
touches no data: a stage is a child with a copy of what was imported, and its end, like its client's, takes everything
with it that it started.

A client may be another user, who takes his orders from outside. The kernel says who he is before a byte of his is read.
The daemon itself never reads or writes a file of his: the call, a sealed memory file, is read by the child; so is the
pipe for its output written by the child alone. A client that says nothing is cut off.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fl_tasks.contracts.call import MOST_CALL_BYTES, is_sealed, read_sealed, seal
from fl_tasks.contracts.channel import Message, pair, receive, send
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.daemon.code import Code
from fl_tasks.daemon.parent import die_with_parent, handle_of
from fl_tasks.daemon.place import Place
from fl_tasks.daemon.workers import Workers
from fl_tasks.stages.learning_process import CHANNEL

if TYPE_CHECKING:
    from fl_tasks.daemon.errands import Errand

# What stages import, the light ones first; imported here while there is nothing else to do.
_AHEAD = (
    *("fl_tasks.stages.train", "fl_tasks.stages.shares", "fl_tasks.stages.cohort", "fl_tasks.stages.aggregate"),
    *("fl_tasks.stages.series.ingest", "fl_tasks.stages.tables.ingest", "pyarrow.parquet"),
    *("pandas", "great_expectations.expectations.core", "mlflow"),
)
_CREDENTIALS = struct.Struct("3i")
# A client asks at once; one that is stopped in between asks again.
_SILENT_SECONDS = 10.0
_ERRAND_SECONDS = 15.0
# Of one other user; Airflow's worker has one for each of its tasks.
_MOST_CLIENTS = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """How a stage ended: its exit code, and the content of its result if it left one."""

    code: int
    result: bytes = b""


@dataclass(eq=False)
class _Client:
    """Who is connected: a user, and until when he has to have asked for something."""

    channel: socket.socket
    user: int
    silent_until: float


@dataclass(eq=False)
class _Stage:
    """One stage at work.

    Attributes:
        client: Who asked for it; gets the exit code and the result.
        pid: Of the child, which leads a process group.
        handle: Its pidfd: readable once it has ended.
        jobs: Channel on which it asks for learning jobs.
        result: Memory file that gets its result.
    """

    client: _Client
    pid: int
    handle: int
    jobs: socket.socket
    result: int


class Daemon:
    """A daemon on its socket.

    Args:
        folder: Where the socket lies.
        workers: Lends learning workers.
        memory_bytes: Most memory that a stage or a worker may take for itself.
        idle_seconds: Without a stage for so long, it ends; None: it does not.
        owner: Process with which it ends; None without one.
        run: Does a stage in the child: the call's content, None if that was too long -> how it ended.
        users: Ids of the users that are answered beside this process's own.
        group: Id of the group that may reach the socket; None: nobody but this process's user.
        errand: What it does by itself; while that is due, it is not idle.
    """

    def __init__(
        self,
        folder: Path,
        workers: Workers,
        *,
        memory_bytes: int,
        idle_seconds: float | None,
        owner: int | None,
        run: Callable[[bytes | None], Done],
        users: Collection[int] = (),
        group: int | None = None,
        errand: Errand | None = None,
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._memory_bytes = memory_bytes
        self._idle_seconds = idle_seconds
        self._owner = None if owner is None else handle_of(owner)
        self._run = run
        self._users = {os.getuid(), *users}
        self._group = group
        self._errand = errand
        self._next_errand = time.monotonic()
        self._on_errand: tuple[int, int] | None = None
        self._code = Code.loaded()
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        self._stages: dict[_Client, _Stage] = {}
        self._place: Place | None = None
        self._last = time.monotonic()
        self._ahead = [*_AHEAD]

    def serve(self) -> None:
        """Serve until it is idle for too long, the owner is gone, or the code on the disk is another one.

        Raises:
            DaemonRuns: If another daemon serves this folder.
            ConfigError: If the folder cannot be opened to the group.
        """
        place = Place(self._folder, self._group)
        try:
            self._place = place
            self._watch(place.listener, self._accept)
            if self._owner is not None:
                self._watch(self._owner, self._stop)
            self._workers.attach(self._watch, self._selector.unregister)
            with suppress(ConfigError):  # the first learning job says what is missing
                self._workers.start()
            while self._stages or not (place.left or self._idle()):
                ready = self._selector.select(self._patience())
                for key, _ in ready:
                    # Unless what came before it, in the same moment, has ended whom it is about.
                    if key in self._selector.get_map().values():
                        key.data()
                self._cut_off()
                self._go_on_errand()
                if not ready and self._ahead:
                    with suppress(ImportError):  # a stage that needs it says so
                        importlib.import_module(self._ahead.pop(0))
        finally:
            place.leave()
            self._workers.close()

    def _idle(self) -> bool:
        return self._idle_seconds is not None and time.monotonic() - self._last >= self._idle_seconds

    def _patience(self) -> float | None:
        """Return for how many seconds there is nothing to do unless somebody asks; None: for ever."""
        if self._ahead:
            return 0.0
        ends = [client.silent_until for client in self._clients if client not in self._stages]
        if self._idle_seconds is not None and not self._stages:
            ends.append(self._last + self._idle_seconds)
        if self._errand is not None and self._on_errand is None:
            ends.append(self._next_errand)
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _go_on_errand(self) -> None:
        if self._errand is None or self._on_errand is not None or time.monotonic() < self._next_errand:
            return
        self._next_errand = time.monotonic() + _ERRAND_SECONDS
        if not self._errand.due():
            return
        self._last = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._be_on_errand(self._errand)
        self._on_errand = pid, handle_of(pid)
        self._watch(self._on_errand[1], self._errand_done)

    def _be_on_errand(self, errand: Errand) -> NoReturn:
        try:
            os.setsid()
            die_with_parent()
            resource.setrlimit(resource.RLIMIT_DATA, (self._memory_bytes, self._memory_bytes))
            os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            errand.run()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _errand_done(self) -> None:
        assert self._on_errand is not None
        pid, handle = self._on_errand
        self._selector.unregister(handle)
        os.close(handle)
        os.waitpid(pid, 0)
        self._on_errand = None

    def _cut_off(self) -> None:
        """Hang up on those who have said nothing for too long; called once all who spoke were heard."""
        now = time.monotonic()
        for client in [client for client in self._clients if client not in self._stages and client.silent_until <= now]:
            log.warning("daemon: a process of user %d said nothing, hung up", client.user)
            self._forget(client)

    def _watch(self, file: socket.socket | int, call: Callable[[], None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, call)

    def _stop(self) -> None:
        """End at once: whatever runs is nobody's any more."""
        for stage in list(self._stages.values()):
            self._kill(stage)
        raise SystemExit(0)

    def _accept(self) -> None:
        assert self._place is not None
        channel, _ = self._place.listener.accept()
        channel.setblocking(False)  # whoever does not take our answer cannot hold us up
        _, user, _ = _CREDENTIALS.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if user not in self._users:
            log.warning("daemon: a process of user %d was refused, answered are %s", user, sorted(self._users))
            channel.close()
            return
        if user != os.getuid() and sum(client.user == user for client in self._clients) >= _MOST_CLIENTS:
            log.warning("daemon: user %d has %d clients here, another was refused", user, _MOST_CLIENTS)
            channel.close()
            return
        client = _Client(channel, user, time.monotonic() + _SILENT_SECONDS)
        self._clients.add(client)
        self._watch(channel, lambda: self._hear(client))

    def _hear(self, client: _Client) -> None:
        """A client asks for a stage, or is gone."""
        message = receive(client.channel)
        files = () if message is None else message.files
        stage = self._stages.get(client)
        try:
            if message is None or stage is not None:
                if stage is not None:
                    self._kill(stage)
                self._forget(client)
            elif len(files) == 2 and _is_pipe(files[0]) and is_sealed(files[1]):
                self._begin(client, message)
            else:
                log.warning("daemon: a process of user %d sent what is no call, hung up", client.user)
                self._forget(client)
        finally:
            for file in files:
                os.close(file)

    def _begin(self, client: _Client, message: Message) -> None:
        if self._code.changed():
            # What was imported is not what is installed now: the next daemon has it.
            with suppress(OSError):
                send(client.channel, {"stale": True})
            self._forget(client)
            self._leave()
            return
        self._last = time.monotonic()
        mine, theirs = pair()
        result = os.memfd_create("huiliu", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        pid = os.fork()
        if pid == 0:
            self._child(message, theirs, result)
        theirs.close()
        stage = _Stage(client, pid, handle_of(pid), mine, result)
        self._stages[client] = stage
        self._watch(stage.handle, lambda: self._end(stage))
        self._watch(mine, lambda: self._learn(stage))
        with suppress(OSError):  # a client that is gone: its channel tells
            send(client.channel, {"begun": True})

    def _child(self, message: Message, jobs: socket.socket, result: int) -> NoReturn:
        """Be the stage: its output is the client's; of the daemon it keeps the jobs' channel and the result's file."""
        code = 1
        try:
            os.setsid()
            die_with_parent()
            resource.setrlimit(resource.RLIMIT_DATA, (self._memory_bytes, self._memory_bytes))
            os.dup2(message.files[0], 1)
            os.dup2(message.files[0], 2)
            call = read_sealed(message.files[1], MOST_CALL_BYTES)
            kept = [fcntl.fcntl(file, fcntl.F_DUPFD, 5) for file in (jobs.detach(), result)]
            for number, file in enumerate(kept, 3):
                os.dup2(file, number)
            # Objects of the daemon are never run again here; their files only have to be gone.
            os.closerange(5, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            os.environ[CHANNEL] = "3"
            done = self._run(call)
            with os.fdopen(4, "wb") as left:
                left.write(done.result)
            code = done.code
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
        with suppress(OSError):
            seal(stage.result)
            send(stage.client.channel, {"code": os.waitstatus_to_exitcode(status)}, [stage.result])
        self._drop(stage)
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
        os.close(stage.result)
        del self._stages[stage.client]

    def _forget(self, client: _Client) -> None:
        self._selector.unregister(client.channel)
        self._clients.discard(client)
        client.channel.close()

    def _leave(self) -> None:
        """Take no more clients; what runs is done."""
        if self._place is not None and not self._place.left:
            self._selector.unregister(self._place.listener)
            self._place.leave()


def _is_pipe(file: int) -> bool:
    try:
        fcntl.fcntl(file, fcntl.F_GETPIPE_SZ)
    except OSError:
        return False
    return True
