"""A secret that fails its check is reported with the shares that are off, as dealer/holder pairs, never one culprit."""

from __future__ import annotations

import dataclasses
import random
import secrets

import numpy as np
import pytest

from fl_tasks.secagg import coordinator, names
from fl_tasks.secagg.errors import InconsistentShares
from fl_tasks.secagg.messages import Reveal
from fl_tasks.secagg.session import manifest_hash
from fl_tasks.secagg.shamir import PRIME, SHARE_BYTES, lagrange_weights, points_off, share_value, split
from tests.secagg.flow import Flow

N, LENGTH = 7, 6
LOST = 6  # before its upload; t = 5 of 7, all others reveal


@pytest.fixture(scope="module")
def opened():
    """A round that is ready to be opened."""
    flow = Flow.of(N, n_c=2)
    closed = flow.set_up()
    updates = {i: np.full(LENGTH, i, dtype=np.uint32) for i in range(N) if i != LOST}
    everyone = tuple(range(N))
    flow.round(closed, 1, updates, model=b"m" * 32, acking=everyone, revealing=everyone)
    assert np.array_equal(flow.unmask(closed, 1, LENGTH), np.full(LENGTH, sum(updates), dtype=np.uint32))
    return flow, closed


def _unmask(opened, changes: dict[tuple[int, int], int], revealing=range(N)):
    """Open the round with (dealer, holder) -> what is added to the share, signed again by its holder."""
    flow, closed = opened
    data = flow.store[names.manifest(1)]
    reveals = {i: message for i, message in flow.files("r/1/reveal").items() if i in revealing}
    for (dealer, holder), change in changes.items():
        reveal = Reveal.decode(reveals[holder], lambda message: closed.member(message.sender), N)
        shares = list(reveal.shares)
        shares[dealer] = ((share_value(shares[dealer]) + change) % PRIME).to_bytes(SHARE_BYTES, "big")
        reveals[holder] = dataclasses.replace(reveal, shares=tuple(shares)).encode(flow.signing[holder])
    uploads = flow.files("r/1/up")
    return coordinator.unmask(closed, closed.read_manifest(data, 1), manifest_hash(data), uploads, reveals, LENGTH)


@pytest.mark.parametrize("dealer", [2, LOST], ids=["a seed", "a key"])
@pytest.mark.parametrize("change", [1, PRIME - 1, 2**255])
def test_a_wrong_share_is_named_with_its_dealer_and_its_holder(opened, dealer, change):
    with pytest.raises(InconsistentShares, match=rf"suspects \(dealer/holder\) {dealer}/0\. Of a pair either"):
        _unmask(opened, {(dealer, 0): change})


def test_a_holder_that_lies_about_everyone_is_named_with_each_dealer(opened):
    with pytest.raises(InconsistentShares, match="7 agencies") as raised:
        _unmask(opened, {(dealer, 3): 1 for dealer in range(N)})
    assert all(f"{dealer}/3" in str(raised.value) for dealer in range(N))


def test_with_exactly_t_reveals_nobody_can_be_named(opened):
    with pytest.raises(InconsistentShares, match="5 shares, 5 needed, are too few to tell"):
        _unmask(opened, {(2, 0): 1}, revealing=range(5))


def test_shares_of_another_secret_than_the_committed_one_name_the_dealer_with_every_holder(opened):
    with pytest.raises(InconsistentShares, match="agree on another secret; dealer 2 with every holder"):
        _unmask(opened, {(2, holder): 1 for holder in range(N)})


def test_shares_that_give_no_secret_at_all_are_named_too(opened):
    """2^256 and a little more are field elements, but no secrets."""
    flow, _ = opened
    secret = int.from_bytes(flow.secrets[2][0].b, "big")
    change = (2**256 + 5 - secret) * pow(lagrange_weights([1, 2, 3, 4, 5])[0], -1, PRIME) % PRIME
    with pytest.raises(InconsistentShares, match=r"suspects \(dealer/holder\) 2/0\."):
        _unmask(opened, {(2, 0): change})


def test_wrong_shares_beyond_the_first_t_do_not_disturb(opened):
    """Exactly t shares are used."""
    total, _ = _unmask(opened, {(2, 6): 1})
    assert np.array_equal(total, np.full(LENGTH, 15, dtype=np.uint32))


def test_shares_off_the_polynomial_are_found_up_to_half_of_the_spare_ones():
    """The oracle knows which were altered; beyond m >= t + 2e nothing wrong is claimed as the dealt secret."""
    chance = random.Random(5)
    for _ in range(300):
        m = chance.randint(1, 14)
        t, wrong = chance.randint(1, m), chance.randint(0, m)
        points = chance.sample(range(1, 201), m)
        secret = secrets.token_bytes(32)
        shares = {x: share_value(share) for x, share in zip(points, split(secret, t, points), strict=True)}
        altered = sorted(chance.sample(points, wrong))
        for x in altered:
            shares[x] = (shares[x] + 1 + secrets.randbelow(PRIME - 1)) % PRIME
        found = points_off(shares, t)
        if m >= t + 2 * wrong:
            assert found == (int.from_bytes(secret, "big"), tuple(altered))
        else:
            assert found is None or found[0] != int.from_bytes(secret, "big")
