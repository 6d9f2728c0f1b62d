"""Files that one OS user writes once and another reads: nothing in them is secret, and nothing is ever replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

from fl_tasks.approvals.errors import ApprovalRefused
from fl_tasks.contracts.base import Contract, canonical_json, whole_file
from fl_tasks.secagg.errors import ProtocolError
from fl_tasks.secagg.records import read_record

B = TypeVar("B", bound=Contract)

_FOLDER_MODE = 0o755
_FILE_MODE = 0o644


def read_signed(data: bytes, public: bytes, label: str, kind: type[B], altered: ApprovalRefused) -> B:
    """Read a record that has to be, byte by byte, as its signer wrote it.

    Args:
        data: The record.
        public: The signer's key, 32 bytes.
        label: What the record is signed as.
        kind: What it holds.
        altered: What is raised if it is none, or another signed it.
    """
    try:
        body = read_record(data, public, label, kind)
        if canonical_json(json.loads(data)) == data:
            return body
    except (ProtocolError, RecursionError) as error:
        raise altered from error
    raise altered


def write_once(path: Path, data: bytes, conflict: ApprovalRefused) -> None:
    """Write a whole file that everyone may read, or nothing; the same content again is fine.

    Args:
        path: Where; its folder and those above it that are missing are made (0755, whatever the umask).
        data: The content.
        conflict: What is raised if the file is there with another content, which stays.
    """
    for missing in reversed([place for place in path.parents if not place.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(_FOLDER_MODE)
    with whole_file(path, data, _FILE_MODE) as made:
        try:
            os.link(made, path)
        except FileExistsError:
            if path.read_bytes() != data:
                raise conflict from None
