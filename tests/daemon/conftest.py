from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.serving import Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def serve(*words: str, folder: Path | None = None) -> Served:
        made.append(Served(folder or tmp_path / "home", *words))
        made[-1].folder.mkdir(parents=True, exist_ok=True)
        return made[-1]

    yield serve
    for one in made:
        one.end()


@pytest.fixture(scope="module")
def others() -> Iterator[Path]:
    """A folder that every user can get to; for tests that act as several users, which only root can."""
    if os.getuid() != 0:
        pytest.skip("not verified: only root can act as several users")
    folder = Path(tempfile.mkdtemp(prefix="huiliu-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
