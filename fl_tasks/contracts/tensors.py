"""Model weights and deltas: named arrays, one file format (npz), one hash, one flat vector."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import FLError

Tensors = dict[str, NDArray[np.generic]]


class MalformedTensors(FLError):
    """Bytes that should hold named arrays do not, or hold others than expected."""


def tensors_to_bytes(tensors: Tensors) -> bytes:
    """Return an npz archive of the arrays, the same bytes for the same arrays (no time stamps)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(tensors):
            content = io.BytesIO()
            np.lib.format.write_array(content, _canonical(tensors[name]), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def tensors_from_bytes(data: bytes, *, source: str) -> Tensors:
    """Read what tensors_to_bytes wrote.

    Args:
        data: The archive.
        source: Where it came from, for the message.

    Raises:
        MalformedTensors: If the bytes are no npz archive of plain arrays.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MalformedTensors(f"{source}: not an npz archive of plain arrays ({type(error).__name__})") from error


def save_tensors(path: Path, tensors: Tensors) -> None:
    """Write arrays as npz, atomically, readable by the owner only."""
    write_atomic(path, tensors_to_bytes(tensors))


def load_tensors(path: Path) -> Tensors:
    """Read an npz file; raises MalformedTensors, FileNotFoundError."""
    return tensors_from_bytes(path.read_bytes(), source=str(path))


def tensors_sha256(tensors: Tensors) -> bytes:
    """Return the 32-byte hash of the values: sorted name, dtype, shape, little-endian content.

    It is independent of the file format, so that a model read and written again keeps its hash.
    """
    state = hashlib.sha256(b"flsa/1/tensors")
    for name in sorted(tensors):
        array = _canonical(tensors[name])
        head = f"{name}\0{array.dtype.str}\0{','.join(map(str, array.shape))}\0".encode()
        state.update(len(head).to_bytes(4, "big"))
        state.update(head)
        state.update(array.tobytes())
    return state.digest()


def flatten(tensors: Tensors) -> NDArray[np.float64]:
    """Return all values as one vector, arrays in the order of their names, shape (d,)."""
    if not tensors:
        return np.zeros(0, dtype=np.float64)
    return np.concatenate([np.asarray(tensors[name], dtype=np.float64).ravel() for name in sorted(tensors)])


def unflatten(vector: NDArray[np.float64], like: Tensors) -> Tensors:
    """Cut a vector of shape (d,) into arrays of the names, shapes and dtypes of `like`.

    Raises:
        MalformedTensors: If the length is not that of `like`.
    """
    needed = sum(int(array.size) for array in like.values())
    if vector.shape != (needed,):
        raise MalformedTensors(f"a vector of shape {vector.shape} cannot fill a model of {needed} parameters")
    result: Tensors = {}
    start = 0
    for name in sorted(like):
        array = like[name]
        result[name] = vector[start : start + array.size].reshape(array.shape).astype(array.dtype)
        start += array.size
    return result


def _canonical(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the array C-contiguous and little-endian."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
