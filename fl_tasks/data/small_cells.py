"""Which counts may leave an agency."""

from __future__ import annotations

from fl_tasks.contracts.data import SMALL_CELL


def publishable(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts that are zero or large enough to leave the agency; they must not add up to each other."""
    return {name: count for name, count in counts.items() if not 0 < count < SMALL_CELL}


def publishable_parts(total: dict[str, int], parts: dict[str, int]) -> dict[str, int]:
    """Return a total and the parts that add up to it, or the total alone if one part is a small cell.

    One suppressed part could be had back as the total less the others, so the parts go together or not at all.

    Args:
        total: Its name and count.
        parts: Names and counts, whose sum is the total.
    """
    if publishable(parts) == parts:
        return publishable(total | parts)
    return publishable(total)
