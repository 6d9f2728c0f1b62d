"""Needles that must never be found outside an agency's folder, and the search for them.

A needle is a value in one of the forms in which it may be written: as text, as bytes, as hexadecimal or base64. What
is searched is unpacked first: gzip, npz and parquet, and databases as the SQL that makes them.
"""

from __future__ import annotations

import base64
import gzip
import io
import sqlite3
import struct
import subprocess
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from fl_airflow.server.postgres import binaries

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.data import Prepared, fit_examples, prepared_path
from fl_tasks.contracts.jobs import JobFile, TrainJob
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.tensors import MalformedTensors, tensors_from_bytes
from fl_tasks.stages.learning_process import learning_python
from tests.stages.federation_run import AGENCIES

AGENCY = AGENCIES[0]
ROW_VALUE = "61.7351937"
"""A speed that no generator gives, within the span that the network is fitted on."""

PLATE = "ZZCANARY7"
"""The plate of a vehicle at an agency that drops plates, and at one that hashes them."""
PLATE_FILES = {
    "california_pems": "incoming/lane_flow_1.csv.gz",
    "minneapolis_i94": "incoming/volume_1h.csv.gz",
}

_PIECE = 32
_SECRETS = ("*/runs/*/jobs/*/delta.npz", "*/secagg/*/*/round-*.secret", "*/secagg/*/*/encryption.key")

Named = tuple[str, bytes]


def plant(home: Path) -> None:
    """Put the value into one row of one agency's raw data, and the plate into the last row of two others'."""
    plant_row(home)
    for agency, name in PLATE_FILES.items():
        lines, path = _lines(home, agency, name)
        lines[-1] = ",".join([*lines[-1].split(",")[:-1], PLATE])  # the plate is the last column of both
        path.write_bytes(gzip.compress("\n".join(lines).encode()))


def plant_row(home: Path) -> None:
    """Put the value into one row of one agency's raw data."""
    lines, path = _lines(home, AGENCY, "incoming/speed_5min.csv.gz")
    cells = lines[700].split(",")
    lines[700] = ",".join([*cells[:3], ROW_VALUE, *cells[4:]])
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def _lines(home: Path, agency: str, name: str) -> tuple[list[str], Path]:
    path = home / "agencies" / agency / name
    return gzip.decompress(path.read_bytes()).decode().splitlines(), path


def row_needles(home: Path, run_id: str) -> dict[str, bytes]:
    """The row's value in the forms that the stages give it, the last as the network sees it, with what follows."""
    value = float(ROW_VALUE)
    folder = Home(home).agency_run(AGENCY, run_id)
    prepared = Prepared.model_validate_json(prepared_path(folder).read_bytes())
    scaled = np.load(fit_examples(folder) / "x.npy").ravel()
    at = int(np.abs(scaled - (value - prepared.mean) / prepared.std).argmin())
    return {
        # What the text of a double and that of a float have in common.
        "row as text": ROW_VALUE[:8].encode(),
        **forms("row as double", struct.pack("<d", value)),
        **forms("row in the network's input", scaled[at:].tobytes()),
    }


def plate_needles() -> dict[str, bytes]:
    return {"plate": PLATE.encode()}


def key_needles(home: Path) -> dict[str, bytes]:
    """Every private key and seed that lies in an agency's keys/."""
    found: dict[str, bytes] = {}
    for path in sorted((home / "agencies").glob("*/keys/*")):
        found |= forms(f"{path.parts[-3]}/{path.name}", path.read_bytes())
    return found


def forms(name: str, secret: bytes) -> dict[str, bytes]:
    """A secret's first bytes as such, in hexadecimal, and in base64 without what depends on the bytes after them."""
    piece = secret[:_PIECE]
    return {
        name: piece,
        f"{name}, hexadecimal": piece.hex().encode(),
        f"{name}, base64": base64.b64encode(piece)[: len(piece) * 4 // 3],
    }


@contextmanager
def secrets_of_the_run(home: Path) -> Iterator[dict[str, bytes]]:
    """Collect what lives for moments only, while the block runs: file below agencies/ -> its secret.

    Of a round's secret that is the private key of the pairwise masks (the first 32 bytes): the coordinator learns the
    seed of a survivor's own mask, which follows it, by the protocol.
    """
    found: dict[str, bytes] = {}
    over = threading.Event()

    def watch() -> None:
        agencies = home / "agencies"
        while not over.wait(0.005):
            for path in (path for pattern in _SECRETS for path in agencies.glob(pattern)):
                name = path.relative_to(agencies).as_posix()
                with suppress(OSError, MalformedTensors):
                    if name not in found:
                        found[name] = _secret(path)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def deltas_again(home: Path, run_id: str, folder: Path) -> dict[str, bytes]:
    """Train once more as each training of a run was told to, in a folder; gives what `secrets_of_the_run` gives.

    The same seeds give the same bytes, and a delta is gone too soon for a search to see each.
    """
    deltas, jobs = {}, []
    for path in sorted((home / "agencies").glob(f"*/runs/{run_id}/jobs/train-*/job.json")):
        job = JobFile.model_validate_json(path.read_bytes()).job
        assert isinstance(job, TrainJob)
        name = job.delta_out.relative_to(home / "agencies").as_posix()
        deltas[name] = folder / str(len(jobs)) / "delta.npz"
        jobs.append(deltas[name].with_name("job.json"))
        again = JobFile(job=job.model_copy(update={"delta_out": deltas[name]}))
        write_atomic(jobs[-1], again.model_dump_json().encode())
    script = (
        "import sys; from fl_tasks.learning.__main__ import main; sys.exit(max(main([job]) for job in sys.argv[1:]))"
    )
    subprocess.run([learning_python(), "-P", "-c", script, *jobs], check=True)
    return {name: _secret(path) for name, path in deltas.items()}


def _secret(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix != ".npz":
        return data
    return max(
        (np.ascontiguousarray(array).tobytes() for array in tensors_from_bytes(data, source="").values()), key=len
    )


def outside(home: Path, postgres_url: str) -> Iterator[Named]:
    """Yield everything that is not an agency's own: the files, and the metadata database."""
    yield from files(home, (path for path in home.iterdir() if path.name not in ("agencies", "postgres")))
    dump = [binaries() / "pg_dump", "--data-only", "--inserts", postgres_url]
    yield "metadata database", subprocess.run(dump, capture_output=True, check=True).stdout


def inside(home: Path) -> Iterator[Named]:
    """Yield the agencies' own files."""
    yield from files(home, [home / "agencies"])


def files(home: Path, tops: Iterable[Path]) -> Iterator[Named]:
    """Yield each file below some folders, as it is and unpacked."""
    for top in tops:
        for path in [top, *top.rglob("*")]:
            if path.is_file() and not path.is_symlink():
                name = path.relative_to(home).as_posix()
                data = path.read_bytes()
                yield name, data
                unpacked = _unpacked(path, data)
                if unpacked:
                    yield name, unpacked


def _unpacked(path: Path, data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return b"".join(archive.read(name) for name in archive.namelist())
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        buffers = (buffer for column in table.columns for chunk in column.chunks for buffer in chunk.buffers())
        return b"".join(buffer.to_pybytes() for buffer in buffers if buffer is not None)
    if data[:15] == b"SQLite format 3":
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return "\n".join(database.iterdump()).encode()
    return b""


def search(searched: Iterable[Named], needles: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Return needle -> names of the files that hold it."""
    found: dict[str, set[str]] = {}
    for name, data in searched:
        for needle, value in needles.items():
            if value in data:
                found.setdefault(needle, set()).add(name)
    return found
