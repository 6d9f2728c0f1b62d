"""One prepared federation a module, copied for every test: four agencies, t = 3, one of them may collude."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.attacked import FRESH, Attacked
from tests.secagg.federation import secagg_config

# In memory where there is such a disk: every step of every agency waits for the disk, as it must.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def _fresh_processes() -> Iterator[None]:
    yield
    FRESH.stop()


@pytest.fixture(scope="session")
def _prepared() -> Iterator[Attacked]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        made = Attacked(Path(folder), 4, config=secagg_config(4, n_c=1))
        made.set_up()
        yield made


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder of this test."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def fresh(memory) -> Attacked:
    """Nothing was sent yet."""
    return Attacked(memory, 4, config=secagg_config(4, n_c=1))


@pytest.fixture
def federation(memory, _prepared) -> Attacked:
    """Set up and closed over all four."""
    return _prepared.copy_to(memory)
