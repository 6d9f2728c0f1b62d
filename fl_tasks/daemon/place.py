"""Where a daemon is found: a Unix socket in a folder of its owner, held by one daemon at a time.

The folder is private (0700, the socket 0600), or it lets one group through (0710, the socket 0660): that of the worker,
where the worker is another user than the daemon.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from fl_tasks.contracts.base import make_private_folder
from fl_tasks.contracts.errors import ConfigError, FLError

_SOCKET, _LOCK = "daemon.sock", "daemon.lock"
LOG = "daemon.log"
_BACKLOG = 64


class DaemonRuns(FLError):
    """Another daemon serves this folder already."""

    retryable: ClassVar[bool] = True


class Place:
    """A folder that this process listens in, alone, until `leave`.

    Args:
        folder: Which; it is made if it is not there.
        group: Id of the group that may reach the socket; None: nobody but this process's user.

    Raises:
        DaemonRuns: If another process does.
        ConfigError: If the folder is another user's, or cannot be given to the group.
    """

    def __init__(self, folder: Path, group: int | None = None) -> None:
        make_private_folder(folder)
        if group is not None:
            _open_to(folder, group)
        self._path = folder / _SOCKET
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise DaemonRuns(f"{folder}: a daemon serves it already; stop that one first (its log: {LOG})") from error
        self._path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            with _short(folder) as path:
                self.listener.bind(path)
        finally:
            os.umask(before)
        if group is not None:
            os.chown(self._path, -1, group)
            self._path.chmod(0o660)
        self.listener.listen(_BACKLOG)
        self.left = False

    def leave(self) -> None:
        """Listen no more, and let another daemon come; a second call does nothing."""
        if not self.left:
            self.left = True
            self._path.unlink(missing_ok=True)
            self.listener.close()
            os.close(self._lock)


def _open_to(folder: Path, group: int) -> None:
    """Let a group through a folder of this process's user; nobody but the user can list it or write there."""
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(f"{folder}: belongs to user {folder.stat().st_uid}; it has to be the daemon's own: remove it")
    try:
        os.chown(folder, -1, group)
    except PermissionError as error:
        raise ConfigError(
            f"{folder}: cannot be given to group {group}, the worker's, since user {os.getuid()} is not in it; add the "
            "user to it (usermod --append --groups), or start the daemon by the unit that `fl agency units` writes"
        ) from error
    folder.chmod(0o710)


def connect(folder: Path) -> socket.socket | None:
    """Return a channel to the folder's daemon; None if there is none that this process's user may reach."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _short(folder) as path:
            channel.connect(path)
    except (FileNotFoundError, PermissionError, ConnectionError):  # a socket that nobody listens on, or none
        channel.close()
        return None
    return channel


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path of the socket that fits into the 107 bytes which the kernel admits, however deep the folder lies."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{_SOCKET}"
    finally:
        os.close(handle)
