"""The folder into which TensorFlow writes the code that it generates: a process's own, and gone after it.

A process that is killed leaves its folder; the next one that starts removes it. Who lives holds a lock on its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "huiliu-learning-"
"""How the folder's name begins."""


def take() -> Path:
    """Make `tempfile`, and so TensorFlow, write into a folder of this process's own from now on; returns it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Who sweeps between its making and its lock takes it for one that was left.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                tempfile.tempdir = str(folder)
                return folder  # with the lock open: it lasts as long as the process
            os.close(lock)


def sweep() -> None:
    """Remove the folders of this user's processes that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, a living process's, or gone meanwhile
            file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(file).st_uid == os.getuid():
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(file)
