"""The same training under the real secure-aggregation protocol: equal to the quantization step."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from fl_tasks.contracts.tensors import flatten, unflatten
from fl_tasks.secagg import names
from fl_tasks.secagg.coordinator import open_sum
from fl_tasks.secagg.parameters import SLOTS, delta_encoding
from fl_tasks.secagg.quantize import encode_update
from tests.parity.oracle import ROUNDS, Case, oracle_rounds, our_rounds, plain_mean
from tests.secagg.federation import Federation, secagg_config

AGENCIES = 3
CONFIG = secagg_config(AGENCIES, clip=5.0)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class MaskedMean:
    """The weighted mean by way of every party's real state machine; compares itself with the plain mean."""

    def __init__(self, folder):
        self._federation = Federation(Path(folder), AGENCIES, r_max=ROUNDS, config=CONFIG)
        self._federation.set_up()
        self._round = 0

    def __call__(self, updates):
        self._round += 1
        federation, round_ = self._federation, self._round
        length = flatten(updates[0].delta).size + len(SLOTS)
        for i, update in enumerate(updates):
            key = bytes([round_, i]) * 16
            encoded = encode_update(flatten(update.delta), update.examples, (update.loss, 0.0), AGENCIES, CONFIG, key)
            federation.upload(i, round_, encoded)
        federation.manifest(round_, length)
        for step in (federation.ack, federation.reveal):
            for i in range(AGENCIES):
                step(i, round_)
        opened, refused = open_sum(
            federation.closed(),
            round_,
            federation.store[names.manifest(round_)],
            federation.by_id(f"r/{round_}/up/"),
            federation.by_id(f"r/{round_}/reveal/"),
            length,
        )
        assert not refused
        examples = sum(update.examples for update in updates)
        assert (opened.members, opened.examples, opened.clipped) == (AGENCIES, examples, 0)
        self._compare(opened.mean_delta, updates, examples)
        return unflatten(opened.mean_delta, updates[0].delta)

    def _compare(self, masked, updates, examples):
        """Each agency rounds by less than one step; the sum is divided by the summed weight."""
        exact = np.average([flatten(u.delta) for u in updates], axis=0, weights=[u.examples for u in updates])
        step = 1 / delta_encoding(AGENCIES, CONFIG).scale
        bound = AGENCIES * step / (examples / CONFIG.n_ref)
        assert np.abs(masked - exact).max() <= bound
        assert bound < 1e-6  # else the bound would say nothing
        assert np.abs(flatten(plain_mean(updates)) - exact).max() < 1e-6


@pytest.mark.parametrize(
    "case",
    [Case("gru", "adam", "sgd"), Case("mlp", "sgd", "sgd", local_epochs=2), Case("cnn", "sgd", "sgd")],
    ids=["gru", "mlp", "cnn"],
)
def test_masked_rounds_equal_tffs_federated_averaging(case):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        ours = our_rounds(case, MaskedMean(folder))
    theirs = oracle_rounds(case)
    assert len(ours) == len(theirs) == ROUNDS
    for mine, reference in zip(ours, theirs, strict=True):
        for name, expected in reference.items():
            np.testing.assert_allclose(mine[name], expected, rtol=0, atol=2e-6, err_msg=name)
