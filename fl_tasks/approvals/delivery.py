"""What an officer is asked about: a signed plan, and all the code that it would run, as one archive.

An archive has one form only: regular files by name, with nothing of the machine that packed them. Whoever opens one
packs its files again and compares, so that nothing can hide beside them.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fl_tasks.approvals.errors import ArchiveRefused, DeliveryAltered, DeliveryConflict, DeliveryMissing
from fl_tasks.approvals.files import read_signed, write_once
from fl_tasks.contracts.base import canonical_json, sha256_hex
from fl_tasks.contracts.plan import Plan, code_sha256

PLAN_LABEL = "plan"
MOST_PLAN_BYTES = 2**20
MOST_CODE_BYTES = 16 * 2**20  # what the exchange admits
_MOST_UNPACKED_BYTES = 64 * 2**20
_MOST_FILES = 10_000
_MOST_NAME_BYTES = 400
_MOST_MEMORY = 128 * 2**20  # of xz; the preset below needs 5 MiB
_PRESET = 3
_ROOTS = ("fl_tasks", "fl_airflow", "expectations", "plugins", "dags")

# PySyft wants a job to have a script. This one is never run: what runs is the agency's own installation.
_MAIN = (
    b'raise SystemExit("This job is only decided on. What was approved runs from the agency\'s own installation.")\n'
)


@dataclass(frozen=True)
class Delivery:
    """A plan whose signature was verified, and its code, which is the one that the plan names.

    Attributes:
        plan: What the coordinator signed.
        files: Content of each file of code, by its name below its package or `dags`.
    """

    plan: Plan
    files: Mapping[str, bytes]

    @cached_property
    def job(self) -> dict[str, bytes]:
        """The content of the plan's job in PySyft, by name below the job's folder `code`."""
        told = canonical_json(self.plan.model_dump(mode="json"))
        return {"main.py": _MAIN, "plan.json": told, **self.files}


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return name -> SHA-256."""
    return {name: sha256_hex(data) for name, data in files.items()}


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the archive of code files; the same files give the same bytes, with the same xz.

    Raises:
        ArchiveRefused: If no delivery may have such files.
    """
    packed = lzma.compress(_tar(files), preset=_PRESET)
    if len(packed) > MOST_CODE_BYTES:
        raise ArchiveRefused(
            f"the code has {len(packed)} bytes when packed, {MOST_CODE_BYTES} are the most that is delivered: move "
            "what is no code out of the DAG folder"
        )
    return packed


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the files of an archive, all in memory and within limits.

    Raises:
        ArchiveRefused: If it is none that `pack` makes.
    """
    data = _decompressed(archive)
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                if member.type != tarfile.REGTYPE or member.sparse is not None:
                    raise ArchiveRefused(f"the archive holds {member.name[:200]!r}, which is no regular file")
                if len(files) == _MOST_FILES:
                    raise ArchiveRefused(f"the archive holds more than {_MOST_FILES} files")
                content = tar.extractfile(member)
                assert content is not None  # it is a regular file
                files[member.name] = content.read()
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ArchiveRefused("the archive is no tar file; ask the coordinator to start a new run") from error
    if _tar(files) != data:
        raise ArchiveRefused("the archive holds more than its files: names twice, modes, times or bytes between them")
    return files


def open_delivery(plan: bytes, code: bytes, coordinator_key: bytes) -> Delivery:
    """Verify what the coordinator sent.

    Args:
        plan: The signed plan.
        code: The archive.
        coordinator_key: Of the roster that the agency approved, 32 bytes.

    Raises:
        DeliveryAltered: If the plan is not the coordinator's, or the code is not the plan's; ArchiveRefused.
    """
    altered = DeliveryAltered(
        "the plan is not signed by the coordinator of the roster that was approved here, was altered on its way, or is "
        "another version's; restore it as it came, or ask the coordinator to start a new run"
    )
    body = read_signed(plan, coordinator_key, PLAN_LABEL, Plan, altered)
    if sha256_hex(code) != body.code_archive_sha256:
        raise DeliveryAltered(
            f"the code that came has the hash {sha256_hex(code)[:16]}, the plan of run {body.run_id} names "
            f"{body.code_archive_sha256[:16]}; fetch it again, and ask the coordinator if that does not help"
        )
    files = unpack(code)
    if code_sha256(hashes(files)) != body.terms.code_sha256:
        raise DeliveryAltered(
            f"the files that came have the digest {code_sha256(hashes(files))[:16]}, the plan of run {body.run_id} "
            f"names {body.terms.code_sha256[:16]}; ask the coordinator to start a new run"
        )
    return Delivery(body, files)


def lay_out(folder: Path, plan: bytes, code: bytes) -> None:
    """Lay a verified delivery where the officer, another OS user, finds it, once; the same one again is fine.

    Raises:
        DeliveryConflict: If another delivery lies there; it stays.
    """
    for path, data in zip(_paths(folder), (plan, code), strict=True):
        conflict = DeliveryConflict(
            f"{path}: another one was laid out for this run before, and a plan never changes; "
            "the coordinator has to start a new run"
        )
        write_once(path, data, conflict)


def read_delivery(folder: Path, coordinator_key: bytes) -> Delivery:
    """Read and verify a delivery that was laid out.

    Raises:
        DeliveryMissing: If there is none.
        DeliveryAltered: As open_delivery.
    """
    try:
        plan, code = (_content(path, most) for path, most in zip(_paths(folder), _MOST, strict=True))
    except FileNotFoundError as error:
        raise DeliveryMissing(
            f"{folder}: no plan of this run was laid out; run the stage receive, then let the officer decide"
        ) from error
    return open_delivery(plan, code, coordinator_key)


_MOST = (MOST_PLAN_BYTES, MOST_CODE_BYTES)


def _paths(folder: Path) -> tuple[Path, Path]:
    return folder / "plan", folder / "code.tar.xz"


def _content(path: Path, most: int) -> bytes:
    """Read a file, and of one that is too long no more than shows it: its hash is then another one."""
    with path.open("rb") as file:
        return file.read(most + 1)


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Return the one tar file of these files; raises ArchiveRefused if there may be none."""
    _check(files)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)  # owner 0, time 0
            member.size = len(files[name])
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    return target.getvalue()


def _check(files: Mapping[str, bytes]) -> None:
    if len(files) > _MOST_FILES or sum(map(len, files.values())) > _MOST_UNPACKED_BYTES:
        raise ArchiveRefused(
            f"{len(files)} files of {sum(map(len, files.values()))} bytes are more than the {_MOST_FILES} files or "
            f"{_MOST_UNPACKED_BYTES} bytes that may be delivered: move what is no code out of the DAG folder"
        )
    for name in files:
        parts = name.split("/")
        usual = all(part and not part.startswith(".") and part.isprintable() and "\\" not in part for part in parts)
        try:
            short = len(name.encode()) <= _MOST_NAME_BYTES
        except UnicodeEncodeError:
            short = False
        if not (usual and short and len(parts) > 1 and parts[0] in _ROOTS):
            raise ArchiveRefused(f"{name[:200]!r} is no name of a file of code; rename the file, or leave it out")
        if any("/".join(parts[:end]) in files for end in range(1, len(parts))):
            raise ArchiveRefused(f"{name[:200]!r} lies below a file")


def _decompressed(archive: bytes) -> bytes:
    """Unpack xz, and stop where it becomes too long."""
    if len(archive) > MOST_CODE_BYTES:
        raise ArchiveRefused(f"the archive has {len(archive)} bytes, {MOST_CODE_BYTES} are the most")
    # Headers, padding, and the round numbers that tar fills up to.
    most = _MOST_UNPACKED_BYTES + 4096 * _MOST_FILES
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
    try:
        data = unpacker.decompress(archive, max_length=most)
    except lzma.LZMAError as error:
        raise ArchiveRefused("the archive is not packed with xz; ask the coordinator to start a new run") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ArchiveRefused(f"the archive is torn, goes on after its end, or unpacks to more than {most} bytes")
    return data
