"""Parity with TensorFlow Federated's public algorithm."""

import pytest

from tests.parity.processes import children, stop


@pytest.fixture(scope="session", autouse=True)
def reap_the_oracles_workers():
    """TFF's executor starts a worker_binary that outlives its parent and listens: stop it by its id."""
    before = children()
    yield
    started = children() - before
    stop(started)
    assert not children() & started
