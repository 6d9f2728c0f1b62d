"""Commands of `fl` in this process, and what they left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from fl_tasks.__main__ import main


@dataclass(frozen=True)
class Said:
    """What a command left."""

    code: int
    out: str
    error: str

    @property
    def last_word(self) -> str:
        return self.out.split()[-1]


def say(
    words: Sequence[str], env: Mapping[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Said:
    """Run a command with some variables set."""
    for name, value in env.items():
        monkeypatch.setenv(name, str(value))
    capsys.readouterr()
    code = main(list(words))
    said = capsys.readouterr()
    return Said(code, said.out, said.err)
