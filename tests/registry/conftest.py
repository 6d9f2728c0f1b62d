"""Fixtures of the registry's tests."""

from __future__ import annotations

import pytest

from tests.registry.trained_run import Installation


@pytest.fixture
def installation(tmp_path, monkeypatch) -> Installation:
    """A new installation whose MLflow is the default one."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Installation(tmp_path).install()
