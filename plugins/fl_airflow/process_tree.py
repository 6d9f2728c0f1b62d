"""All processes below this one: their memory, and an end to them that leaves none behind."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")


def adopt_orphans() -> None:
    """Become the parent of every process that loses its own below this one, so that none can slip away.

    Raises:
        OSError: If the kernel refuses (it has known how since Linux 3.4).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants(root: int) -> list[int]:
    """Return the ids of all processes below `root`, parents before children; zombies too."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                # The second field is the program's name in parentheses, which may itself hold any of them.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def kill_descendants(seconds: float = 10.0, *, spare: int | None = None) -> list[int]:
    """Kill every process below this one and wait until they are gone.

    Call it once no subprocess.Popen of this process is still waited for: it reaps whatever it finds.

    Args:
        seconds: How long to wait, at most.
        spare: A child that lives on, with all below it.

    Returns:
        The processes that were still there at first and not dead already.
    """
    first = [pid for pid in _others(spare) if not _is_zombie(pid)]
    end = time.monotonic() + seconds
    while (left := _others(spare)) and time.monotonic() < end:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # a grandchild: its parent reaps it, or it becomes ours
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    return first


def _others(spare: int | None) -> list[int]:
    """Return the ids of all processes below this one but for one child and all below it."""
    found = descendants(os.getpid())
    kept = set() if spare is None else {spare, *descendants(spare)}  # afterwards: a child that it has just had is in it
    return [pid for pid in found if pid not in kept]


def tree_pss_bytes(root: int) -> int:
    """Return the memory of a process and all below it: the sum of their proportional set sizes, bytes."""
    return sum(_pss_bytes(pid) for pid in [root, *descendants(root)])


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):  # gone meanwhile
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _is_zombie(pid: int) -> bool:
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
