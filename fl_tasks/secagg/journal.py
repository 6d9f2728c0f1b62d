"""An agency's memory of what it did: hash-chained, locked, on the disk before anything is sent.

One line a deed. The chain's head is kept in a second place, outside the backup set, so that a journal that was
restored, shortened or forked is noticed. The head also goes out with every message (heads.py), so that both copies
restored together are noticed as long as the coordinator shows what was posted; see the threat model.
"""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from fl_tasks.contracts.base import (
    Contract,
    canonical_json,
    fsync_folder,
    make_private_folder,
    sha256_hex,
    write_atomic,
)
from fl_tasks.secagg.errors import JournalBroken, JournalBusy

_START = "0" * 64
PAST_SESSION = "past session"
"""Kind of an entry that a session was opened in a chain that broke; it opens nothing."""

# Survivor sets, the rows that were summed, what an operator lifted, which decision of an officer was used and for which
# session: entries that bind later ones.
_ACROSS_SESSIONS = ("survivors", "rows", "lifted", "approval", PAST_SESSION)


class _Line(Contract):
    """An entry as it stands in the file."""

    n: int
    prev: str
    kind: str
    session: str
    facts: dict[str, Any]


class _Head(Contract):
    """How many entries there are, the hash of the last, and its session."""

    n: int = Field(ge=0)
    head: str
    session: str | None = None


@dataclass(frozen=True)
class Entry:
    """One deed: its kind, the session it belongs to, its facts (ids, names and hashes only).

    `number` counts from 1; `sha256`, of the entry's line, is the chain's head once the entry is written.
    """

    kind: str
    session: str
    facts: dict[str, Any]
    number: int
    sha256: str


class Journal:
    """An open journal. Use open_journal, which holds the lock while it is open."""

    def __init__(self, path: Path, head: Path, entries: list[Entry], last: str) -> None:
        self._path = path
        self._head = head
        self._last = last
        self._entries: list[Entry] = []
        # By kind and session, and by kind alone: a journal grows for years, and every step asks it several times.
        self._index: defaultdict[tuple[str, str | None], list[Entry]] = defaultdict(list)
        for entry in entries:
            self._remember(entry)

    def find(self, kind: str, session: str | None = None, **facts: Any) -> list[Entry]:  # noqa: ANN401
        """Return the entries of a kind, in order, with the given session and facts."""
        return [
            entry
            for entry in self._index[kind, session]
            if all(entry.facts.get(name) == value for name, value in facts.items())
        ]

    def holds(self, number: int, sha256: str) -> bool:
        """Whether the chain once had this head after so many entries."""
        return 1 <= number <= len(self._entries) and self._entries[number - 1].sha256 == sha256

    def append(self, kind: str, session: str, **facts: Any) -> Entry:  # noqa: ANN401
        """Write one deed; it is on the disk, folder and second head included, when this returns."""
        body = {"n": len(self._entries), "prev": self._last, "kind": kind, "session": session, "facts": facts}
        line = canonical_json(body)
        entry = Entry(kind, session, facts, len(self._entries) + 1, sha256_hex(line))
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fsync_folder(self._path.parent)
        self._remember(entry)
        self._last = entry.sha256
        write_atomic(self._head, canonical_json({"n": entry.number, "head": self._last, "session": session}))
        return entry

    def _remember(self, entry: Entry) -> None:
        self._entries.append(entry)
        for session in (entry.session, None):
            self._index[entry.kind, session].append(entry)


@contextmanager
def open_journal(path: Path, head: Path, *, new_session: str | None = None) -> Iterator[Journal]:
    """Open a journal under its exclusive lock.

    Args:
        path: The journal.
        head: The second copy of its head, in a folder of its own that no backup covers.
        new_session: The session that is about to be opened, if any. A broken journal is then set aside and a
            new chain begins; its open sessions stay refused, because no entry opens them any more.

    Raises:
        JournalBusy: If another process holds it.
        JournalBroken: If the chain does not verify, or is not the one that the head tells of.
    """
    with hold_journal(path):
        try:
            journal = Journal(path, head, *_read(path, head))
        except JournalBroken:
            if new_session is None or _head_session(head) == new_session:
                raise
            journal = _start_anew(path, head)
        yield journal


def _start_anew(path: Path, head: Path) -> Journal:
    """Set a broken journal aside and begin a new chain, with what must hold across sessions.

    Whatever broke it, a survivor set that it tells of was acknowledged: the next session may not difference it away.
    """
    data = path.read_bytes() if path.exists() else b""
    if data:
        os.replace(path, path.with_suffix(f".broken-{sha256_hex(data)[:8]}"))
    head.unlink(missing_ok=True)
    journal = Journal(path, head, [], _START)
    for line in data.split(b"\n"):
        with suppress(ValidationError):
            body = _Line.model_validate_json(line)
            kind = PAST_SESSION if body.kind == "session" else body.kind
            if kind in _ACROSS_SESSIONS:
                journal.append(kind, body.session, **body.facts)
    return journal


@contextmanager
def hold_journal(path: Path) -> Iterator[None]:
    """Hold a journal's exclusive lock, which ends with the process; raises JournalBusy."""
    make_private_folder(path.parent)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalBusy(f"{path}: another process of this agency is at work; it is retried later") from error
        yield


def _read(path: Path, head: Path) -> tuple[list[Entry], str]:
    """Read and verify the whole chain against the head's second copy."""
    entries: list[Entry] = []
    last = _START
    whole, _, torn = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
    if torn:
        # A crash in the middle of a line: nothing was sent on its strength, so it is dropped.
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(torn))
    lines = whole.split(b"\n") if whole else []
    for line in lines:
        try:
            body = _Line.model_validate_json(line)
        except ValueError as error:
            raise JournalBroken(f"{path}: line {len(entries) + 1} is no record; {_REMEDY}") from error
        if (body.prev, body.n) != (last, len(entries)):
            raise JournalBroken(f"{path}: line {len(entries) + 1} does not continue the chain; {_REMEDY}")
        last = sha256_hex(line)
        entries.append(Entry(body.kind, body.session, body.facts, len(entries) + 1, last))
    _check_head(path, head, entries)
    return entries, last


def _check_head(path: Path, head: Path, entries: list[Entry]) -> None:
    """Compare the chain with the head's second copy; raises JournalBroken."""
    known = _read_head(head)
    if known is None:
        raise JournalBroken(f"{head}: is no head of a journal; {_REMEDY}")
    at_head = _START if known.n == 0 else entries[known.n - 1].sha256 if known.n <= len(entries) else None
    # The journal may be one entry ahead of its head: a crash between the two writes. Never behind.
    if at_head != known.head or len(entries) > known.n + 1:
        raise JournalBroken(f"{path}: has {len(entries)} entries, its head tells of {known.n} others; {_REMEDY}")


def _head_session(head: Path) -> str | None:
    known = _read_head(head)
    return None if known is None else known.session


def _read_head(head: Path) -> _Head | None:
    """Read the head's second copy; None if it was damaged."""
    try:
        return _Head.model_validate_json(head.read_bytes()) if head.exists() else _Head(n=0, head=_START)
    except ValidationError:
        return None


_REMEDY = "it was restored or altered: open sessions are refused until a new run starts"
