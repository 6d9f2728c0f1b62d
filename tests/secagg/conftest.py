"""Fixtures of the protocol's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.secagg.federation import Federation
from tests.secagg.mutation import MEMORY

LENGTH = 9


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where there is such a disk: every journaled step waits for it, as it must."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def update() -> np.ndarray:
    return np.arange(LENGTH, dtype=np.uint32)


@pytest.fixture
def federation(tmp_path) -> Federation:
    """Four agencies, t = 3, set up and closed."""
    made = Federation(tmp_path, 4)
    made.set_up()
    return made
