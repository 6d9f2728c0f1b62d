"""An officer's signed records: decisions, standing approvals, and what was taken back.

Each is written once. The officer writes them; the daemon, which is another OS user, reads them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fl_tasks.approvals.errors import RecordAltered, RecordConflict
from fl_tasks.approvals.files import read_signed, write_once
from fl_tasks.approvals.places import RecordKind, record_path
from fl_tasks.contracts.plan import Decision, Revocation, Standing
from fl_tasks.secagg.records import sign_record

Record = Decision | Standing | Revocation
R = TypeVar("R", Decision, Standing, Revocation)


def write_record(officer: Path, key: Ed25519PrivateKey, body: Record) -> Path:
    """Sign a record and write it under its id, once; the same record again is fine.

    Args:
        officer: The officer's own folder.
        key: The officer's.
        body: What is recorded; its class says of which kind it is.

    Returns:
        Where it lies, readable by everyone.

    Raises:
        RecordConflict: If there is a record of this kind and id with another content.
    """
    kind, label = _kind(type(body))
    path = record_path(officer, kind, body.id)
    conflict = RecordConflict(f"{path}: is there with another content; a record is never changed, make a new one")
    write_once(path, sign_record(key, label, body), conflict)
    return path


def find_record(officer: Path, kind: type[R], id_: str, public: bytes) -> R | None:
    """Return the record of an id, or None; raises RecordAltered."""
    try:
        return _read(record_path(officer, _kind(kind)[0], id_), kind, public)
    except FileNotFoundError:
        return None


def read_records(officer: Path, kind: type[R], public: bytes) -> list[R]:
    """Return all of an officer's records of a kind, the oldest first.

    Raises:
        RecordAltered: If one of them is not signed with the key, was edited, or lies under another one's name.
    """
    found = [_read(path, kind, public) for path in _paths(officer, kind)]
    return sorted(found, key=lambda record: (record.at, record.id))


def decisions_on(officer: Path, run_id: str, public: bytes) -> list[Decision]:
    """Return the decisions on one run, the oldest first.

    A record that tells of another run is passed over unverified: after an officer's key has changed, the old ones are
    not held against the new key.

    Raises:
        RecordAltered: If a record that tells of this run, or of none, does not verify.
    """
    found = [_read(path, Decision, public) for path in _paths(officer, Decision) if _told_run(path) in (run_id, None)]
    return sorted((record for record in found if record.run_id == run_id), key=lambda record: (record.at, record.id))


def _kind(kind: type[Record]) -> tuple[RecordKind, str]:
    """Return the folder of a kind of record, and the label that it is signed with."""
    if kind is Decision:
        return "decisions", "officer/decision"
    return ("standing", "officer/standing") if kind is Standing else ("revoked", "officer/revocation")


def _paths(officer: Path, kind: type[Record]) -> list[Path]:
    folder = record_path(officer, _kind(kind)[0], "").parent
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def _told_run(path: Path) -> str | None:
    """What a record says its run is, whoever wrote it; None if it says nothing that can be read."""
    try:
        told = json.loads(_content(path))["body"]["run_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return told if isinstance(told, str) else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RecordAltered:
    return RecordAltered(f"{path}: {error.strerror}; the daemon's user must be able to read the officer's records")


def _read(path: Path, kind: type[R], public: bytes) -> R:
    altered = RecordAltered(
        f"{path}: is no record signed with the officer's pinned key; it was edited or forged, or the key was changed. "
        "Restore it from a backup, or take it away and decide again"
    )
    record = read_signed(_content(path), public, _kind(kind)[1], kind, altered)
    if record.id != path.stem:
        raise RecordAltered(f"{path}: holds the record {record.id}; give it its own name back, or take it away")
    return record
