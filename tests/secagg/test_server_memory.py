"""The coordinator holds one upload beside the sum, however many agencies and however many hostile uploads there are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.messages import Upload
from fl_tasks.secagg.parameters import SLOTS
from fl_tasks.secagg.quantize import encode_update
from tests.secagg.flow import Flow

N, D = 6, 500_000
LENGTH = D + len(SLOTS)
VECTOR = 4 * LENGTH


class Read(Mapping[int, bytes]):
    """Uploads as a store gives them: a new object at every reading."""

    def __init__(self, messages: dict[int, bytes]) -> None:
        self._messages = messages
        self.readings = 0

    def __getitem__(self, member: int) -> bytes:
        self.readings += 1
        return memoryview(self._messages[member]).tobytes()  # a copy

    def __iter__(self) -> Iterator[int]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, member: object) -> bool:
        return member in self._messages


@pytest.fixture(scope="module")
def uploaded():
    flow = Flow.of(N)
    closed = flow.set_up()
    update = encode_update(np.full(D, 1e-3), 100, (0.1, 0.2), N, flow.roster.secagg, b"k" * 32)
    everyone = tuple(range(N))
    flow.round(closed, 1, dict.fromkeys(range(N - 1), update), model=b"m" * 32, acking=everyone, revealing=everyone)
    return flow, closed


def _peak_vectors(work) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / VECTOR
    finally:
        tracemalloc.stop()


def test_opening_the_sum_holds_the_sum_and_one_upload(uploaded):
    flow, closed = uploaded
    uploads = Read(flow.files("r/1/up"))
    result = []

    def work() -> None:
        manifest = flow.store[names.manifest(1)]
        opened, _ = coordinator.open_sum(closed, 1, manifest, uploads, flow.files("r/1/reveal"), LENGTH)
        result.append(opened)

    assert _peak_vectors(work) < 2.1
    assert uploads.readings == N - 1
    assert result[0].mean_delta[:3] == pytest.approx(1e-3, rel=1e-4)


def test_the_manifest_holds_one_upload_even_if_all_are_refused(uploaded):
    flow, closed = uploaded
    forged = {i: data[:-1] + bytes([data[-1] ^ 1]) for i, data in flow.files("r/1/up").items()}
    header = closed.header(1, b"m" * 32)
    verdicts = []

    def work() -> None:
        verdicts.append(coordinator.make_manifest(closed, flow.coordinator_key, header, Read(forged), LENGTH))

    assert _peak_vectors(work) < 2.1
    assert verdicts[0].burnt
    assert set(verdicts[0].refused) == set(range(N - 1))


def test_an_upload_is_read_without_a_copy_of_its_payload(uploaded):
    flow, closed = uploaded
    data = flow.files("r/1/up")[0]
    assert _peak_vectors(lambda: Upload.decode(data, closed.member, VECTOR)) < 0.01
