"""Secure aggregation: masking and unmasking, beside Flower and beside the machine's limit.

Columns and rules: docs/performance.md. Every opened sum is compared with the plain sum.
"""

from __future__ import annotations

import json
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fl_tasks.secagg.agency import HeldShares, RoundSecret, make_ack, make_keys, make_reveal, make_shares
from fl_tasks.secagg.coordinator import make_list, remaining_masks
from fl_tasks.secagg.masking import add_streams, mask_keys
from fl_tasks.secagg.messages import Manifest, Upload
from fl_tasks.secagg.quantize import encode_update
from fl_tasks.secagg.session import ClosedSet
from fl_tasks.secagg.shamir import share_value, split
from tests.benchmarks import limit
from tests.benchmarks.peers import environment
from tests.secagg.flow import Flow

MODEL = b"m" * 32
PEER = Path(__file__).parent / "peers" / "flower.py"
PEER_TIME = 15 * 60  # seconds after the start; no peer call begins later, so that all ends within 25 minutes
LONG = 1.0  # seconds; after these a figure is the median of what was measured
Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """One row: agencies, parameters, share of agencies lost before their upload; with Flower beside it or not."""

    n: int
    d: int
    lost: float
    peer: bool

    @property
    def silent(self) -> range:
        """Ids that are lost: the highest, which have subtracted most of their streams."""
        return range(self.n - round(self.lost * self.n), self.n)


WORKS = tuple(
    Work(n, d, lost, peer=n <= 100 and d <= 1_000_000)
    for n in (10, 50, 100, 200)
    for d in (100_000, 1_000_000, 10_000_000)
    for lost in (0.0, 0.2)
    if d < 10_000_000 or n <= 50
)
MEMORY = Work(200, 10_000_000, 0.0, peer=False)


def rows(say: Say, works: tuple[Work, ...] = WORKS, memory: Work = MEMORY) -> Iterator[dict]:
    """Measure all rows, those of one N together: a session's shares are dealt once."""
    python = environment("flower", say) if any(work.peer for work in works) else None
    session: Session | None = None
    with Peer(python, works, say) as peer:
        for work in works:
            if session is None or session.n != work.n:
                session = Session(work.n)
            yield _row(session, work, peer, say)
        session = session if session is not None and session.n == memory.n else Session(memory.n)
        row = _row(session, memory, peer, say)
        row["work"]["case"] = "server_memory"
        row["ours"] |= measure_memory(memory.n, memory.d)
        yield row


class Session:
    """N agencies after S4, without the files: every secret and every share is there."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.flow = Flow.of(n)
        made = [make_keys(self.flow.party(i)) for i in range(n)]
        self.encryption = [private for _, private, _ in made]
        self.secrets: list[RoundSecret] = [rounds[0] for _, _, rounds in made]
        self.files = {i: message for i, (message, _, _) in enumerate(made)}
        keys = {i: self.flow.setting.read_keys(message) for i, message in self.files.items()}
        self.closed = ClosedSet(self.flow.setting, secrets.token_bytes(32), tuple(range(n)), keys)
        self.header = self.closed.header(1, MODEL)
        points, t = range(1, n + 1), self.flow.roster.t
        # dealer -> one share a holder
        self.b_shares = [split(secret.b, t, points) for secret in self.secrets]
        self.k_shares = [split(secret.k, t, points) for secret in self.secrets]
        self.setup = median(self._set_up)

    def _set_up(self) -> None:
        """S1 and S2 of one agency for one round; it reads everybody's S1."""
        make_keys(self.flow.party(0))
        everyone = frozenset(range(self.n))
        listed, _ = make_list(self.flow.setting, self.flow.coordinator_key, everyone, self.files)
        party = self.flow.party(0)
        make_shares(party, listed, self.files, self.files[0], self.encryption[0], [self.secrets[0]])

    def keys_of(self, i: int) -> tuple[list[bytes], list[bytes]]:
        """The keys of all streams of an agency, agreed on anew."""
        publics = {peer: self.closed.keys[peer].round_keys[0] for peer in self.closed.ids}
        private = X25519PrivateKey.from_private_bytes(self.secrets[i].k)
        return mask_keys(private, self.secrets[i].b, publics, self.header, i)

    def revealed_by(self, holder: int, survivors: list[int]) -> tuple[bytes, ...]:
        """One share of everyone: of b if it survived, else of k."""
        alive = set(survivors)
        return tuple((self.b_shares if i in alive else self.k_shares)[i][holder] for i in range(self.n))

    def held_by(self, holder: int) -> dict[int, HeldShares]:
        """What a holder got in S2."""
        return {i: HeldShares(self.b_shares[i][holder], self.k_shares[i][holder]) for i in range(self.n)}


def _row(session: Session, work: Work, peer: Peer, say: Say) -> dict:
    say(f"bench: N = {work.n}, d = {work.d:,}, lost {work.lost:.0%}")
    theirs = peer.ask(work)
    ours, limits = _measure(session, work)
    compared = ("client_mask", "server_unmask")
    return {
        "work": {"N": work.n, "d": work.d, "lost": work.lost},
        "ours": ours,
        "peer": theirs,
        "ratio": {key: theirs[key] / ours[key] for key in compared} if theirs else {},
        "limit_ratio": {key: ours[key] / limits[key] for key in compared},
    }


def _measure(session: Session, work: Work) -> tuple[dict, dict]:
    """Seconds of every step of ours, and of the limits of two of them; checks the sum."""
    flow, config = session.flow, session.flow.roster.secagg
    delta = np.random.default_rng(1).normal(0, 1e-4, work.d)
    survivors = [i for i in range(work.n) if i not in work.silent]
    rounding = secrets.token_bytes(32)

    def mask() -> None:
        masked = encode_update(delta, 100, (0.1, 0.2), work.n, config, rounding)
        add_streams(masked, *session.keys_of(0))

    update = encode_update(delta, 100, (0.1, 0.2), work.n, config, rounding)
    total = np.zeros_like(update)
    for i in survivors:
        total += update
        add_streams(total, *session.keys_of(i))
    manifest = Manifest(session.header, tuple((i, bytes(32), bytes(64)) for i in survivors))
    revealed = {i: session.revealed_by(i, survivors) for i in survivors[: flow.roster.t]}
    shares = {i: tuple(share_value(share) for share in found) for i, found in revealed.items()}

    def unmask() -> None:
        add_streams(total, *remaining_masks(session.closed, manifest, shares))

    unmask()
    assert np.array_equal(total, update * np.uint32(len(survivors))), "the opened sum is not the plain sum"

    data = manifest.encode(flow.coordinator_key)
    acks = {i: make_ack(flow.party(i), data) for i in survivors}
    held = session.held_by(0)
    client, client_limit = against_limit(mask, work.n, update.size)
    server, server_limit = against_limit(unmask, len(survivors) * (1 + len(work.silent)), update.size)
    ours = {
        "setup": session.setup,
        "client_mask": client,
        "reveal": median(lambda: make_reveal(flow.party(0), session.closed, manifest, data, acks, held)),
        "server_unmask": server,
        "upload_bytes": Upload.HEAD_BYTES + update.nbytes,
    }
    return ours, {"client_mask": client_limit, "server_unmask": server_limit}


def median(work: Callable[[], object]) -> float:
    """Median seconds of up to five calls."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < 5 and sum(seconds) < LONG):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def against_limit(work: Callable[[], object], streams: int, words: int) -> tuple[float, float]:
    """Median seconds of work, and of the machine's limit for so many keystreams of so many words.

    They take turns, so that whatever else the machine does falls on both. Of the limit's chunk sizes the best counts.
    """
    ours: list[float] = []
    limits: dict[int, list[float]] = {chunk: [] for chunk in limit.CHUNKS}
    while len(ours) < 3 or (len(ours) < 15 and sum(ours) < LONG):
        start = time.perf_counter()
        work()
        ours.append(time.perf_counter() - start)
        for chunk, seconds in limits.items():
            seconds.append(limit.seconds(streams, words, chunk))
    return statistics.median(ours), min(statistics.median(seconds) for seconds in limits.values())


class Peer:
    """Flower in its own process, asked row by row."""

    def __init__(self, python: Path | None, works: tuple[Work, ...], say: Say) -> None:
        self._works, self._say = works, say
        self._until = time.monotonic() + PEER_TIME
        self._process = python and subprocess.Popen(
            [python, PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.stdin.close()
            self._process.wait(timeout=60)

    def ask(self, work: Work) -> dict:
        """Its seconds for one row; nothing where it is not measured."""
        if not work.peer or not self._process:
            return {}
        if time.monotonic() > self._until:
            self._say("bench: no time is left for Flower in this row")
            return {}
        ever_lost = {i for other in self._works if other.n == work.n for i in other.silent}
        t = 2 * work.n // 3 + 1
        job = {"n": work.n, "d": work.d, "t": t, "lost": list(work.silent), "ever_lost": sorted(ever_lost)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def measure_memory(n: int, d: int) -> dict:
    """Bytes that a coordinator's process needs for one round, by the kernel's own count."""
    command = [sys.executable, "-m", "tests.benchmarks.server_memory", str(n), str(d)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
