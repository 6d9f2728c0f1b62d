"""Messages between the processes of one machine: one JSON object each, with open files, over a Unix socket.

SOCK_SEQPACKET keeps the messages apart. The kernel hands the files over (SCM_RIGHTS): a process writes into its
caller's own output, and nothing is copied on the way.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MOST_BYTES = 64 * 1024
_MOST_FILES = 4


@dataclass(frozen=True)
class Message:
    """One message: its object, and the file descriptors that came with it, which the receiver has to close."""

    body: dict[str, Any]
    files: tuple[int, ...] = ()


def send(channel: socket.socket, body: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Send one message; raises OSError if the other end is gone."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    channel.sendmsg([json.dumps(body).encode()], rights)


def receive(channel: socket.socket) -> Message | None:
    """Wait for one message; None if the other end is gone, or sent what is no message of ours.

    Whatever came with that is closed; whoever sends it cannot use up this process's descriptors.
    """
    room = socket.CMSG_SPACE(_MOST_FILES * array.array("i").itemsize)
    try:
        data, ancillary, _, _ = channel.recvmsg(_MOST_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None
    files = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):  # nothing at all, no JSON, or JSON that is nested without end
        body = None
    if isinstance(body, dict):
        return Message(body, tuple(files))
    for file in files:
        os.close(file)
    return None


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
