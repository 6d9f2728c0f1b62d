"""Uploads under way: what has come of a message, kept aside until all of it is there and its hash is right.

Parts lie in a folder that no reader is shown. A connection that breaks off leaves its part; the same agency goes on
with it, for a day. What an agency has under way is limited, and counted by the lengths that it announced.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from fl_tasks.contracts.base import locked, sha256_file
from fl_tasks.contracts.errors import is_disk_full
from fl_tasks.contracts.paths import Home
from fl_tasks.exchange.access import Space
from fl_tasks.exchange.errors import ExchangeFull, UploadBroken, UploadBusy, WrongOffset
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.exchange.store import MOST_BYTES, conflict

KEPT_SECONDS = 24 * 3600
"""How long a part is kept since its last byte came."""

QUOTA_BYTES = 2 * MOST_BYTES
"""Most bytes that one agency may have under way."""

RESERVE_BYTES = 64 * 2**20
"""Bytes that uploads leave free on the disk: the database may lie on it, too."""

_CHUNK = 2**20


class Message(NamedTuple):
    """What is sent: by whom, where, under which name, with which content."""

    agency: str
    space: Space
    name: str
    sha256: str


class Upload:
    """One upload that this request alone goes on with.

    Attributes:
        offset: Bytes that are stored.
        total: Length of the whole message, bytes.
    """

    def __init__(self, message: Message, path: Path, file: FileIO, total: int) -> None:
        self._message = message
        self._path = path
        self._file = file
        self._hash = hashlib.sha256()
        self.total = total
        file.seek(0)
        while data := file.read(_CHUNK):
            self._hash.update(data)
        self.offset = file.tell()

    def write(self, data: bytes) -> None:
        """Store the next bytes.

        Raises:
            UploadBroken: If there are more than the message's length.
            ExchangeFull: If the disk is full; what was stored before stays.
        """
        if self.offset + len(data) > self.total:
            raise UploadBroken(f"{self._message.name}: more than the announced {self.total} bytes came; send it again")
        with _room(self._message.name):
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        self._hash.update(data)
        self.offset += len(data)

    def finish(self, exchange: FolderExchange) -> bool:
        """Give the message its name in the exchange, and return whether that is new.

        Raises:
            UploadBroken: If the content is not that of the announced hash; nothing of it is kept.
            ExchangeConflict: If the name exists with other content; nothing of it is kept.
        """
        with _room(self._message.name):
            os.fsync(self._file.fileno())
        try:
            if (self.offset, self._hash.hexdigest()) != (self.total, self._message.sha256):
                raise UploadBroken(
                    f"{self._message.name}: what came is not the content that the request's SHA-256 announced; send it "
                    "again from its beginning"
                )
            with _room(self._message.name):
                return exchange.take(self._message.name, self._path)
        finally:
            self._path.unlink(missing_ok=True)


class Uploads:
    """All uploads of one server."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.uploads

    def exchange(self, space: Space) -> FolderExchange:
        """The store that finished messages go to."""
        return FolderExchange(space.folder(self._home))

    def stored(self, message: Message) -> int | None:
        """Return the length of a message that lies in the exchange already, or None if its name is free.

        Raises:
            ExchangeConflict: If the name exists with other content.
        """
        path = self.exchange(message.space).path(message.name)
        try:
            facts = path.stat()
        except FileNotFoundError:
            return None
        if _sha256(path, facts.st_mtime_ns, facts.st_size) != message.sha256:
            raise conflict(message.name)
        return facts.st_size

    def offset(self, message: Message) -> int:
        """Return how many bytes of an upload are there."""
        with suppress(FileNotFoundError):  # finished just now
            return sum(part.stat().st_size for part in self._parts(message))
        return 0

    @contextmanager
    def open(self, message: Message, total: int, offset: int | None) -> Iterator[Upload]:
        """Begin an upload, or go on with one.

        Args:
            message: What is sent.
            total: Its length, bytes.
            offset: Where the request's bytes belong; None begins anew.

        Raises:
            WrongOffset: If another number of bytes is there.
            UploadBusy: If another request is at it.
            ExchangeFull: If the disk has no room for it, or the agency has too much under way.
        """
        path = self._begin(message, total)
        # Without a buffer: after an error what is stored is what the file's length says.
        with path.open("r+b", buffering=0) as file:
            if not _claim(file, path):
                raise UploadBusy(f"{message.name}: another connection is sending it; go on when that has ended")
            if offset is None:
                file.truncate(0)
            upload = Upload(message, path, file, total)
            if offset is not None and offset != upload.offset:
                raise WrongOffset(f"{message.name}: {upload.offset} bytes are there, the request goes on at {offset}")
            yield upload

    def sweep(self) -> None:
        """Remove the parts that nobody went on with."""
        oldest = time.time() - KEPT_SECONDS
        for part in self._folder.glob("*/*-*"):
            with suppress(FileNotFoundError):  # finished, or swept by another request
                if part.stat().st_mtime < oldest:
                    part.unlink()

    def _begin(self, message: Message, total: int) -> Path:
        """Make an upload's file unless it is there, and with it the claim on the agency's room."""
        self.sweep()
        folder = self._folder / message.agency
        with _room(message.name), locked(folder / ".lock"):
            path = folder / f"{_key(message)}-{total}"
            for other in self._parts(message):
                if other != path:  # announced with another length
                    other.unlink(missing_ok=True)
            under_way = sum(int(part.name.partition("-")[2]) for part in folder.glob("*-*") if part != path)
            if under_way + total > QUOTA_BYTES:
                raise ExchangeFull(
                    f"{message.name}: {message.agency} has {under_way} bytes of unfinished uploads, with this one over "
                    f"the {QUOTA_BYTES} that are admitted: finish them, or wait a day until they are removed"
                )
            here = path.stat().st_size if path.exists() else 0
            free = shutil.disk_usage(folder).free - RESERVE_BYTES
            if total - here > free:
                raise ExchangeFull(
                    f"{message.name}: its {total} bytes have no room on the coordinator's disk, which has "
                    f"{max(free, 0)} to spare: the coordinator has to make room there; then try again"
                )
            path.touch(mode=0o600)
        return path

    def _parts(self, message: Message) -> list[Path]:
        return list((self._folder / message.agency).glob(f"{_key(message)}-*"))


def _claim(file: FileIO, path: Path) -> bool:
    """Lock a part for this request; not if another has it, or has just given it its name in the exchange."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _key(message: Message) -> str:
    parts = (message.space.label, message.name, message.sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@contextmanager
def _room(name: str) -> Iterator[None]:
    """Say of a full disk what is to be done."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise ExchangeFull(
            f"{name}: the coordinator's disk is full ({error.strerror}): the coordinator has to make room below its "
            "exchange folder; then try again, and the upload goes on where it broke off"
        ) from error


@lru_cache(maxsize=1024)
def _sha256(path: Path, _changed: int, _size: int) -> str:
    """Hash a file of the exchange once: it never changes."""
    return sha256_file(path)
