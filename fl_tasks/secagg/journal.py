"""An agency's memory of what it did: hash-chained, locked, on the disk before anything is sent.

One line a deed. The chain's head is kept in a second place, outside the backup set, so that a journal that was
restored, shortened or forked is noticed. Both copies restored together cannot be noticed; see the threat model.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_tasks.contracts.base import canonical_json, fsync_folder, make_private_folder, sha256_hex, write_atomic
from fl_tasks.secagg.errors import JournalBroken, JournalBusy

_START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One deed: its kind, the session it belongs to, its facts (ids, names and hashes only)."""

    kind: str
    session: str
    facts: dict[str, Any]


class Journal:
    """An open journal. Use open_journal, which holds the lock while it is open."""

    def __init__(self, path: Path, head: Path, entries: list[Entry], last: str) -> None:
        self._path = path
        self._head = head
        self._entries = entries
        self._last = last

    def find(self, kind: str, session: str | None = None, **facts: Any) -> list[Entry]:  # noqa: ANN401
        """Return the entries of a kind, in order, with the given session and facts."""
        return [
            entry
            for entry in self._entries
            if entry.kind == kind
            and (session is None or entry.session == session)
            and all(entry.facts.get(name) == value for name, value in facts.items())
        ]

    def append(self, kind: str, session: str, **facts: Any) -> Entry:  # noqa: ANN401
        """Write one deed; it is on the disk, folder and second head included, when this returns."""
        entry = Entry(kind, session, facts)
        body = {"n": len(self._entries), "prev": self._last, "kind": kind, "session": session, "facts": facts}
        line = canonical_json(body)
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fsync_folder(self._path.parent)
        self._entries.append(entry)
        self._last = sha256_hex(line)
        write_atomic(self._head, canonical_json({"n": len(self._entries), "head": self._last, "session": session}))
        return entry


@contextmanager
def open_journal(path: Path, head: Path, *, new_session: str | None = None) -> Iterator[Journal]:
    """Open a journal under its exclusive lock.

    Args:
        path: The journal.
        head: The second copy of its head, in a folder of its own that no backup covers.
        new_session: The session that is about to be opened, if any. A broken journal is then set aside and a
            new chain begins; its open sessions stay refused, because no entry of theirs is left.

    Raises:
        JournalBusy: If another process holds it.
        JournalBroken: If the chain does not verify, or is not the one that the head tells of.
    """
    make_private_folder(path.parent)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalBusy(f"{path}: another process of this agency is at work; it is retried later") from error
        try:
            entries, last = _read(path, head)
        except JournalBroken:
            if new_session is None or _head_session(head) == new_session:
                raise
            if path.exists():
                os.replace(path, path.with_suffix(f".broken-{sha256_hex(path.read_bytes())[:8]}"))
            head.unlink(missing_ok=True)
            entries, last = [], _START
        yield Journal(path, head, entries, last)


def _read(path: Path, head: Path) -> tuple[list[Entry], str]:
    """Read and verify the whole chain against the head's second copy."""
    entries: list[Entry] = []
    last = _START
    known: dict[str, Any] = json.loads(head.read_bytes()) if head.exists() else {"n": 0, "head": _START}
    whole, _, torn = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
    if torn:
        # A crash in the middle of a line: nothing was sent on its strength, so it is dropped.
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(torn))
    lines = whole.split(b"\n") if whole else []
    matched = known["n"] == 0
    for line in lines:
        try:
            body = json.loads(line)
        except ValueError as error:
            raise JournalBroken(f"{path}: line {len(entries) + 1} is no record; {_REMEDY}") from error
        if body.get("prev") != last or body.get("n") != len(entries):
            raise JournalBroken(f"{path}: line {len(entries) + 1} does not continue the chain; {_REMEDY}")
        entries.append(Entry(body["kind"], body["session"], body["facts"]))
        last = sha256_hex(line)
        matched = matched or (len(entries) == known["n"] and last == known["head"])
    # The journal may be one entry ahead of its head: a crash between the two writes. Never behind.
    if not matched or len(entries) > known["n"] + 1:
        raise JournalBroken(f"{path}: has {len(entries)} entries, its head tells of {known['n']} others; {_REMEDY}")
    return entries, last


def _head_session(head: Path) -> str | None:
    return json.loads(head.read_bytes()).get("session") if head.exists() else None


_REMEDY = "it was restored or altered: open sessions are refused until a new run starts"
