"""The split: by keyed hash, the same in every run, and no household on both sides."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.table_config import TableSplitConfig
from fl_tasks.data.tables.declaration import declare
from fl_tasks.data.tables.deidentify import split_places, split_secret
from fl_tasks.data.tables.examples import parts
from fl_tasks.data.tables.table import Table, texts
from tests.data.tables.declared import COLUMNS, config, source

KEYED = config(({"column": "household", "role": "key"}, *COLUMNS))
SPLIT = TableSplitConfig(train=0.7, validation=0.1, test=0.2)
SECRET = split_secret(b"s" * 32, "welfare")


def places(households, secret=SECRET):
    numbers = np.arange(len(households), dtype=np.float64)
    table = Table({"household": texts([str(one) for one in households]), "age": numbers})
    return split_places(table, declare(KEYED, source()), secret)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.booleans())
def test_no_household_is_in_two_parts_and_no_row_in_none(households, hold):
    found = parts(places(households), SPLIT, hold_validation=hold)
    of_row = np.stack(list(found.values())).astype(int)
    assert (of_row.sum(axis=0) == 1).all()
    for one in set(households):
        rows = np.array([household == one for household in households])
        assert len(set(of_row[:, rows].argmax(axis=0))) == 1


def test_a_row_has_one_place_whatever_other_rows_there_are():
    assert places([1, 2, 3, 4])[1:].tolist() == places([2, 3, 4]).tolist()


def test_another_secret_or_scenario_splits_differently():
    other = split_secret(b"s" * 32, "medical")
    assert places([1, 2, 3]).tolist() != places([1, 2, 3], other).tolist()
    assert split_secret(b"t" * 32, "welfare") != SECRET


def test_the_parts_have_the_sizes_that_were_asked_for():
    found = parts(places(range(20_000)), SPLIT, hold_validation=True)
    shares = {part: mask.mean() for part, mask in found.items()}
    assert abs(shares["fit"] - 0.7) < 0.02
    assert abs(shares["validation"] - 0.1) < 0.01
    assert abs(shares["test"] - 0.2) < 0.02


def test_without_a_key_rows_that_are_alike_fall_into_one_part():
    table = Table({"age": np.array([30.0, 30.0, 31.0]), "work": texts(["yes", "yes", "yes"])})
    first, second, third = split_places(table, declare(config(), source()), SECRET)
    assert first == second != third
