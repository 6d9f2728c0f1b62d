"""Model weights and deltas: named arrays, one file format (npz), one hash, one flat vector."""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.errors import FLError

Tensors = dict[str, NDArray[np.generic]]

_NPY = b"\x93NUMPY\x01\x00"
_NPY_HEAD = re.compile(
    rb"\{'descr': '(?P<dtype>\|[biu]1|<[iuf][248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9, ]{0,640})\), \} *\n"
)


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
        MalformedTensors: If the bytes are no uncompressed npz archive of plain arrays of numbers. Nothing is
            allocated that the archive does not hold: a header may claim any shape, a compressed entry any size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = {entry.filename for entry in entries}
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not stored or len(names) < len(entries) or sum(entry.file_size for entry in entries) > len(data):
                raise ValueError("compressed, named twice or overlapping entries")
            return {entry.filename.removesuffix(".npy"): _read_array(archive.read(entry)) for entry in entries}
    except (ValueError, OSError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile) as error:
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


def _read_array(content: bytes) -> NDArray[np.generic]:
    """Read one npy file of version 1.0 as _canonical and write_array make it; raises ValueError."""
    size = len(_NPY) + 2
    start = size + int.from_bytes(content[len(_NPY) : size], "little")
    head = _NPY_HEAD.fullmatch(content[size:start])
    if not content.startswith(_NPY) or head is None:
        raise ValueError("no array of numbers")
    dtype = np.dtype(head["dtype"].decode())
    shape = tuple(int(length) for length in head["shape"].split(b",") if length.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError("an array of another length than its shape")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).copy()


def _canonical(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the array C-contiguous and little-endian."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
