"""A folder with a daemon of tests.daemon.behaving, and what to wait for."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fl_tasks.daemon import place
from fl_tasks.daemon.client import StageByDaemon

REPOSITORY = Path(__file__).parents[2]


class Served:
    """A folder with a daemon of tests.daemon.behaving, started when it is needed."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.command = [sys.executable, "-P", "-m", "tests.daemon.behaving", str(folder), *words]
        self.env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"}
        self.lines: list[str] = []

    def stage(self, name: str, spec: object = "") -> StageByDaemon:
        self.lines = []
        return StageByDaemon(self.folder, self.command, name, Path(str(spec)), self.env, self.lines.append)

    def pid(self) -> int:
        """The daemon's process id, as the kernel tells the other end of its socket."""
        channel = place.connect(self.folder)
        assert channel is not None

        with channel:
            return struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def end(self) -> None:
        if place.connect(self.folder) is not None:
            os.kill(self.pid(), signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
