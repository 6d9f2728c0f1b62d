"""Parity with TensorFlow Federated's public algorithm: runs in the learning environment only."""

import importlib.util

import pytest

if importlib.util.find_spec("tensorflow_federated") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def reap_the_oracles_workers():
    """TFF's executor starts a worker_binary that outlives its parent and listens: stop it by its id."""
    from processes import children, stop

    before = children()
    yield
    started = children() - before
    stop(started)
    assert not children() & started
