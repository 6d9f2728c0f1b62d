"""Why a row of a table goes to the quarantine: the words, in one place. A reason is a word and, mostly, a column."""

from __future__ import annotations

MISSING = "missing"
"""There is no value, and the column needs one."""

UNKNOWN = "unknown value"
"""The text is none of the values that the scenario knows."""

NOT_A_NUMBER = "not a number"
"""The text of a numeric column does not read as a finite number."""

OUT_OF_RANGE = "out of range"
"""The number lies outside the column's minimum and maximum."""

NOT_WHOLE = "not a whole number"
"""The number of a quasi-identifier has a fraction, which no hierarchy covers."""

SUPPRESSED = "suppressed"
"""The row's class fails k, l or t at the agreed levels."""

MERGED = "merged"
"""Alike in all that is read; such rows are not in the quarantine, one of them stays."""


def of_column(word: str, column: str) -> str:
    """Return the reason of a row that one column's value rejects."""
    return f"{word}: {column}"
