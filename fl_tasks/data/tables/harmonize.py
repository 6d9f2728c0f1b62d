"""Bringing delivered rows to the scenario's schema: names, values, units, missing, types; the rest is rejected.

The rules, in this order, for every column of the schema: the delivered column is found under its own name or the one
that the declaration gives; a text is replaced as `values` says; a text of `missing` is no value; a number is read, put
into the column's unit and held against its range; a text has to be one that the scenario knows. The first rule that
fails gives the row's reason (reasons.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.table_config import TableColumn
from fl_tasks.data.tables import reasons
from fl_tasks.data.tables.declaration import PLACE, Declared
from fl_tasks.data.tables.read import Cells, Piece, Wanted, as_text
from fl_tasks.data.tables.table import Table, texts

_DIGEST_BYTES = 16

Days = tuple[dt.date, dt.date]


@dataclass(frozen=True)
class Dates:
    """How a column of dates is written, to tell day and month in the other order from a wrong value.

    Attributes:
        format: strptime pattern of the values.
    """

    format: str

    def swapped(self, text: str) -> bool:
        """Say whether a text is a date only with day and month exchanged."""
        other = self.format.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
        try:
            dt.datetime.strptime(text, other)
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class Domain:
    """What a categorical column may hold.

    Attributes:
        values: The texts.
        dates: Of a column of dates.
    """

    values: Collection[str]
    dates: Dates | None = None


@dataclass(frozen=True)
class Part:
    """What became of a piece.

    Attributes:
        table: The rows that fit, harmonized: the schema's columns, and the identifiers that are hashed later.
        rejected: The others, as they came, with the place that they were read from; all are texts.
        reasons: Why, one a rejected row.
        merged: Rows that were delivered before.
    """

    table: Table
    rejected: Table
    reasons: list[str]
    merged: int


class Harmonizer:
    """Takes piece after piece of one source, and counts.

    Attributes:
        rows_in: Rows inside the span so far.
        by_reason: Reason -> rejected rows.
        newest: Newest day that a row speaks of; None where no column says so.
        identifiers: Identifying columns that were there.
    """

    def __init__(self, declared: Declared, domains: Mapping[str, Domain], span: Days | None) -> None:
        """Plan the columns.

        Args:
            declared: Schema and source.
            domains: Categorical column -> what it may hold; quasi-identifiers have those of their hierarchies.
            span: First day that is read and the day after the last one; None reads all. Where no column gives the
                day, all rows are read.
        """
        self._declared, self._span = declared, span
        self._readers = {column.column: self._reader(column, domains) for column in declared.columns}
        self._seen_before: set[bytes] = set()
        self._cells = self._missing = 0
        self.rows_in = 0
        self.by_reason: Counter[str] = Counter()
        self.newest: dt.date | None = None
        self.identifiers: dict[str, Any] = {}

    @property
    def wanted(self) -> Wanted:
        """What has to be read of the source."""
        declared = self._declared
        numeric = (column for column in declared.columns if column.kind == "numeric" and column.role != "key")
        # A number that stands for a missing value, or for another one, is found by its text.
        plain = not any(_is_number(text) for text in declared.source.missing)
        numbers = (c.column for c in numeric if plain and c.column not in declared.source.values)
        return Wanted(declared.needed, declared.welcome, frozenset(declared.delivered[name] for name in numbers))

    @property
    def present(self) -> float:
        """Share of the values of the columns that the model sees that were there."""
        return 1.0 - self._missing / self._cells if self._cells else 1.0

    def take(self, piece: Piece) -> Part:
        """Harmonize the next piece.

        Raises:
            InputError: If a day cannot be read, or a column's dates are in two orders; file, line and column are named.
        """
        chosen = self._in_span(piece)
        if chosen is not None:
            piece = _rows(piece, chosen)
        count = len(piece.numbers)
        self.rows_in += count
        why = np.full(count, "", dtype=object)
        columns: dict[str, NDArray[Any]] = {}
        for column in self._declared.columns:
            cells = piece.columns[self._declared.delivered[column.column]]
            columns[column.column] = self._readers[column.column](cells, why, piece)
        kept = self._kept(piece)
        fits = np.asarray(why == "", dtype=bool)
        whole = Table(
            {**columns, **{name: texts(cells) for name, cells in kept.items() if self.identifiers[name] == "hash"}}
        )
        accepted = np.flatnonzero(fits)
        new = self._new(whole, kept, accepted) if self._declared.merges else accepted
        rejected = np.flatnonzero(~fits)
        self.by_reason.update(why[rejected].tolist())
        return Part(
            whole.rows(new),
            self._as_delivered(piece, kept, rejected),
            why[rejected].tolist(),
            len(accepted) - len(new),
        )

    def _kept(self, piece: Piece) -> dict[str, list[str]]:
        """Return the identifiers that are there, as texts."""
        found = {}
        for name, fate in self._declared.identifiers.items():
            cells = piece.columns.get(self._declared.delivered.get(name, name))
            if cells is not None:
                self.identifiers[name] = fate
                found[name] = _as_texts(cells)
        return found

    def _new(self, table: Table, kept: Mapping[str, list[str]], rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows that were not there before in all that is read, dropped identifiers included."""
        cells = [values[rows].tolist() for values in table.columns.values()]
        cells += [[column[row] for row in rows] for name, column in kept.items() if name not in table.columns]
        new = []
        for row, content in zip(rows.tolist(), zip(*cells, strict=True), strict=True):
            digest = hashlib.blake2b(repr(content).encode(), digest_size=_DIGEST_BYTES).digest()
            if digest not in self._seen_before:
                self._seen_before.add(digest)
                new.append(row)
        return np.array(new, dtype=np.intp)

    def _as_delivered(self, piece: Piece, kept: Mapping[str, list[str]], rows: NDArray[np.intp]) -> Table:
        found = {PLACE: texts([piece.place(row) for row in rows.tolist()])}
        for column in self._declared.columns:
            cells = piece.columns[self._declared.delivered[column.column]]
            found[column.column] = texts(_as_texts([cells[row] for row in rows.tolist()]))
        for name, column_texts in kept.items():
            if self.identifiers[name] == "hash":
                found[name] = texts([column_texts[row] for row in rows.tolist()])
        return Table(found)

    def _in_span(self, piece: Piece) -> list[int] | None:
        """Return the rows whose day lies in the span; None where no column says it."""
        column = self._declared.source.as_of
        if column is None:
            return None
        known: dict[str, dt.date] = {}
        chosen = []
        for row, text in enumerate(_as_texts(piece.columns[column])):
            day = known.get(text)
            if day is None:
                try:
                    day = known[text] = dt.datetime.fromisoformat(text).date()
                except ValueError:
                    raise InputError(
                        f"{piece.place(row)}: column {column!r}: not an ISO date like 2024-06-30; write every day so"
                    ) from None
            if self._span is None or self._span[0] <= day < self._span[1]:
                chosen.append(row)
                self.newest = day if self.newest is None else max(self.newest, day)
        return chosen

    def _reader(self, column: TableColumn, domains: Mapping[str, Domain]) -> _Reader:
        source = self._declared.source
        lookup = _Lookup(source.values.get(column.column, {}), source.missing)
        if column.role == "key":
            return self._texts_of(column, lookup)
        if column.kind == "numeric":
            return self._numbers_of(column, lookup)
        return self._categories_of(column, lookup, domains[column.column])

    def _texts_of(self, column: TableColumn, lookup: _Lookup) -> _Reader:
        def read(cells: Cells, why: NDArray[Any], _: Piece) -> NDArray[Any]:
            found = texts([lookup[text] for text in _as_texts(cells)])
            self._note_missing(column, np.asarray(found == "", dtype=bool), why)
            return found

        return read

    def _categories_of(self, column: TableColumn, lookup: _Lookup, domain: Domain) -> _Reader:
        known = frozenset(domain.values)

        def read(cells: Cells, why: NDArray[Any], piece: Piece) -> NDArray[Any]:
            found = texts([lookup[text] for text in _as_texts(cells)])
            missing = np.asarray(found == "", dtype=bool)
            self._note_missing(column, missing, why)
            strange = np.array([text not in known for text in found], dtype=bool) & ~missing
            if domain.dates is not None:
                swapped = (row for row in np.flatnonzero(strange).tolist() if domain.dates.swapped(found[row]))
                row = next(swapped, None)
                if row is not None:
                    delivered = self._declared.delivered[column.column]
                    raise InputError(
                        f"{piece.place(row)}: column {delivered!r}: its dates are in two orders, this one is no "
                        f"{domain.dates.format}; write every date in one order"
                    )
            _reject(why, strange, reasons.of_column(reasons.UNKNOWN, column.column))
            return found

        return read

    def _numbers_of(self, column: TableColumn, lookup: _Lookup) -> _Reader:
        factor = self._declared.factor(column)
        assert column.minimum is not None  # the contract holds it
        assert column.maximum is not None
        low, high, name = column.minimum, column.maximum, column.column

        def read(cells: Cells, why: NDArray[Any], _: Piece) -> NDArray[Any]:
            if isinstance(cells, np.ndarray):
                found, missing = cells * factor, np.isnan(cells)
                wrong = np.isinf(cells)
            else:
                replaced = [lookup[text] for text in cells]
                missing = np.array([not text for text in replaced], dtype=bool)
                found = np.array([_number(text) for text in replaced], dtype=np.float64) * factor
                wrong = np.isnan(found) & ~missing
            self._note_missing(column, missing, why)
            _reject(why, wrong, reasons.of_column(reasons.NOT_A_NUMBER, name))
            with np.errstate(invalid="ignore"):
                _reject(why, (found < low) | (found > high), reasons.of_column(reasons.OUT_OF_RANGE, name))
                if column.role == "quasi_identifier":
                    _reject(why, ~missing & (found != np.floor(found)), reasons.of_column(reasons.NOT_WHOLE, name))
            return found

        return read

    def _note_missing(self, column: TableColumn, missing: NDArray[np.bool_], why: NDArray[Any]) -> None:
        if column.seen:
            self._cells += len(missing)
            self._missing += int(missing.sum())
        if not column.optional or column.role == "target":
            _reject(why, missing, reasons.of_column(reasons.MISSING, column.column))


_Reader = Callable[[Cells, NDArray[Any], Piece], NDArray[Any]]


class _Lookup(dict[str, str]):
    """Delivered text -> the scenario's, nothing where it means that there is no value; the declared `values` first."""

    def __init__(self, values: Mapping[str, str], missing: Collection[str]) -> None:
        super().__init__({**dict.fromkeys(missing, ""), **values})

    def __missing__(self, text: str) -> str:
        return text


def _reject(why: NDArray[Any], rows: NDArray[np.bool_], reason: str) -> None:
    if rows.any():
        why[rows & (why == "")] = reason


def _rows(piece: Piece, chosen: Sequence[int]) -> Piece:
    columns: dict[str, Cells] = {
        name: cells[np.asarray(chosen, dtype=np.intp)]
        if isinstance(cells, np.ndarray)
        else [cells[row] for row in chosen]
        for name, cells in piece.columns.items()
    }
    return Piece(piece.source, piece.word, [piece.numbers[row] for row in chosen], columns)


def _as_texts(cells: Cells | Sequence[Any]) -> list[str]:
    if isinstance(cells, np.ndarray):
        return [as_text(cell) for cell in cells.tolist()]
    return [cell if isinstance(cell, str) else as_text(cell) for cell in cells]


def _number(text: str) -> float:
    """Return a text as a finite number, NaN for any other; float() takes 1_000, which only a damaged system writes."""
    try:
        found = float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def _is_number(text: str) -> bool:
    return not math.isnan(_number(text))
