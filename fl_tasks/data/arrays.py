"""Arrays as npy files at the agency, for the learning process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array of plain numbers whole or not at all, readable by the owner only."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_atomic(path, content.getvalue())
