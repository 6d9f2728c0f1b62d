"""What every contract shares: strictness, safe names, canonical bytes and atomic files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

# Names become folder names, task ids and file names: nothing else may stand in them.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~:+-]{0,199}")
RunId = Annotated[str, StringConstraints(pattern=f"^{RUN_ID.pattern}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class Contract(BaseModel):
    """A typed, frozen record that refuses unknown keys and silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants")


def describe(error: ValidationError) -> str:
    """Say which field is wrong and why, without the value: `field a.b: message (and 2 more)`."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "(file)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"field {field}: {first['msg']}{more}"


def canonical_json(value: object) -> bytes:
    """Return the one byte string that stands for a JSON value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of data as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a whole file or nothing, and return only once it is on the disk.

    Args:
        path: Where; its folder is made (0700), those above it too (0711). An existing file is replaced.
        data: The content.
        mode: Permission bits; the default lets only the owner read.
    """
    make_private_folder(path.parent)
    with whole_file(path, data, mode) as made:
        os.replace(made, path)


@contextmanager
def whole_file(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A finished file beside `path`, on the disk, to be given that name; what is not is gone at the end.

    The folder's entries are on the disk, too, once this ends.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield made
    finally:
        made.unlink(missing_ok=True)
    fsync_folder(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's exclusive lock, which ends with the process; waits for whoever holds it."""
    make_private_folder(path.parent)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_private_folder(folder: Path) -> None:
    """Make a folder with mode 0700, and those above it that are missing with 0711: nobody else can list them.

    Passing through them is left open: a database's own user has to reach its folder below an installation's home.
    """
    # mkdir(parents=True) gives its mode to the last folder only.
    for missing in reversed([place for place in folder.parents if not place.exists()]):
        missing.mkdir(mode=0o711, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make the entries of a folder durable (a new name is not, until its folder is synced)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
