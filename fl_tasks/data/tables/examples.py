"""Freezing a table's examples as npy files that training and evaluation map into memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import fsync_folder, make_private_folder, write_atomic
from fl_tasks.contracts.data import PreparedTable, RowCounts, held_back_groups, prepared_path
from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.table_config import TableSplitConfig
from fl_tasks.data.examples import examples_sha256, part_examples
from fl_tasks.data.windows import Part


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as npy, whole or not at all, readable by the owner only."""
    make_private_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


def parts(
    places: NDArray[np.float64], split: TableSplitConfig, *, hold_validation: bool
) -> dict[Part, NDArray[np.bool_]]:
    """Return the rows of each part, masks of shape (n,).

    Args:
        places: Shape (n,), each row's place in the split, from 0 to below 1.
        split: Shares.
        hold_validation: Whether the validation rows are held back for early stop; else the fit takes them.
    """
    first, second = split.train, split.train + split.validation
    if not hold_validation:
        return {"fit": places < second, "test": places >= second}
    return {
        "fit": places < first,
        "validation": (places >= first) & (places < second),
        "test": places >= second,
    }


def freeze(
    folder: Path,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    chosen: Mapping[Part, NDArray[np.bool_]],
    rows: RowCounts,
    *,
    groups: NDArray[np.int16] | None,
    names: tuple[str, ...],
) -> PreparedTable:
    """Write the examples and, last, the record that says they are whole; the same rows give the same bytes.

    Args:
        folder: The agency's folder of the run.
        x: Shape (n, ...), what the model sees; may lie in a file.
        y: Shape (n, C), one-hot.
        chosen: Part -> its rows; at least one row in each.
        rows: Where the raw rows went, for the record.
        groups: Shape (n,), protected group of each row; None without such a column.
        names: Texts of the groups.

    Raises:
        InputError: If x and y are not of the same rows.
    """
    if len(x) != len(y):
        raise InputError("features.npy is not of the rows in deidentified.parquet; run standardize again")
    for part, mask in chosen.items():
        place = part_examples(folder, part)
        save_array(place / "x.npy", np.asarray(x[mask], dtype=np.float32))
        save_array(place / "y.npy", y[mask])
    if groups is not None:
        save_array(held_back_groups(folder), groups[chosen["test"]])
    counts = {part: int(mask.sum()) for part, mask in chosen.items()}
    prepared = PreparedTable(
        rows=rows,
        fit_rows=counts["fit"],
        validation_rows=counts.get("validation", 0),
        test_rows=counts["test"],
        groups=names,
        sha256=examples_sha256(folder),
    )
    write_atomic(prepared_path(folder), prepared.model_dump_json(indent=1).encode())
    return prepared
