"""The exchange as a folder: write-once files that agencies and coordinator leave for each other."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fl_tasks.contracts.base import fsync_folder, make_private_folder, sha256_file
from fl_tasks.contracts.errors import MissingInput
from fl_tasks.exchange.errors import ExchangeConflict
from fl_tasks.exchange.store import MOST_BYTES, conflict, is_name, missing, name_parts

__all__ = ["ExchangeConflict", "FolderExchange"]


class FolderExchange:
    """A write-once store below one folder.

    A name is written by linking a finished temporary file to it, which fails if the name exists: readers never
    see half a file, and nothing is ever replaced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        """Write a name once, as Exchange says."""
        path = self.path(name)
        make_private_folder(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".put-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.take(name, Path(temporary))
        finally:
            Path(temporary).unlink(missing_ok=True)

    def take(self, name: str, file: Path) -> bool:
        """Give a name to a finished file of the same file system, which keeps its own name beside it.

        Args:
            name: Of the message.
            file: With the whole content, synced to the disk; nobody may write to it afterwards.

        Returns:
            Whether the name is new; False if it was there with the same content.

        Raises:
            ExchangeConflict: If the name exists with other content.
        """
        path = self.path(name)
        make_private_folder(path.parent)
        try:
            os.link(file, path)
        except FileExistsError as error:
            if sha256_file(path) != sha256_file(file):
                raise conflict(name) from error
            return False
        finally:
            fsync_folder(path.parent)
        return True

    def get(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Read a name, as Exchange says."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(min(os.fstat(file.fileno()).st_size, most + 1))
        except FileNotFoundError as error:
            raise missing(name) from error

    def find(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Read a name as get does, or give None if it is not there."""
        try:
            return self.get(name, most)
        except MissingInput:
            return None

    def names(self, folder: str = "") -> list[str]:
        """List all names below a folder, as Exchange says."""
        start = self.path(folder) if folder else self._root
        if not start.is_dir():
            return []
        found = (path.relative_to(self._root).as_posix() for path in start.rglob("*") if path.is_file())
        return sorted(name for name in found if is_name(name))

    def path(self, name: str) -> Path:
        """Where a name's file lies, or would lie."""
        return self._root.joinpath(*name_parts(name))
