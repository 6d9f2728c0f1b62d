"""A backup's file: a tar of plain files, with a manifest of their hashes at its end.

A file that was cut short has no manifest, and one that was altered does not fit it: both are refused before anything is
unpacked. The archive holds private keys; it is written with mode 0600, and encrypting it is its keeper's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal

from pydantic import AwareDatetime, Field, ValidationError

from fl_tasks.contracts.base import Contract, Name, Sha256, describe, fsync_folder, make_private_folder
from fl_tasks.contracts.errors import ConfigError, FLError

MANIFEST = "manifest.json"

_CHUNK = 2**20
_MOST_MANIFEST = 2**26


class BackupRefused(FLError):
    """An archive is damaged, foreign, or would put something back that must not come back."""


class Manifest(Contract):
    """What is in an archive."""

    backup: Literal[1] = 1
    party: Literal["agency", "coordinator"]
    name: Name = Field(description="Of the agency; `coordinator` of the coordinator.")
    made: AwareDatetime
    files: dict[str, Sha256] = Field(description="Name below the party's root -> SHA-256 of the content.")


def write_archive(
    path: Path, party: Literal["agency", "coordinator"], name: str, files: Iterable[tuple[str, Path]]
) -> Manifest:
    """Write an archive, whole or not at all.

    Args:
        path: A new file.
        party: Whose files.
        name: Of the agency.
        files: Name in the archive and path of each file; one that is gone by the time it is read is left out.

    Raises:
        ConfigError: If there is such a file already, or its folder is not there.
    """
    if path.exists():
        raise ConfigError(f"{path}: is there already and is not replaced; name a new file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: there is no such folder; make it first, readable by this user only")
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    hashes = {}
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as tar:
                for member, source in files:
                    try:
                        opened = source.open("rb")
                    except FileNotFoundError:  # removed or replaced meanwhile by a stage
                        continue
                    with opened as file:
                        hashes[member] = _add(tar, member, file, os.fstat(file.fileno()).st_size)
                manifest = Manifest(party=party, name=name, made=dt.datetime.now(dt.UTC), files=hashes)
                content = manifest.model_dump_json(indent=1).encode()
                _add(tar, MANIFEST, io.BytesIO(content), len(content))
            out.flush()
            os.fsync(out.fileno())
        os.link(unfinished, path)  # refuses to replace what came meanwhile
    finally:
        unfinished.unlink(missing_ok=True)
    fsync_folder(path.parent)
    return manifest


def read_manifest(path: Path, party: Literal["agency", "coordinator"], name: str) -> Manifest:
    """Read a whole archive and hold every file in it against its manifest; nothing is unpacked.

    Raises:
        ConfigError: If there is no such file.
        BackupRefused: If it is damaged, no backup, or another party's.
    """
    found: dict[str, str] = {}
    manifest = None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if manifest is not None or not member.isreg() or not _is_name(member.name) or member.name in found:
                    raise BackupRefused(f"{path}: is no backup: {member.name[:200]!r} is none of its files")
                file = tar.extractfile(member)
                assert file is not None  # of a regular file
                if member.name == MANIFEST:
                    manifest = Manifest.model_validate_json(file.read(_MOST_MANIFEST))
                else:
                    found[member.name] = _hash(file)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except tarfile.TarError as error:
        raise BackupRefused(f"{path}: is damaged or no backup ({error}); nothing was changed: take another") from error
    except ValidationError as error:
        raise BackupRefused(f"{path}: its {MANIFEST} is wrong: {describe(error)}; nothing was changed") from error
    if manifest is None:
        raise BackupRefused(
            f"{path}: was cut short: it has no {MANIFEST} at its end; nothing was changed: take another"
        )
    wrong = {member for member, _ in found.items() ^ manifest.files.items()}
    if wrong:
        raise BackupRefused(
            f"{path}: is damaged: {len(wrong)} of its files are not those of its {MANIFEST}, like {min(wrong)}; "
            "nothing was changed: take another"
        )
    if (manifest.party, manifest.name) != (party, name):
        raise BackupRefused(
            f"{path}: is a backup of {manifest.party} {manifest.name}, needed is one of {party} {name}; nothing was "
            "changed"
        )
    return manifest


def unpack(path: Path, manifest: Manifest, folder: Path) -> None:
    """Write the files of an archive below a new folder, readable by this user only.

    Raises:
        BackupRefused: If the archive is not the one any more that the manifest was read from.
    """
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.name == MANIFEST:
                continue
            file = tar.extractfile(member)
            if file is None or not _is_name(member.name):
                raise BackupRefused(f"{path}: was exchanged while it was read; nothing was changed")
            target = folder / member.name
            make_private_folder(target.parent)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                if _hash(file, out) != manifest.files.get(member.name):
                    raise BackupRefused(f"{path}: was exchanged while it was read; nothing was changed")
                out.flush()
                os.fsync(out.fileno())


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int) -> str:
    """Add a file and return its hash."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    hashing = _Hashing(file)
    tar.addfile(member, hashing)
    return hashing.sha256.hexdigest()


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _hash(source: IO[bytes], target: IO[bytes] | None = None) -> str:
    """Return the hash of what is read, which goes to the target on the way."""
    sha256 = hashlib.sha256()
    while data := source.read(_CHUNK):
        sha256.update(data)
        if target is not None:
            target.write(data)
    return sha256.hexdigest()


def _is_name(name: str) -> bool:
    """Whether a name stays below the folder that it is unpacked in."""
    return not {"", ".", ".."} & set(name.split("/"))
