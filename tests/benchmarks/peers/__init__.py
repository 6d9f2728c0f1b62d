"""Other systems, each in an environment of its own that is made from PyPI when it is first needed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
UV = REPOSITORY / ".tools" / "bin" / "uv"


def environment(name: str, say: Callable[[str], None]) -> Path:
    """Make the environment of <name>.txt, whose packages are pinned by version and hash; return its Python.

    Raises:
        subprocess.CalledProcessError: If a package cannot be had; a benchmark without its peer would be half a one.
    """
    pins = Path(__file__).parent / f"{name}.txt"
    folder = REPOSITORY / "var" / "bench" / f"peer-{name}"
    python, made = folder / "bin" / "python", folder / "pins.txt"
    if not made.exists() or made.read_bytes() != pins.read_bytes():
        say(f"bench: the environment of {name}, from PyPI")
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", "3.11", folder], check=True)
        subprocess.run(
            [UV, "pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", pins], check=True
        )
        made.write_bytes(pins.read_bytes())
    return python
