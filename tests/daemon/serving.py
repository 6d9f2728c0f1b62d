"""A folder with a daemon of tests.daemon.behaving, and what to wait for."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fl_tasks.daemon import place
from fl_tasks.daemon.client import StageByDaemon

REPOSITORY = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"}


class Served:
    """A folder with a daemon of tests.daemon.behaving, started when it is needed."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.command = [sys.executable, "-P", "-m", "tests.daemon.behaving", str(folder), *words]
        self.env = ENV
        self.lines: list[str] = []

    def stage(self, name: str, spec: object = "") -> StageByDaemon:
        self.lines = []
        return StageByDaemon(self.folder, called(name, spec), self.lines.append, command=self.command, env=self.env)

    def start(self) -> None:
        """Have it there before another user asks, who starts none."""
        assert self.stage("exit", 0).run() == 0

    def pid(self) -> int:
        """The daemon's process id, as the kernel tells the other end of its socket."""
        channel = place.connect(self.folder)
        assert channel is not None

        with channel:
            return struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def end(self) -> None:
        if place.connect(self.folder) is not None:
            os.kill(self.pid(), signal.SIGKILL)


def called(name: str, spec: object = "") -> bytes:
    """Content of a call to tests.daemon.behaving."""
    return json.dumps({"stage": name, "spec": str(spec)}).encode()


def by_user(user: int, groups: str, *command: str) -> list[str]:
    """Return a command that runs as another user; its first group is the user's own."""
    wrapper = (sys.executable, "-P", "-m", "tests.daemon.as_user", str(user), groups)
    return ["unshare", "--mount", "--propagation", "private", *wrapper, *command]


def ask(user: int, groups: str, folder: Path, content: bytes = b"", how: str = "properly") -> dict[str, object]:
    """Ask a folder's daemon as another user, and return what became of it; see tests.daemon.ask."""
    command = by_user(user, groups, sys.executable, "-P", "-m", "tests.daemon.ask", how, str(folder))
    done = subprocess.run(command, env=ENV, input=content, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


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
