"""A table's columns as integer codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import SensitiveColumn
from fl_tasks.anonymize.errors import ValueNotCovered
from fl_tasks.anonymize.hierarchy import Hierarchy
from fl_tasks.contracts.anonymize import Kind
from fl_tasks.contracts.errors import InputError

Values = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class OrderedColumn:
    """A quasi-identifier whose codes stand in an order that can be cut.

    Attributes:
        name: The column.
        codes: Shape (n,), int32, from 0 to m - 1.
        values: The m values in order: texts, or an array of numbers or dates, which become text when they are written.
        position: Shape (m,), ascending: the number itself, days for dates, the place for categories.
        numeric: Whether a class is written as an interval; else as the set of its values.
    """

    name: str
    codes: NDArray[np.int32]
    values: tuple[str, ...] | NDArray[Any]
    position: NDArray[np.float64]
    numeric: bool

    def text(self, code: int) -> str:
        """Return a value as a release writes it."""
        value = self.values[code]
        return value if isinstance(value, str) else _text(value)

    @property
    def span(self) -> float:
        """Distance of the last value from the first; 1 if there is only one."""
        return float(self.position[-1] - self.position[0]) or 1.0


def encode(hierarchy: Hierarchy, values: Values, *, where: str = "data") -> NDArray[np.int32]:
    """Replace each row's value by its code in a hierarchy.

    Args:
        hierarchy: Of the column.
        values: Shape (n,): texts, or an integer or date array, whose numbers stand for their text.
        where: How messages call the table.

    Raises:
        ValueNotCovered: If a value is missing or the hierarchy has it not; the row, from 1, is named.
    """
    code_of = hierarchy.code_of
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuMf":
        different, inverse = _numbered(values)
        values, codes = [_text(value) for value in different], inverse
        try:
            return np.array([code_of[text] for text in values], dtype=np.int32)[codes]
        except KeyError:
            bad = np.array([text not in code_of for text in values])
            raise _not_covered(hierarchy, np.flatnonzero(bad[codes]).tolist(), where) from None
    found = map(code_of.__getitem__, values)
    try:
        if len(code_of) <= 256:  # bytes take them a fifth faster
            return np.frombuffer(bytes(found), dtype=np.uint8).astype(np.int32)
        return np.fromiter(found, dtype=np.int32, count=len(values))
    except (KeyError, TypeError):
        rows = [row for row, value in enumerate(values) if not isinstance(value, str) or value not in code_of]
        raise _not_covered(hierarchy, rows, where) from None


def different(values: Values, *, column: str, where: str = "data") -> list[str]:
    """Return the different values of a column as text, sorted: what a hierarchy's rule is applied to.

    Raises:
        InputError: If a value is missing or neither text nor number; the row, from 1, is named.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuMf":
        found = np.unique(values)
        if found.dtype.kind in "fM" and not bool(np.isfinite(found).all()):
            raise InputError(_missing(column, int(np.flatnonzero(~np.isfinite(values))[0]) + 1, where))
        return [_text(value) for value in found]
    texts = set(values)
    if not all(isinstance(text, str) for text in texts):
        row = next(row for row, value in enumerate(values, start=1) if not isinstance(value, str))
        raise InputError(_missing(column, row, where))
    return sorted(texts)


def ordered(
    name: str, values: Values, kind: Kind, hierarchy: Hierarchy | None = None, *, where: str = "data"
) -> OrderedColumn:
    """Put a quasi-identifier in the order in which Mondrian cuts it.

    Args:
        name: The column.
        values: Shape (n,): texts, or a number or date array.
        kind: numeric orders by number; categorical by the hierarchy, so that relatives stay together, or by text.
        hierarchy: Of a categorical column; its values are the domain then.
        where: How messages call the table.

    Raises:
        ValueNotCovered: If the hierarchy has not a value.
        InputError: If a value is missing, or no number where kind says so.
    """
    if kind == "numeric":
        numbers, codes = _numbers(name, values, where)
        return OrderedColumn(name, codes, numbers, _positions(numbers), True)
    if hierarchy is not None:
        rank = hierarchy.rank
        texts = np.array(hierarchy.values, dtype=object)[np.argsort(rank)]
        codes = rank[encode(hierarchy, values, where=where)]
        return OrderedColumn(name, codes, tuple(texts), np.arange(len(texts), dtype=np.float64), False)
    texts_, codes = _categories(name, values, where)
    return OrderedColumn(name, codes, texts_, np.arange(len(texts_), dtype=np.float64), False)


def sensitive(name: str, values: Values, kind: Kind, *, where: str = "data") -> SensitiveColumn:
    """Encode a sensitive column in the order of its values.

    Raises:
        InputError: If a value is missing, or no number where kind says so; the row, from 1, is named.
    """
    if kind == "numeric":
        numbers, codes = _numbers(name, values, where)
        return SensitiveColumn(name, codes, len(numbers), True)
    texts, codes = _categories(name, values, where)
    return SensitiveColumn(name, codes, len(texts), False)


def _categories(name: str, values: Values, where: str) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuMf":
        numbers, codes = _numbers(name, values, where)
        return tuple(map(_text, numbers)), codes
    texts = different(values, column=name, where=where)
    code_of = {text: code for code, text in enumerate(texts)}
    return tuple(texts), np.fromiter(map(code_of.__getitem__, values), dtype=np.int32, count=len(values))


def _numbers(name: str, values: Values, where: str) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the different numbers, ascending, and each row's place among them."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuMf":
        if values.dtype.kind in "fM" and not bool(np.isfinite(values).all()):
            raise InputError(_missing(name, int(np.flatnonzero(~np.isfinite(values))[0]) + 1, where))
        return _numbered(values)
    number_of = {text: _number(text) for text in different(values, column=name, where=where)}
    if not all(map(math.isfinite, number_of.values())):
        row = next(row for row, text in enumerate(values, start=1) if not math.isfinite(number_of[text]))
        raise InputError(f"{where}: column {name!r}: row {row} is no number; correct it, or declare it categorical")
    numbers, place = np.unique(list(number_of.values()), return_inverse=True)
    code_of = dict(zip(number_of, place.tolist(), strict=True))
    return numbers, np.fromiter(map(code_of.__getitem__, values), dtype=np.int32, count=len(values))


def _numbered(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return np.unique(values, return_inverse=True), by counting where the numbers lie close together."""
    whole = values.astype("datetime64[D]").astype(np.int64) if values.dtype.kind == "M" else values
    if whole.dtype.kind in "iu" and len(whole):
        low, high = int(whole.min()), int(whole.max())
        if high - low < max(4 * len(whole), 1 << 16):
            shifted = whole.astype(np.int64) - low
            present = np.flatnonzero(np.bincount(shifted, minlength=high - low + 1))
            place = np.empty(high - low + 1, dtype=np.int32)
            place[present] = np.arange(len(present), dtype=np.int32)
            found = present + low
            return found.astype("datetime64[D]") if values.dtype.kind == "M" else found, place[shifted]
    found, inverse = np.unique(values, return_inverse=True)
    return found, inverse.astype(np.int32)


def _positions(numbers: NDArray[Any]) -> NDArray[np.float64]:
    days = numbers.astype("datetime64[D]").astype(np.int64) if numbers.dtype.kind == "M" else numbers
    return days.astype(np.float64)


def _text(value: Any) -> str:  # noqa: ANN401 - any number or date of NumPy
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[D]"))
    if isinstance(value, float | np.floating):
        return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
    return str(int(value))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _missing(column: str, row: int, where: str) -> str:
    return f"{where}: column {column!r}: row {row} is empty or no text; write what is missing as a value of its own"


def _not_covered(hierarchy: Hierarchy, rows: Sequence[int], where: str) -> ValueNotCovered:
    more = " and further rows" if len(rows) > 1 else ""
    return ValueNotCovered(
        f"{where}: column {hierarchy.column!r}: row {rows[0] + 1}{more}: its value is not in the column's hierarchy; "
        "add it there, or correct the row"
    )
