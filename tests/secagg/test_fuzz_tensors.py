"""A model's tensors come from outside, beside a signed hash: damage is refused by name, and takes no more memory."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.tensors import MalformedTensors, tensors_from_bytes, tensors_sha256, tensors_to_bytes
from tests.secagg.mutation import damaged, most_for, peak_of

TENSORS = {
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "dense/bias": np.zeros(3),
    "step": np.array(7, dtype=np.int64),
    "none": np.zeros((0, 4), dtype=np.float32),
    "flag": np.array([True, False]),
}
ARCHIVE = tensors_to_bytes(TENSORS)


def _read(data: bytes) -> object:
    return tensors_from_bytes(data, source="r/1/model.npz")


def test_tensors_come_back_with_name_dtype_shape_and_values():
    again = tensors_from_bytes(ARCHIVE, source="x")
    assert tensors_sha256(again) == tensors_sha256(TENSORS)
    assert all(array.flags.writeable for array in again.values())


def test_tensors_that_numpy_wrote_are_read():
    buffer = io.BytesIO()
    np.savez(buffer, **{"a": np.ones((2, 2), dtype=np.float32), "b": np.arange(3)})
    again = tensors_from_bytes(buffer.getvalue(), source="x")
    assert (again["a"].sum(), again["b"].tolist()) == (4.0, [0, 1, 2])


def _npz(content: bytes, *, compressed: bool = False, copies: int = 1) -> bytes:
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind) as archive, warnings.catch_warnings(action="ignore"):
        for _ in range(copies):
            archive.writestr("a.npy", content)
    return buffer.getvalue()


def _npy(header: str, values: bytes = b"") -> bytes:
    head = header.encode() + b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + values


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
PLAIN = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"


def _lying(archive: bytes) -> bytes:
    """The same archive, whose entry claims 200 bytes, in both of its headers."""
    at, entry = archive.index(b"PK\x03\x04"), archive.index(b"PK\x01\x02")
    claim = struct.pack("<I", 200)
    archive = archive[: at + 22] + claim + archive[at + 26 :]
    return archive[: entry + 24] + claim + archive[entry + 28 :]


HOSTILE = {
    "a compressed bomb that claims to be small": _lying(_npz(_npy(HUGE, bytes(2**24)), compressed=True)),
    "a header that claims 10^12 elements": _npz(_npy(HUGE)),
    "a header that claims more dimensions than arrays have": _npz(_npy(HUGE.replace("1000000000000,", "0," * 200))),
    "a shape that overflows": _npz(_npy(HUGE.replace("1000000000000,", "0, 99999999999999999999"))),
    "a compressed bomb": _npz(_npy(HUGE, bytes(2**24)), compressed=True),
    "an archive in which one name stands twice": _npz(_npy(PLAIN, bytes(8)), copies=2),
    "objects to unpickle": _npz(_npy(PLAIN.replace("<f8", "|O"), bytes(8))),
    "a header that is code": _npz(_npy(PLAIN.replace("(1,)", "(1,)*9"), bytes(72))),
    "a bare npy file": _npy(PLAIN, bytes(8)),
    "a pickle": b"\x80\x04N.",
    "nothing": b"",
    "a text": b"not an archive",
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_tensors_are_refused_without_allocating_what_they_claim(case):
    data = HOSTILE[case]
    assert peak_of(_read, data) <= most_for(data)
    with pytest.raises(MalformedTensors, match=r"r/1/model\.npz"):
        _read(data)


def _nested(depth: int, size: int) -> bytes:
    """An archive in which every entry's values are the next entry, header and all: valid, each as long as the rest."""
    inner, entries = bytes(size), []
    for level in range(depth):
        name = b"%05d.npy" % level
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(inner)},), }}"
        content = _npy(header, inner)
        sizes = struct.pack("<III", zlib.crc32(content), len(content), len(content))
        local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 0, 0, 33) + sizes + struct.pack("<HH", len(name), 0)
        inner = local + name + content
        entries.append((name, sizes, len(inner)))
    directory = b"".join(
        b"PK\x01\x02"
        + struct.pack("<HHHHHH", 20, 20, 0, 0, 0, 33)
        + sizes
        + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(inner) - start)
        + name
        for name, sizes, start in entries
    )
    end = struct.pack("<HHHHIIH", 0, 0, depth, depth, len(directory), len(inner), 0)
    return inner + directory + b"PK\x05\x06" + end


def test_an_archive_whose_entries_lie_in_each_other_is_refused():
    """The other way to make much of little: two hundred times the same bytes."""
    plain = zipfile.ZipFile(io.BytesIO(_nested(2, 100)))
    assert [len(plain.read(name)) for name in ("00000.npy",)] == [228]
    bomb = _nested(200, 10_000)
    with pytest.raises(MalformedTensors):
        _read(bomb)
    assert peak_of(_read, bomb) <= most_for(bomb)


@settings(max_examples=200, deadline=None)
@given(damaged(ARCHIVE))
def test_damaged_tensors_are_refused_by_name_or_read_whole(data):
    with contextlib.suppress(MalformedTensors):
        _read(data)


@settings(max_examples=60, deadline=None)
@given(st.one_of(damaged(ARCHIVE), st.binary(max_size=500)))
def test_damaged_tensors_take_no_more_memory_than_they_hold(data):
    assert peak_of(_read, data) <= most_for(data)
