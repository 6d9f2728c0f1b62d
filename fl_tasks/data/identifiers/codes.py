"""Texts as one flat array of small codes, on which all searches run: one byte a sign, whole columns at a time.

Folding is that of compatibility (NFKC) and upper case: full-width digits and letters, circled and superscript digits
become plain ones. It is a table look-up; only a row with a sign that unfolds into several with a digit among them (the
number ten in a circle) goes through `unicodedata`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
SPECIAL = "挂学警港澳领"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" + PROVINCES + SPECIAL + "使+.@_%"
"""A sign's code is its place here. Below 10 it is a digit, below 36 a digit or letter."""

DIGITS, ALNUM = 10, 36
PLUS, POINT, AT = (ALPHABET.index(sign) for sign in "+.@")
OTHER, BREAK, UNFOLDS = 200, 201, 202
"""What no identifier holds; the end of a row, and nothing else; what becomes several signs."""
SPACE, DASH, UNSEEN = 210, 211, 212
"""Separators, from SPACE up: white space and middle dots; hyphens and dashes; what is not seen at all."""

# White space, hyphens and dashes, middle dots of all scripts, and what is not seen at all.
_DASHES = r"\-\u2010-\u2015\u2212"
_HIDDEN = r"\u00ad\u200b-\u200d\u2060\ufeff"
SEPARATORS = re.compile(rf"[\s{_DASHES}\u00b7\u2022\u2027\u2219\u22c5\u30fb{_HIDDEN}]+")

_CHUNK = 1 << 21  # signs at a time: some tens of MB of working memory, whatever the column's length
_TABLE = 0x20000  # beyond lie rare ideographs


@dataclass(frozen=True)
class Coded:
    """Consecutive rows of a column.

    Attributes:
        texts: The R rows; one that unfolded stands here in its folded form.
        codes: Shape (N,), uint8: every row's signs and one BREAK.
        ends: Shape (R,), int64: where the rows' BREAKs are.
    """

    texts: Sequence[str]
    codes: NDArray[np.uint8]
    ends: NDArray[np.int64]


def plain(text: str) -> str:
    """Return a text folded: NFKC and upper case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).upper())


def chunks(texts: Sequence[str]) -> Iterator[Coded]:
    """Encode a column, some millions of signs at a time; a row is never cut in two."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    filled = np.cumsum(lengths + 1)
    first = 0
    while first < len(texts):
        done = filled[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(filled, done + _CHUNK, side="right")))
        yield _encode(texts[first:last], lengths[first:last])
        first = last


def without_separators(coded: Coded) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Return codes without separators, and where each row starts among them and how long it is, both shape (R,)."""
    codes = coded.codes[coded.codes < SPACE]
    ends = np.flatnonzero(codes == BREAK)
    starts = np.concatenate(([0], ends[:-1] + 1))
    return codes, starts, ends - starts


def windows(codes: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return the `width` codes from each start, shape (len(starts), width); codes must go on as far as the last."""
    return np.lib.stride_tricks.sliding_window_view(codes, width)[starts]


def texts_of(matrix: NDArray[np.uint8]) -> list[str]:
    """Return each row of codes of the alphabet, shape (n, width), as a text."""
    points = np.ascontiguousarray(_POINTS[matrix])
    return list(points.view(f"<U{matrix.shape[1]}").ravel().tolist()) if matrix.size else []


_POINTS = np.array([ord(sign) for sign in ALPHABET], dtype="<u4")


def _encode(texts: Sequence[str], lengths: NDArray[np.int64], *, unfold: bool = True) -> Coded:
    joined = "\n".join(texts) + "\n"
    if joined.isascii():
        codes = _table(0x80)[np.frombuffer(joined.encode(), dtype=np.uint8)]
    else:
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        codes = _table(_TABLE)[np.minimum(points, _TABLE - 1)]
    ends = np.cumsum(lengths + 1) - 1
    codes[ends] = BREAK
    if unfold:
        rows = np.unique(np.searchsorted(ends, np.flatnonzero(codes == UNFOLDS)))
        if len(rows):
            folded = list(texts)
            for row in rows.tolist():
                folded[row] = plain(folded[row])
            return _encode(folded, np.fromiter(map(len, folded), np.int64, len(folded)), unfold=False)
    return Coded(texts, codes, ends)


@cache
def _table(size: int) -> NDArray[np.uint8]:
    """Return the code of each code point below `size`."""
    signs = [chr(point) for point in range(size)]
    signs[ord("\n")] = " "
    known = {sign: code for code, sign in enumerate(ALPHABET)}
    table = np.full(size, OTHER, dtype=np.uint8)
    for point, folded in enumerate(plain("\n".join(signs)).split("\n")):
        if folded in known:
            table[point] = known[folded]
        elif len(folded) > 1:
            if any(sign in known and known[sign] < DIGITS for sign in folded):
                table[point] = UNFOLDS
        elif SEPARATORS.fullmatch(folded):
            kinds = ((_HIDDEN, UNSEEN), (_DASHES, DASH))
            table[point] = next((code for kind, code in kinds if re.match(f"[{kind}]", folded)), SPACE)
    return table
