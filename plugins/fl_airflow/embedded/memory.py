"""Sample how much memory a run takes, and leave the peak where the report stage reads it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import TracebackType

from fl_airflow.process_tree import tree_pss_bytes
from fl_tasks.contracts.base import write_atomic

_SECONDS_BETWEEN = 1.0


class PeakMemory:
    """While it is open, a thread keeps the peak of this process and all below it in a JSON file.

    The file holds {"peak_pss_bytes": n}, the largest sampled sum of PSS so far, in bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    @property
    def peak_bytes(self) -> int:
        """The largest sample so far."""
        return self._peak

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            now = tree_pss_bytes(os.getpid())
            if now > self._peak:
                self._peak = now
                write_atomic(self._path, json.dumps({"peak_pss_bytes": now}).encode())
            if self._over.wait(_SECONDS_BETWEEN):
                return
