"""Identifiers amid free text, several a cell: found on whole columns at once, and masked.

A number is looked for where a group of digits begins, and must end where one ends: it is never a part of a longer run.
Separators inside are read over, so that 138 1234 5678 is found. Runs of 24 hexadecimal digits and more (hashes, keyed
pseudonyms) and UUIDs are opaque: digits inside them are no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.data.identifiers import rules
from fl_tasks.data.identifiers.codes import (
    ALNUM,
    AT,
    BREAK,
    DASH,
    DIGITS,
    PLUS,
    POINT,
    SPACE,
    UNSEEN,
    Coded,
    chunks,
    windows,
)

KINDS = ("resident_id", "credit_code", "plate", "mobile", "e_mail", "bank_card")

_RESIDENT, _CREDIT, _PLATE, _MOBILE, _E_MAIL, _CARD = range(len(KINDS))
_OPAQUE = 24  # hexadecimal digits
_UUID, _UUID_DASHES = 36, np.array([8, 13, 18, 23])
_LONGEST = 32  # past the end of the codes no window reaches further

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Hits:
    """H identifiers in the R rows of a column, in order of row and place.

    Attributes:
        texts: The rows; one with signs that unfold, like a ten in a circle, in its folded form.
        row: Shape (H,), from 0.
        start: Shape (H,), place in the row's text.
        end: Shape (H,), exclusive.
        kind: Shape (H,), index into KINDS.
        certain: Shape (H,). Where false, only the form is right: a wrong check digit, an old resident id of 15 digits,
            which has none, a mobile number of an unknown segment, a bank card (one number in ten has a Luhn digit).
    """

    texts: list[str]
    row: Places
    start: Places
    end: Places
    kind: NDArray[np.uint8]
    certain: NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """What a column holds of one kind.

    Attributes:
        kind: One of KINDS.
        cells: Cells with a certain one.
        suspicious: Further cells with something of its form.
    """

    kind: str
    cells: int
    suspicious: int


def find(texts: Sequence[str]) -> Hits:
    """Find all identifiers in a column of texts."""
    whole: list[str] = []
    parts: list[tuple[Places, Places, Places, NDArray[np.uint8], NDArray[np.bool_]]] = []
    for coded in chunks(texts):
        found = _search(coded)
        row = np.searchsorted(coded.ends, found.start)
        begin = np.concatenate(([0], coded.ends[:-1] + 1))[row]
        order = np.lexsort((found.start, row))
        places = (row + len(whole), found.start - begin, found.end - begin)
        parts.append((*(place[order] for place in places), found.kind[order], found.certain[order]))  # type: ignore[arg-type]
        whole += coded.texts
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Hits(whole, none, none, none, none.astype(np.uint8), none.astype(bool))
    row, start, end, kind, certain = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Hits(whole, row, start, end, kind, certain)


def held(texts: Sequence[str]) -> tuple[Held, ...]:
    """Return what a column holds, one entry a kind that is there, in the order of KINDS."""
    hits = find(texts)
    entries = []
    for index, kind in enumerate(KINDS):
        of_kind = hits.kind == index
        formed, certain = (_distinct(hits.row[chosen]) for chosen in (of_kind, of_kind & hits.certain))
        if formed:
            entries.append(Held(kind, certain, formed - certain))
    return tuple(entries)


def _distinct(ascending: Places) -> int:
    return int(np.count_nonzero(np.diff(ascending, prepend=-1)))


def mask(texts: Sequence[str], replace: Callable[[str, Sequence[str]], Sequence[str]]) -> list[str]:
    """Replace every identifier in a column of texts, those that are not certain too.

    Args:
        texts: R rows.
        replace: From a kind of KINDS and the identifiers of that kind, as they were written, to what shall stand in
            their places: a label, or a keyed pseudonym.

    Returns:
        R rows. One without an identifier is unchanged; where two overlap, both go and the first is replaced.
    """
    hits = find(texts)
    masked = list(texts)
    words = np.full(len(hits.row), "", dtype=object)
    spans = list(zip(hits.row.tolist(), hits.start.tolist(), hits.end.tolist(), strict=True))
    for index in np.flatnonzero(np.bincount(hits.kind)).tolist():
        chosen = np.flatnonzero(hits.kind == index)
        written = [hits.texts[row][start:end] for row, start, end in (spans[place] for place in chosen.tolist())]
        words[chosen] = np.array([*replace(KINDS[index], written), None], dtype=object)[:-1]
    pieces: dict[int, list[str]] = {}
    done: dict[int, int] = {}
    for (row, start, end), word in zip(spans, words.tolist(), strict=True):
        gone = done.get(row, 0)
        if start >= gone:
            pieces.setdefault(row, []).extend((hits.texts[row][gone:start], word))
        done[row] = max(gone, end)
    for row, found in pieces.items():
        masked[row] = "".join(found) + hits.texts[row][done[row] :]
    return masked


@dataclass(frozen=True)
class _Found:
    """Candidates, as places of a flat array of codes, end exclusive."""

    start: Places
    end: Places
    kind: NDArray[np.uint8]
    certain: NDArray[np.bool_]

    def those(self, chosen: NDArray[np.bool_] | Places) -> _Found:
        return _Found(self.start[chosen], self.end[chosen], self.kind[chosen], self.certain[chosen])


def _search(coded: Coded) -> _Found:
    seen = np.flatnonzero(coded.codes != UNSEEN)
    codes = coded.codes if len(seen) == len(coded.codes) else coded.codes[seen]
    found = _joined([_e_mails(codes), *_Line(codes).candidates()])
    found = _first_of_overlapping(found.those(~_opaque(codes, found)))
    return _Found(seen[found.start], seen[found.end - 1] + 1, found.kind, found.certain)


class _Line:
    """Codes with the separators read over, and where signs stand directly behind one another."""

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self.all = codes
        self.kept = np.flatnonzero(codes < SPACE)
        self.codes = np.concatenate((codes[self.kept], np.full(_LONGEST, BREAK, dtype=np.uint8)))
        self.glued = np.zeros(len(self.codes), dtype=bool)
        self.glued[1 : len(self.kept)] = np.diff(self.kept) == 1
        self.digit = self.codes < DIGITS

    def candidates(self) -> list[_Found]:
        """Return all of them, what comes first having the say where two overlap."""
        firsts = np.flatnonzero(self._begins(self.digit))
        run = self._runs(firsts)
        # 0.13812345678 is a measurement: what stands behind a decimal point is no number of its own.
        fraction = self.glued[firsts] & (self.codes[firsts - 1] == POINT) & self.glued[firsts - 1]
        whole = ~(fraction & self.digit[firsts - 2])
        firsts, run = firsts[whole], run[whole]
        residents, mistyped = self._residents(firsts[run >= 17])
        credit, wrong = self._credit_codes()
        return [
            residents,
            credit,
            self._plates(),
            *self._mobiles(firsts, run),
            mistyped,
            wrong,
            self._old_residents(firsts[run >= 15]),
            *(self._cards(firsts[run >= width], width) for width in (19, 18, 17, 16)),
        ]

    def _begins(self, one: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say where a group begins: a sign that has none of its sort directly before it."""
        begins = one.copy()
        begins[1:] &= ~(one[:-1] & self.glued[1:])
        return begins

    def _runs(self, firsts: Places) -> Places:
        """Return how many digits follow from each place, separators read over."""
        stops = np.flatnonzero(~self.digit)
        return stops[np.searchsorted(stops, firsts)] - firsts

    def _closed(self, firsts: Places, width: int | Places, sort: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which candidates have nothing of a sort directly behind them."""
        return np.asarray(~(sort[firsts + width] & self.glued[firsts + width]), dtype=bool)

    def _found(self, firsts: Places, width: int | Places, kind: int, certain: bool) -> _Found:
        start, end = self.kept[firsts], self.kept[firsts + width - 1] + 1
        return _Found(start, end, np.full(len(start), kind, dtype=np.uint8), np.full(len(start), certain))

    def _residents(self, firsts: Places) -> tuple[_Found, _Found]:
        firsts = firsts[self._closed(firsts, 18, self.digit)]
        form, right = rules.resident_id(windows(self.codes, firsts, 18))
        return self._found(firsts[right], 18, _RESIDENT, True), self._found(firsts[form & ~right], 18, _RESIDENT, False)

    def _old_residents(self, firsts: Places) -> _Found:
        firsts = firsts[self._closed(firsts, 15, self.digit)]
        return self._found(firsts[rules.resident_id_15(windows(self.codes, firsts, 15))], 15, _RESIDENT, False)

    def _mobiles(self, firsts: Places, run: Places) -> list[_Found]:
        known, unknown = [], []
        for country in ((), (8, 6), (0, 0, 8, 6)):
            more = len(country)
            begin = firsts[run >= 11 + more]
            begin = begin[(windows(self.codes, begin, max(more, 1))[:, :more] == country).all(axis=1)]
            begin = begin[self._closed(begin, 11 + more, self.digit) & self._grouped(begin + more)]
            form, right = rules.mobile(windows(self.codes, begin + more, 11))
            known.append(self._found(begin[right], 11 + more, _MOBILE, True))
            unknown.append(self._found(begin[form & ~right], 11 + more, _MOBILE, False))
        return [self._with_plus(found) for found in (*known, *unknown)]

    def _grouped(self, firsts: Places) -> NDArray[np.bool_]:
        """Say which 11 digits are written as people write a number: in groups of three and more."""
        gap = ~windows(self.glued.view(np.uint8), firsts + 1, 10).astype(bool)
        close = (gap[:, :-1] & gap[:, 1:]).any(axis=1) | (gap[:, :-2] & gap[:, 2:]).any(axis=1)
        return np.asarray(~(close | gap[:, [0, 1, 8, 9]].any(axis=1)), dtype=bool)

    def _with_plus(self, found: _Found) -> _Found:
        plus = (found.start > 0) & (self.all[found.start - 1] == PLUS)
        return _Found(found.start - plus, found.end, found.kind, found.certain)

    def _cards(self, firsts: Places, width: int) -> _Found:
        firsts = firsts[self._closed(firsts, width, self.digit)]
        return self._found(firsts[rules.bank_card(windows(self.codes, firsts, width))], width, _CARD, False)

    def _credit_codes(self) -> tuple[_Found, _Found]:
        alnum = self.codes < ALNUM
        begins = self._begins(alnum) | self._begins(self.digit)
        # Of a division's six digits two spare most of the work.
        firsts = np.flatnonzero(begins[:-7] & self.digit[2:-5] & self.digit[7:])
        firsts = firsts[self._closed(firsts, 18, alnum)]
        codes = windows(self.codes, firsts, 18)
        form, right, inner = rules.credit_code(codes)
        lettered = (codes >= DIGITS).any(axis=1)
        # One number of 18 digits in 31 has a right check digit by chance: without a letter, both of them must be right.
        sure = right & (lettered | inner)
        return self._found(firsts[sure], 18, _CREDIT, True), self._found(
            firsts[form & ~right & lettered], 18, _CREDIT, False
        )

    def _plates(self) -> _Found:
        firsts = np.flatnonzero(rules.may_be_plate(self.codes))
        width = rules.plate(windows(self.codes, firsts, 8))
        fits = (width > 0) & self._closed(firsts, width, self.digit)
        return self._found(firsts[fits], width[fits], _PLATE, True)


_LOCAL = np.zeros(256, dtype=bool)
_LOCAL[:ALNUM] = True
_DOMAIN = _LOCAL.copy()
_DOMAIN[[POINT, DASH]] = True
_LOCAL[[POINT, DASH, PLUS, AT + 1, AT + 2]] = True


def _e_mails(codes: NDArray[np.uint8]) -> _Found:
    """Find addresses: signs, @, and signs with a point, behind the last of which stand two letters at least."""
    ats = np.flatnonzero(codes == AT)
    if not len(ats):
        none = np.zeros(0, dtype=np.int64)
        return _Found(none, none, none.astype(np.uint8), none.astype(bool))
    no_local, no_domain = np.flatnonzero(~_LOCAL[codes]), np.flatnonzero(~_DOMAIN[codes])
    before = np.searchsorted(no_local, ats)
    start = np.where(before > 0, no_local[before - 1] + 1, 0)
    end = no_domain[np.searchsorted(no_domain, ats, side="right")]
    letter = (codes >= DIGITS) & (codes < ALNUM)
    tops = np.flatnonzero((codes[:-2] == POINT) & letter[1:-1] & letter[2:])
    point = tops[np.minimum(np.searchsorted(tops, ats), len(tops) - 1)] if len(tops) else np.full(len(ats), -1)
    fits = (start < ats) & (point > ats + 1) & (point < end)
    found = int(fits.sum())
    return _Found(start[fits], end[fits], np.full(found, _E_MAIL, dtype=np.uint8), np.ones(found, dtype=bool))


def _opaque(codes: NDArray[np.uint8], found: _Found) -> NDArray[np.bool_]:
    """Say which candidates lie inside a long run of hexadecimal digits or a UUID."""
    if not len(found.start):
        return np.zeros(0, dtype=bool)
    hexadecimal = codes < 16
    left, right = _run_around(hexadecimal, found)
    opaque = right - left >= _OPAQUE
    left, right = _run_around(hexadecimal | (codes == DASH), found)
    uuid = np.flatnonzero(right - left == _UUID)
    opaque[uuid] |= (codes[left[uuid, None] + _UUID_DASHES] == DASH).all(axis=1)
    return np.asarray(opaque, dtype=bool)


def _run_around(one: NDArray[np.bool_], found: _Found) -> tuple[Places, Places]:
    """Return the run of one sort around each candidate, [left, right), empty where there is something else in it."""
    stops = np.flatnonzero(~one)
    after = np.searchsorted(stops, found.start)
    left = np.where(after > 0, stops[after - 1] + 1, 0)
    right = stops[after]  # the last code is a BREAK
    return left, np.where(right >= found.end, right, left)


def _joined(found: list[_Found]) -> _Found:
    return _Found(
        np.concatenate([one.start for one in found]),
        np.concatenate([one.end for one in found]),
        np.concatenate([one.kind for one in found]),
        np.concatenate([one.certain for one in found]),
    )


def _outer(found: _Found) -> _Found:
    """Drop a candidate that lies inside another one, like a number without its country."""
    found = found.those(np.lexsort((-found.end, found.start)))
    reached = np.maximum.accumulate(np.concatenate(([0], found.end)))[:-1]
    return found.those(found.end > reached)


def _first_of_overlapping(found: _Found) -> _Found:
    """Drop a candidate that overlaps one of another kind, or a certain one, that came before it."""
    kept = _joined([found.those(found.kind == 255)])
    groups = found.kind.astype(np.int64) * 2 + ~found.certain
    for group in dict.fromkeys(groups.tolist()):
        those = _outer(found.those(groups == group))
        order = np.argsort(kept.start)
        start, end = kept.start[order], np.maximum.accumulate(kept.end[order])
        # Those that start before its end are as many as those that end before its start: none lies across it.
        apart = np.searchsorted(start, those.end) == np.searchsorted(end, those.start, side="right")
        kept = _joined([kept, those.those(apart)])
    return kept
