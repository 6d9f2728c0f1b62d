"""The coordinator's peak memory in one round: `python -m tests.benchmarks.server_memory N D` prints JSON.

This process is the coordinator: it decides the manifest and opens the sum, and reads every upload from a file, as it
does from the exchange. A second process makes the uploads when they are asked for, so that they cost nothing here.
"""

from __future__ import annotations

import json
import multiprocessing
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from fl_tasks.secagg.agency import HeldShares, make_ack, make_keys, make_reveal
from fl_tasks.secagg.coordinator import make_manifest, open_sum
from fl_tasks.secagg.masking import add_streams, self_key
from fl_tasks.secagg.messages import Upload
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.quantize import encode_update
from fl_tasks.secagg.session import ClosedSet
from fl_tasks.secagg.shamir import split
from fl_tasks.secagg.wire import Header
from tests.secagg.flow import Flow

MODEL = b"m" * 32
DELTA = 1e-3  # hundreds of quantization steps


class Uploads(Mapping[int, bytes]):
    """id -> upload, made by the other process and read from a file when asked for."""

    def __init__(self, pipe: Connection, path: Path, n: int) -> None:
        self._pipe, self._path, self._n = pipe, path, n

    def __getitem__(self, member: int) -> bytes:
        self._pipe.send(member)
        self._pipe.recv()
        return self._path.read_bytes()

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._n))

    def __len__(self) -> int:
        return self._n

    def __contains__(self, member: object) -> bool:
        return isinstance(member, int) and member < self._n


def serve(pipe: Connection, path: Path, n: int, d: int, header: Header, seeds: list[bytes]) -> None:
    """Write the upload of every id that is asked for; ends with None.

    Pair masks cancel in the sum over everyone and the coordinator cannot tell: they are left out, or the uploads
    alone would take N^2 keystreams.
    """
    flow = Flow.of(n)
    update = encode_update(np.full(d, DELTA), 100, (0.1, 0.2), n, flow.roster.secagg, b"k" * 32)
    while (member := pipe.recv()) is not None:
        masked = update.copy()
        add_streams(masked, [self_key(seeds[member], header, member)])
        path.write_bytes(Upload.make(flow.signing[member], header, member, masked.tobytes()).encode())
        pipe.send(member)


def peak() -> int:
    """The largest resident set of this process so far, in bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(n: int, d: int, folder: Path) -> dict:
    """Decide and open one round of n agencies without loss."""
    flow, length = Flow.of(n), d + len(SLOTS)
    made = [make_keys(flow.party(i)) for i in range(n)]
    keys = {i: flow.setting.read_keys(message) for i, (message, _, _) in enumerate(made)}
    closed = ClosedSet(flow.setting, secrets.token_bytes(32), tuple(range(n)), keys)
    header = closed.header(1, MODEL)
    points = range(1, n + 1)
    b_shares = [split(rounds[0].b, flow.roster.t, points) for _, _, rounds in made]
    here, there = multiprocessing.get_context("spawn").Pipe()
    path = folder / "upload"
    arguments = (there, path, n, d, header, [rounds[0].b for _, _, rounds in made])
    maker = multiprocessing.get_context("spawn").Process(target=serve, args=arguments)
    maker.start()
    try:
        uploads = Uploads(here, path, n)
        before = peak()
        verdict = make_manifest(closed, flow.coordinator_key, header, uploads, length)
        assert len(verdict.survivors) == n
        manifest = closed.read_manifest(verdict.data, 1)
        acks = {i: make_ack(flow.party(i), verdict.data) for i in range(n)}
        reveals = {}
        for i in range(flow.roster.t):
            held = {owner: HeldShares(shares[i], shares[i]) for owner, shares in enumerate(b_shares)}
            reveals[i] = make_reveal(flow.party(i), closed, manifest, verdict.data, acks, held)
        opened, _ = open_sum(closed, 1, verdict.data, uploads, reveals, length)
        peak_bytes = peak()
        mean = opened.mean_delta
        assert abs(float(mean[0]) - DELTA) < 1e-5
        return {
            "peak_bytes": peak_bytes,
            "before_bytes": before,
            "peak_vectors": (peak_bytes - before) / (4 * length),
            "peak_with_mean_bytes": peak(),
        }
    finally:
        here.send(None)
        maker.join(timeout=60)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), Path(folder))))
