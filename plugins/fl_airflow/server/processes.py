"""Which processes belong to a server, told so that a number that the kernel gave away again is never killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from fl_tasks.contracts.base import Contract

# In the environment of every process of a server, and so of all that they start.
SERVER_ID = "HUILIU_SERVER_ID"
SERVER_PART = "HUILIU_SERVER_PART"

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"


class ProcessId(Contract):
    """A process, told apart from a later one that has the same number."""

    pid: int = Field(ge=1)
    started: int = Field(ge=0, description="start time in clock ticks since the machine's start")
    boot: str = Field(description="which start of the machine, the kernel's boot id")

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the identity of a living process; None if there is none of that number, or only its zombie."""
        fields = _stat(pid)
        if not fields or fields[0] in "ZX":
            return None
        return cls(pid=pid, started=int(fields[19]), boot=_BOOT_ID.read_text().strip())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal to this very process, if it still runs."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def wait_until_gone(processes: Iterable[ProcessId], seconds: float) -> list[ProcessId]:
    """Wait, at most so many seconds, until none of the processes runs; return those that still do."""
    end = time.monotonic() + seconds
    left = list(processes)
    while (left := [process for process in left if process.alive]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def marked(server_id: str, part: str | None = None) -> dict[ProcessId, str]:
    """Return the living processes of a server, each with the part of the server that it belongs to.

    PostgreSQL's own children overwrite their environment and are missing here; they end with their parent.

    Args:
        server_id: The value of HUILIU_SERVER_ID.
        part: Only those of this part.
    """
    found = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            words = (folder / "environ").read_bytes().split(b"\0")
            if f"{SERVER_ID}={server_id}".encode() not in words:
                continue
            own = next((w.partition(b"=")[2].decode() for w in words if w.startswith(f"{SERVER_PART}=".encode())), "")
            process = ProcessId.of(int(folder.name))
            if process is not None and part in (None, own):
                found[process] = own
    return found


def kill_marked(server_id: str, part: str | None = None, *, spare: Iterable[str] = (), seconds: float = 10.0) -> None:
    """Kill every process of a server, or of one part of it, until none is left.

    Args:
        server_id: The value of HUILIU_SERVER_ID.
        part: Only those of this part.
        spare: Parts to leave alone.
        seconds: How long to go on, at most.
    """
    end = time.monotonic() + seconds
    spared = set(spare)
    while time.monotonic() < end:
        left = [process for process, own in marked(server_id, part).items() if own not in spared]
        if not left:
            return
        for process in left:
            process.signal(signal.SIGKILL)
        time.sleep(0.05)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on (the state); empty if there is no such process."""
    with suppress(OSError):
        # The second field is the program's name in parentheses, which may itself hold any of them.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []
