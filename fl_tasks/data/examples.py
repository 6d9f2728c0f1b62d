"""Freezing a run's examples as npy files that training and evaluation map into memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import fsync_folder, sha256_file, write_atomic
from fl_tasks.contracts.config import SeriesConfig
from fl_tasks.contracts.data import Prepared, RowCounts, fit_examples, held_back_examples, prepared_path
from fl_tasks.data.series import Series
from fl_tasks.data.windows import FEATURES, Scale, Windows

Fill = Callable[[NDArray[np.float32], NDArray[np.float32], Scale], None]


def freeze(folder: Path, grid: Series, windows: Windows, config: SeriesConfig, rows: RowCounts) -> Prepared:
    """Write the examples and, last, the record that says they are whole.

    The same grid gives the same bytes. The examples are filled in place on the disk, one series at a time: memory
    holds one copy of the grid, not the examples.

    Args:
        folder: The agency's folder of the run.
        grid: What the windows were cut from.
        windows: At least one in each part.
        config: Window and horizons.
        rows: Where the raw rows went, for the record.

    Raises:
        DataRejected: If the values cannot be scaled.
    """
    scale = windows.scale()
    _write_part(fit_examples(folder), windows.fit_count, windows.fill_fit, scale, config)
    _write_part(held_back_examples(folder), windows.test_count, windows.fill_test, scale, config)
    prepared = Prepared(
        rows=rows,
        series=len(grid.names),
        fit_windows=windows.fit_count,
        test_windows=windows.test_count,
        mean=scale.mean,
        std=scale.std,
        sha256=examples_sha256(folder),
    )
    write_atomic(prepared_path(folder), prepared.model_dump_json(indent=1).encode())
    return prepared


def examples_sha256(folder: Path) -> str:
    """Return the hash over the hashes of fit/x, fit/y, test/x and test/y, in this order."""
    parts = (fit_examples(folder), held_back_examples(folder))
    files = [part / name for part in parts for name in ("x.npy", "y.npy")]
    return hashlib.sha256("".join(sha256_file(file) for file in files).encode("ascii")).hexdigest()


def _write_part(folder: Path, count: int, fill: Fill, scale: Scale, config: SeriesConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    shapes = {"x.npy": (count, config.input_steps, FEATURES), "y.npy": (count, config.target_steps)}
    # A name of its own for every process, so that two tries at one time cannot share a half-filled file.
    temporary = {name: folder / f".{name}.{os.getpid()}" for name in shapes}
    try:
        arrays = []
        for name, shape in shapes.items():
            temporary[name].touch(mode=0o600)
            arrays.append(np.lib.format.open_memmap(temporary[name], "w+", dtype=np.float32, shape=shape))
        fill(arrays[0], arrays[1], scale)
        for array in arrays:
            array.flush()
        for name, path in temporary.items():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, folder / name)
        fsync_folder(folder)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
