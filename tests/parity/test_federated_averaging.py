"""Federated averaging, agency by agency in this package, against TFF's own build_weighted_fed_avg."""

import numpy as np
import pytest

from tests.parity.oracle import ROUNDS, Case, oracle_rounds, our_rounds

TOLERANCE = 1e-6

GRU = [Case("gru", "adam", "sgd"), Case("gru", "sgd", "yogi"), Case("gru", "yogi", "adam")]
MLP = [Case("mlp", "sgd", "sgd"), Case("mlp", "adam", "yogi", local_epochs=2), Case("mlp", "yogi", "adam")]

CNN = [Case("cnn", "sgd", "sgd"), Case("cnn", "adam", "sgd", local_epochs=2), Case("cnn", "adam", "yogi")]


def check(case: Case) -> None:
    ours, theirs = our_rounds(case), oracle_rounds(case)
    assert len(ours) == len(theirs) == ROUNDS
    for mine, reference in zip(ours, theirs, strict=True):
        assert list(mine) == list(reference)
        for name, expected in reference.items():
            np.testing.assert_allclose(mine[name], expected, rtol=0, atol=TOLERANCE, err_msg=f"{case} {name}")


@pytest.mark.parametrize("case", GRU, ids=str)
def test_rounds_equal_tffs_federated_averaging_gru(case):
    check(case)


@pytest.mark.parametrize("case", MLP, ids=str)
def test_rounds_equal_tffs_federated_averaging_mlp(case):
    check(case)


@pytest.mark.parametrize("case", CNN, ids=str)
def test_rounds_equal_tffs_federated_averaging_cnn(case):
    check(case)
