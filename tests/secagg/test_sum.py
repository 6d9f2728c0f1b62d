"""The masked sum equals the plain sum exactly in the ring, whoever is lost, at whichever step."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.secagg.errors import TooFewAgencies
from fl_tasks.secagg.parameters import default_threshold
from tests.secagg.federation import Federation
from tests.secagg.mutation import MEMORY

STEPS = ("keys", "shares", "ready", "upload", "ack", "reveal")


@st.composite
def _losses(draw):
    """N, who is lost at which step with at least t left at the end, the vector's length."""
    n = draw(st.integers(3, 12))
    spare = n - default_threshold(n)
    lost = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=spare))
    lost_at = {i: draw(st.sampled_from(STEPS)) for i in lost}
    length = draw(st.sampled_from([1, 5, 7, 1000, 32_768, 32_769]))
    return n, lost_at, length, draw(st.integers(0, 2**32 - 1))


def _run(folder: Path, n: int, lost_at: dict[int, str], length: int, seed: int) -> tuple[Federation, dict]:
    federation = Federation(folder, n)
    federation.set_up(lost_at)
    random = np.random.default_rng(seed)
    in_set = federation.closed().ids
    updates = {}
    for i in in_set:
        if lost_at.get(i) != "upload":
            updates[i] = random.integers(0, 2**32, length, dtype=np.uint32)
            federation.upload(i, 1, updates[i])
    assert not federation.manifest(1, length).burnt
    acking = [i for i in in_set if lost_at.get(i) not in ("upload", "ack")]
    for i in acking:
        federation.ack(i, 1)
    for i in acking:
        if lost_at.get(i) != "reveal":
            federation.reveal(i, 1)
    return federation, updates


@settings(max_examples=40, deadline=None)
@given(_losses())
def test_masked_sum_equals_plain_sum_for_every_survivor_set(case):
    n, lost_at, length, seed = case
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        federation, updates = _run(Path(folder), n, lost_at, length, seed)
        plain = np.zeros(length, dtype=np.uint32)
        for update in updates.values():
            plain += update
        assert np.array_equal(federation.unmask(1, length), plain)


def test_an_upload_tells_nothing_of_its_update(tmp_path):
    """Without the peers' streams the payload of a zero update is as random as any: no word repeats its plain value."""
    federation = Federation(tmp_path, 3)
    federation.set_up()
    update = np.zeros(4096, dtype=np.uint32)
    payload = np.frombuffer(federation.upload(0, 1, update)[-4 * 4096 :], dtype="<u4")
    assert np.count_nonzero(payload == 0) < 3
    assert 0.45 < np.unpackbits(payload.view(np.uint8)).mean() < 0.55


def test_an_agency_lost_in_one_round_takes_part_in_the_next(tmp_path):
    federation = Federation(tmp_path, 4)
    federation.set_up()
    update = np.arange(9, dtype=np.uint32)
    for round_, present in ((1, (0, 1, 3)), (2, (0, 1, 2, 3))):
        for i in present:
            federation.upload(i, round_, update)
        federation.manifest(round_, 9)
        for i in present:
            federation.ack(i, round_)
        for i in present:
            federation.reveal(i, round_)
        assert np.array_equal(federation.unmask(round_, 9), update * np.uint32(len(present)))


def test_fewer_than_t_reveals_open_nothing(tmp_path):
    federation = Federation(tmp_path, 4)
    federation.set_up()
    for i in range(4):
        federation.upload(i, 1, np.arange(9, dtype=np.uint32))
    federation.manifest(1, 9)
    for i in range(4):
        federation.ack(i, 1)
    for i in range(2):
        federation.reveal(i, 1)
    with pytest.raises(TooFewAgencies, match="2 agencies revealed, 3 are needed"):
        federation.unmask(1, 9)
    federation.reveal(2, 1)  # however late: the round stays open
    assert np.array_equal(federation.unmask(1, 9), np.arange(9, dtype=np.uint32) * np.uint32(4))


def test_too_few_uploads_burn_the_round(tmp_path):
    federation = Federation(tmp_path, 4)
    federation.set_up()
    for i in range(2):
        federation.upload(i, 1, np.arange(9, dtype=np.uint32))
    assert federation.manifest(1, 9).burnt
