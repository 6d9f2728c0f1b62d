from __future__ import annotations

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
