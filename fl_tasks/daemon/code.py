"""Whether the code that a process has imported is still the one that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import expectations
import fl_tasks


@dataclass(frozen=True)
class Code:
    """Names, sizes and times of all files of code as they were once."""

    files: frozenset[tuple[str, int, int]]

    @classmethod
    def loaded(cls) -> Code:
        """Look at the files now: call it before anything is imported late."""
        return cls(_files())

    def changed(self) -> bool:
        """Say whether a file has been added, removed or written since."""
        return _files() != self.files


def _files() -> frozenset[tuple[str, int, int]]:
    found = set()
    for package in (fl_tasks, expectations):
        for path in Path(str(package.__file__)).parent.rglob("*.py"):
            status = path.stat()
            found.add((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(found)
