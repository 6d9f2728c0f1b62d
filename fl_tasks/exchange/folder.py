"""The exchange as a folder: write-once files that agencies and coordinator leave for each other."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from fl_tasks.contracts.base import fsync_folder, make_private_folder
from fl_tasks.contracts.errors import FLError, MissingInput

# A model of hundreds of millions of parameters; messages of the set-up and acks are kilobytes.
MOST_BYTES = 2**31
_PART = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


class ExchangeConflict(FLError):
    """A name exists in the exchange with other content; write-once names never change."""


class FolderExchange:
    """A write-once store below one folder.

    A name is written by linking a finished temporary file to it, which fails if the name exists: readers never
    see half a file, and nothing is ever replaced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        """Write a name once; writing the same content again is success.

        Raises:
            ExchangeConflict: If the name exists with other content.
        """
        path = self._path(name)
        make_private_folder(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".put-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError as error:
                if path.read_bytes() != data:
                    raise ExchangeConflict(
                        f"{name} is in the exchange with other content: something sent twice under one name; "
                        "nothing was replaced"
                    ) from error
        finally:
            Path(temporary).unlink(missing_ok=True)
        fsync_folder(path.parent)

    def get(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Read a name; raises MissingInput, since it may still come.

        Of a file that is longer than `most` bytes it gives one byte more than that: enough for whoever reads the
        message to refuse it, and no memory is spent on what anyone may have left there.
        """
        try:
            with self._path(name).open("rb") as file:
                return file.read(min(os.fstat(file.fileno()).st_size, most + 1))
        except FileNotFoundError as error:
            raise MissingInput(f"{name} is not in the exchange (yet): an earlier step did not leave it") from error

    def find(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """Read a name as get does, or give None if it is not there."""
        return self.get(name, most) if self._path(name).exists() else None

    def names(self, folder: str = "") -> list[str]:
        """List all names below a folder, sorted; a file whose name no party could have used is passed over."""
        start = self._path(folder) if folder else self._root
        if not start.is_dir():
            return []
        found = (path.relative_to(self._root) for path in start.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if all(_PART.fullmatch(part) for part in path.parts))

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            raise ExchangeConflict(f"{name!r} is no name of the exchange: lower-case letters, digits, _ . - and /")
        return self._root.joinpath(*parts)
