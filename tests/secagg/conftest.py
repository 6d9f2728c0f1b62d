"""Fixtures of the protocol's tests."""

from __future__ import annotations

import numpy as np
import pytest

from tests.secagg.federation import Federation

LENGTH = 9


@pytest.fixture
def update() -> np.ndarray:
    return np.arange(LENGTH, dtype=np.uint32)


@pytest.fixture
def federation(tmp_path) -> Federation:
    """Four agencies, t = 3, set up and closed."""
    made = Federation(tmp_path, 4)
    made.set_up()
    return made
