"""Freezing a run's examples as npy files that training and evaluation map into memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import fsync_folder, make_private_folder, sha256_file, write_atomic
from fl_tasks.contracts.data import (
    Prepared,
    RowCounts,
    fit_examples,
    held_back_examples,
    prepared_path,
    validation_examples,
)
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.data.series import Series
from fl_tasks.data.value_scale import Scale, model_scale
from fl_tasks.data.windows import Part, Windows

_FOLDERS: dict[Part, Callable[[Path], Path]] = {
    "fit": fit_examples,
    "validation": validation_examples,
    "test": held_back_examples,
}


def freeze(
    folder: Path,
    grid: Series,
    windows: Windows,
    config: SeriesConfig,
    rows: RowCounts,
    *,
    unit: str,
    population: int | None = None,
) -> Prepared:
    """Write the examples and, last, the record that says they are whole.

    The same grid gives the same bytes. The examples are filled in place on the disk, one series at a time: memory
    holds one copy of the grid, not the examples.

    Args:
        folder: The agency's folder of the run.
        grid: What the windows were cut from.
        windows: At least one in each part that the run uses.
        config: Window and horizons.
        rows: Where the raw rows went, for the record.
        unit: Of the grid's values.
        population: Inhabitants that they are counts of; needed where the model sees rates.

    Raises:
        DataRejected: If the values cannot be scaled.
        ConfigError: If the population is needed and is not there.
    """
    own = windows.own_scale()
    scale = model_scale(config, unit, own, population)
    for part in windows.parts:
        _write_part(part_examples(folder, part), part, windows, scale, config)
    prepared = Prepared(
        rows=rows,
        series=len(grid.names),
        fit_windows=windows.count("fit"),
        validation_windows=windows.count("validation"),
        test_windows=windows.count("test"),
        mean=scale.mean,
        std=scale.std,
        level=own.mean,
        spread=own.std,
        unit=unit,
        population=population,
        sha256=examples_sha256(folder),
    )
    write_atomic(prepared_path(folder), prepared.model_dump_json(indent=1).encode())
    return prepared


def part_examples(folder: Path, part: Part) -> Path:
    """Return the folder of a part's examples, below the agency's folder of the run."""
    return _FOLDERS[part](folder)


def examples_sha256(folder: Path) -> str:
    """Return the hash over names and hashes of the example files, in order of name."""
    files = sorted((folder / "examples").glob("*/[!.]*.npy"))
    lines = [f"{file.parent.name}/{file.name} {sha256_file(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()


def _write_part(folder: Path, part: Part, windows: Windows, scale: Scale, config: SeriesConfig) -> None:
    count, ahead = windows.count(part), config.target_steps
    shapes: dict[str, tuple[int, ...]] = {"x": (count, config.input_steps, config.features), "y": (count, ahead)}
    # With quantiles, how far the naive forecasts were off in the fit part says how sure they are.
    seasonal = part == "test" or (part == "fit" and bool(config.quantiles))
    if seasonal:
        shapes["season"] = (count, ahead)
    if part == "test":
        shapes["hour"] = (count,)
    with _files(folder, shapes) as arrays:
        windows.fill(part, arrays["x"], arrays["y"], scale)
        if seasonal:
            windows.fill_season(part, arrays["season"], scale)
        if part == "test":
            windows.fill_hour(arrays["hour"])


@contextmanager
def _files(folder: Path, shapes: dict[str, tuple[int, ...]]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Give arrays that lie in files; on leaving without an error they take their names, durably.

    `hour` is int8, everything else float32.
    """
    make_private_folder(folder)
    # A name of its own for every process, so that two tries at one time cannot share a half-filled file.
    temporary = {name: folder / f".{name}.npy.{os.getpid()}" for name in shapes}
    try:
        arrays: dict[str, np.memmap[Any, Any]] = {}
        for name, shape in shapes.items():
            temporary[name].touch(mode=0o600)
            kind = np.int8 if name == "hour" else np.float32
            arrays[name] = np.lib.format.open_memmap(temporary[name], "w+", dtype=kind, shape=shape)
        yield arrays
        for array in arrays.values():
            array.flush()
        for name, path in temporary.items():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, folder / f"{name}.npy")
        fsync_folder(folder)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
