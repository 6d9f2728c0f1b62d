"""What a daemon is asked for, in an open file that comes with the message (contracts/channel.py).

A sealed memory file: what is read cannot be another's word a moment later, and reading it never waits.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from pydantic import Field

from fl_tasks.contracts.base import Contract
from fl_tasks.contracts.stage import StageRequest

# Over ten times the longest: 200 agencies by name, and the seconds of all stages.
MOST_CALL_BYTES = 256 * 1024
# Of a result likewise: all agencies by name, and the data sets of a run with 200 of them.
MOST_RESULT_BYTES = 4 * 2**20
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


class DagBundle(Contract):
    """Where the caller's DAG comes from, as its Airflow names it."""

    name: str = Field(min_length=1, max_length=200)
    version: str | None = Field(
        default=None, max_length=200, description="None for a folder of the machine's own: it has no versions."
    )


class Call(Contract):
    """One stage that a daemon is asked to run."""

    request: StageRequest
    federation: Path = Field(
        description="Federation folder beside the caller's DAG. Compared with the daemon's own, never opened."
    )
    bundle: DagBundle | None = Field(default=None, description="None: Airflow has the DAG from no bundle.")


def sealed(content: bytes) -> int:
    """Return the descriptor of a new memory file that nobody can change any more; the caller closes it."""
    handle = os.memfd_create("huiliu", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(content)
    seal(handle)
    return handle


def seal(handle: int) -> None:
    """Let nobody change a memory file any more; raises OSError if it is none."""
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)


def is_sealed(handle: int) -> bool:
    """Say whether a descriptor is a memory file that nobody can change any more."""
    try:
        return fcntl.fcntl(handle, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        return False


def read_sealed(handle: int, most: int) -> bytes | None:
    """Read a memory file from its start; None if it has more than `most` bytes."""
    return None if os.fstat(handle).st_size > most else os.pread(handle, most, 0)
