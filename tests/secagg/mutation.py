"""Damaged bytes for the fuzz tests, and the most memory that a parser may take for them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from fl_tasks.contracts.errors import FLError

# In memory where there is such a disk: thousands of small files, each synced as it must be.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Objects around the bytes that a message holds, and what any call takes (exceptions, their text, a signature).
BYTES_A_BYTE = 24
BYTES_A_CALL = 96 * 1024


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes after one to three of: flips, cuts, insertions, doubled parts, numbers blown up or set to zero."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        end = draw(st.integers(at, min(len(data), at + 140)))
        match draw(st.sampled_from(("flip", "cut", "drop", "insert", "double", "ones", "zeros"))):
            case "flip" if data:
                data = data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]
            case "cut":
                data = data[:at]
            case "drop":
                data = data[:at] + data[end:]
            case "insert":
                data = data[:at] + draw(st.binary(max_size=80)) + data[at:]
            case "double":
                data = data[:end] + data[at:end] + data[end:]
            case "ones":
                data = data[:at] + b"\xff" * (end - at) + data[end:]
            case "zeros":
                data = data[:at] + bytes(end - at) + data[end:]
    return data


def peak_of(parse: Callable[[bytes], object], data: bytes) -> int:
    """Bytes that a call allocates at its peak, whether it returns or raises an error on purpose."""
    tracemalloc.start()
    try:
        parse(data)
    except FLError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def most_for(data: bytes) -> int:
    """What a parser may allocate for these bytes."""
    return BYTES_A_BYTE * len(data) + BYTES_A_CALL
