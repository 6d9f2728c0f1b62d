"""Child processes of this process, read from /proc."""

import os
import signal
import time
from pathlib import Path


def children() -> set[int]:
    """Return the ids of the living direct children (zombies are waited for and left out)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(entry.name))
    return found


def stop(processes: set[int]) -> None:
    """End processes by their ids and wait until they are gone."""
    for process in processes:
        os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while children() & processes and time.monotonic() < deadline:
        time.sleep(0.02)
