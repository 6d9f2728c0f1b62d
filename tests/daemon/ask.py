"""Ask a daemon as its clients do, and as none should: `python -m tests.daemon.ask HOW FOLDER`.

The call's content comes on standard input. Prints one JSON object: what became of it.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from fl_tasks.contracts.call import sealed
from fl_tasks.contracts.channel import receive, send
from fl_tasks.daemon import place
from fl_tasks.daemon.client import DaemonUnavailable, StageByDaemon


def properly(folder: Path, content: bytes) -> dict:
    lines: list[str] = []
    stage = StageByDaemon(folder, content, lines.append)
    try:
        code = stage.run()
    except DaemonUnavailable as error:
        return {"unavailable": str(error)}
    return {"code": code, "lines": lines, "result": None if stage.result is None else stage.result.decode()}


def connected(folder: Path) -> socket.socket:
    channel = place.connect(folder)
    assert channel is not None
    return channel


def silent(folder: Path, content: bytes) -> dict:
    """Say nothing, and wait until the daemon hangs up."""
    with connected(folder) as channel:
        began = time.monotonic()
        assert receive(channel) is None
        return {"seconds": time.monotonic() - began}


def crowd(folder: Path, content: bytes) -> dict:
    """Open more channels than one user may have; say how many of them the daemon keeps."""
    channels = [connected(folder) for _ in range(40)]
    # They are taken in their order: once the last one has been hung up, all were decided about.
    channels[-1].settimeout(60)
    with suppress(TimeoutError, ConnectionError):
        channels[-1].recv(1)
    for channel in channels:
        channel.setblocking(False)
    return {"open": sum(_open(channel) for channel in channels)}


def _open(channel: socket.socket) -> bool:
    try:
        return bool(channel.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def files(folder: Path, content: bytes) -> dict:
    """Send files that are not what a call has, one kind a channel; say which of them were answered."""
    fifo = os.pipe()
    (_, output), call = os.pipe(), sealed(content)
    unsealed = os.memfd_create("unsealed")
    os.write(unsealed, content)
    lingering = socket.socketpair()[0].fileno()
    kinds = {
        "a pipe as the call": [output, fifo[0]],
        "a file of the machine as the call": [output, os.open("/etc/passwd", os.O_RDONLY)],
        "an endless file as the call": [output, os.open("/dev/zero", os.O_RDONLY)],
        "an unsealed file as the call": [output, unsealed],
        "a file as the output": [os.open("/dev/null", os.O_WRONLY), call],
        "a socket as the output": [lingering, call],
        "no output": [call],
        "too many": [output, call, call],
        "none": [],
    }
    answered = []
    for name, sent in kinds.items():
        with connected(folder) as channel:
            send(channel, {}, sent)
            if receive(channel) is not None:
                answered.append(name)
    return {"answered": answered}


def garbage(folder: Path, content: bytes) -> dict:
    """Send what is no message, with files each time."""
    for data in (b"x", b"[" * 60_000, b'"text"', b"\xff") * 30:
        with connected(folder) as channel:
            rights = array.array("i", [0, 1, 2, 0])
            channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            assert receive(channel) is None
    return {}


def unread(folder: Path, content: bytes) -> dict:
    """Ask for a stage that says more than the pipe holds, and leave without having read a line of it."""
    with connected(folder) as channel:
        _, output = os.pipe()
        send(channel, {}, [output, sealed(content)])
        begun = receive(channel)
        time.sleep(1)
    return {"begun": begun is not None}


if __name__ == "__main__":
    how = {work.__name__: work for work in (properly, silent, crowd, files, garbage, unread)}[sys.argv[1]]
    print(json.dumps(how(Path(sys.argv[2]), sys.stdin.buffer.read())))
