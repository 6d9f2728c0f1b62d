"""The closed set is found fast whatever colluding agencies deny, and is the largest where that decides."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from fl_tasks.secagg.covering import largest_covered_set
from fl_tasks.secagg.errors import TooFewAgencies

N, T = 200, 134
COLLUDERS = range(N - T)


def _covers(denials) -> dict[int, frozenset[int]]:
    held = {i: set(range(N)) for i in range(N)}
    for i, j in denials:
        held[i].discard(j)
    return {i: frozenset(ids | {i}) for i, ids in held.items()}


def _covered(ids, covers) -> bool:
    return all(set(ids) <= covers[i] for i in ids)


def _most_pairs(denials: dict[int, list[int]]) -> int:
    """Pairs of one colluder and one honest agency that it denies, each in one pair at most (Kuhn)."""
    partner: dict[int, int] = {}

    def find(colluder: int, seen: set[int]) -> bool:
        for honest in denials[colluder]:
            if honest not in seen:
                seen.add(honest)
                if honest not in partner or find(partner[honest], seen):
                    partner[honest] = colluder
                    return True
        return False

    return sum(find(colluder, set()) for colluder in denials)


@pytest.mark.parametrize("denied", [67, 70, 90, 134])
@pytest.mark.parametrize("each", [1, 2, 3, 4, 5, 20, 66, 67])
def test_colluders_who_deny_honest_shares_are_left_out_and_nobody_else(each, denied):
    """66 of 200 each deny the shares of some of the honest. Koenig: of every pair one has to go, and no more."""
    chance = random.Random(1)
    some = range(len(COLLUDERS), len(COLLUDERS) + denied)
    denials = {c: chance.sample(some, each) for c in COLLUDERS}
    covers = _covers((c, h) for c, ids in denials.items() for h in ids)
    started = time.process_time()
    closed = largest_covered_set(covers, T)
    assert time.process_time() - started < 20
    assert _covered(closed, covers)
    assert len(closed) == N - _most_pairs(denials)


@pytest.mark.parametrize("seed", range(20))
def test_small_sets_are_the_largest_with_the_lowest_ids(seed):
    """The oracle tries all sets."""
    chance = random.Random(seed)
    for _ in range(20):
        n, share = chance.randint(3, 9), chance.random()
        covers = {i: frozenset(j for j in range(n) if i == j or chance.random() < share) for i in range(n)}
        sets = [ids for size in range(1, n + 1) for ids in itertools.combinations(range(n), size)]
        sets = [ids for ids in sets if _covered(ids, covers)]
        size = max(map(len, sets))
        assert largest_covered_set(covers, 1) == min(ids for ids in sets if len(ids) == size)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.3, 0.9])
def test_agencies_that_deny_at_random_end_in_a_covered_set_in_bounded_time(share):
    chance = random.Random(1)
    covers = _covers((i, j) for i in range(N) for j in range(N) if i != j and chance.random() < share)
    started = time.process_time()
    closed = largest_covered_set(covers, 1)
    assert time.process_time() - started < 20
    assert _covered(closed, covers)
    assert len(closed) >= 2


def test_everyone_who_denies_everyone_ends_in_a_named_error():
    covers = _covers((i, j) for i in range(N) for j in range(N))
    with pytest.raises(TooFewAgencies, match="no 134 of them"):
        largest_covered_set(covers, T)


def test_of_two_that_deny_each_other_the_lower_id_stays():
    covers = _covers((i, i + 100) for i in range(60))
    assert largest_covered_set(covers, T) == tuple(i for i in range(N) if not 100 <= i < 160)
