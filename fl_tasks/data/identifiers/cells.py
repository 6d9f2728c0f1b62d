"""Columns whose cells are identifiers: what share is one, which are right, and the one form of each."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.source import IdentifierKind
from fl_tasks.data.identifiers import rules
from fl_tasks.data.identifiers.codes import ALPHABET, BREAK, chunks, texts_of, windows, without_separators

_PAD = np.full(32, BREAK, dtype=np.uint8)
_COUNTRY = {11: "", 13: "86", 14: "+86", 15: "0086"}


class Check(enum.IntEnum):
    """What a cell is, as an identifier of one kind."""

    MALFORMED = 0
    VALID = 1
    WRONG_CHECKSUM = 2
    """The form is right, a birth date is on the calendar; the check digit is not right. Likely mistyped."""
    EMPTY = 3


def check(texts: Sequence[str], kind: IdentifierKind) -> NDArray[np.uint8]:
    """Judge every cell of a column as an identifier of one kind.

    Full-width signs, lower case and separators are read as what they stand for. The 15 digits of an old resident id
    have no check digit: they are valid where province and date are. A mobile number may have +86, 86 or 0086 before it.

    Args:
        texts: R cells.
        kind: What they should be.

    Returns:
        Shape (R,), the values of Check.
    """
    return np.concatenate([judged for judged, _ in _judged(texts, kind)] or [np.zeros(0, dtype=np.uint8)])


def normal_forms(texts: Sequence[str], kind: IdentifierKind) -> list[str]:
    """Return the one form of every cell that is valid, empty for one that is not.

    A resident id has 18 places: one of 15 gets its century and check digit, so that a person's two ids are one. A
    mobile number has its 11 digits alone; letters are upper case, separators gone.
    """
    found: list[str] = []
    for _, forms in _judged(texts, kind):
        found += forms()
    return found


def shares(texts: Sequence[str]) -> dict[IdentifierKind, float]:
    """Return the share of a column's cells, those that are not empty, that are a valid identifier of each kind."""
    found: dict[IdentifierKind, float] = {}
    for kind in get_args(IdentifierKind):
        counts = np.bincount(check(texts, kind), minlength=len(Check))
        filled = counts.sum() - counts[Check.EMPTY]
        found[kind] = float(counts[Check.VALID] / filled) if filled else 0.0
    return found


_Forms = Callable[[], list[str]]


def _judged(texts: Sequence[str], kind: IdentifierKind) -> list[tuple[NDArray[np.uint8], _Forms]]:
    """Return for each chunk what its cells are, and what makes their normal forms."""
    judge = {"resident_id": _residents, "credit_code": _credit, "plate": _plates, "mobile": _mobiles}[kind]
    found: list[tuple[NDArray[np.uint8], _Forms]] = []
    for coded in chunks(texts):
        codes, starts, lengths = without_separators(coded)
        judged = np.full(len(starts), Check.MALFORMED, dtype=np.uint8)
        judged[lengths == 0] = Check.EMPTY
        codes = np.concatenate((codes, _PAD))
        matrices: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
        for width, take in judge.items():
            rows = np.flatnonzero(lengths == width)
            if len(rows):
                verdict, forms = take(windows(codes, starts[rows], width))
                judged[rows] = verdict
                valid = verdict == Check.VALID
                matrices.append((rows[valid], forms[valid]))
        found.append((judged, partial(_forms, len(starts), matrices)))
    return found


def _forms(rows: int, matrices: list[tuple[NDArray[np.int64], NDArray[np.uint8]]]) -> list[str]:
    forms = np.full(rows, "", dtype=object)
    for where, matrix in matrices:
        forms[where] = texts_of(matrix)
    return list(forms.tolist())


_Judge = Callable[[NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def _verdict(form: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.select([right, form], [Check.VALID, Check.WRONG_CHECKSUM], default=Check.MALFORMED).astype(np.uint8)


def _residents_18(ids: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return _verdict(*rules.resident_id(ids)), ids


def _residents_15(ids: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    form = rules.resident_id_15(ids)
    return _verdict(form, form), rules.upgraded(ids)


def _credit_18(codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    form, right, _ = rules.credit_code(codes)
    return _verdict(form, right), codes


def _plate(width: int, plates: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    padded = np.pad(plates, ((0, 0), (0, 8 - width)), constant_values=_PAD[0])
    fits = rules.plate(padded) == width
    return _verdict(fits, fits), plates


def _mobile(country: str, numbers: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    expected = [ALPHABET.index(sign) for sign in country]
    number = numbers[:, len(expected) :]
    right = rules.mobile(number)[1] & (numbers[:, : len(expected)] == expected).all(axis=1)
    return _verdict(right, right), number


_residents: dict[int, _Judge] = {18: _residents_18, 15: _residents_15}
_credit: dict[int, _Judge] = {18: _credit_18}
_plates: dict[int, _Judge] = {width: partial(_plate, width) for width in (7, 8)}
_mobiles: dict[int, _Judge] = {width: partial(_mobile, country) for width, country in _COUNTRY.items()}
