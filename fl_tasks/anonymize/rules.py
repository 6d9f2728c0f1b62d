"""Hierarchies given by a rule: intervals, calendar periods, leading digits, trees."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from fl_tasks.anonymize.errors import HierarchyInvalid, ValueNotCovered
from fl_tasks.anonymize.hierarchy import TOP, Hierarchy, build
from fl_tasks.contracts.anonymize import (
    DateHierarchy,
    DatePart,
    IntervalHierarchy,
    RegionHierarchy,
    TreeHierarchy,
)

T = TypeVar("T")
Rule = IntervalHierarchy | DateHierarchy | RegionHierarchy | TreeHierarchy

_MONTHS: dict[DatePart, int] = {
    "month": 1,
    "quarter": 3,
    "half_year": 6,
    "year": 12,
    "five_years": 60,
    "decade": 120,
}


def by_rule(column: str, rule: Rule, values: Sequence[str], *, where: str) -> Hierarchy:
    """Apply a rule to a column's values.

    Agencies that share one recoding must give the same values: the declared domain, not what each happens to have.

    Args:
        column: The column's name.
        rule: Of any type.
        values: The different values to cover, as text; of a tree they are in the rule and these are ignored.
        where: How messages call the hierarchy, a file name.

    Raises:
        ValueNotCovered: If a value is no number, date or code of the rule, or lies outside; its position is named.
        HierarchyInvalid: If a tree is ragged, or a value stands in it twice.
    """
    match rule:
        case IntervalHierarchy():
            return _intervals(column, rule, values, where)
        case DateHierarchy():
            return _dates(column, rule, values, where)
        case RegionHierarchy():
            return _regions(column, rule, values, where)
        case TreeHierarchy():
            return _tree(column, rule, where)


def _intervals(column: str, rule: IntervalHierarchy, values: Sequence[str], where: str) -> Hierarchy:
    def number(text: str) -> float:
        found = float(text)
        if not (math.isfinite(found) and rule.low <= found < rule.high):
            raise ValueError
        return found

    found = _parse(column, values, number, f"a number from {rule.low} to below {rule.high}", where)
    ordered = sorted(range(len(values)), key=found.__getitem__)
    levels = [[values[place] for place in ordered]]
    widths = [np.zeros(len(ordered))]
    span = rule.high - rule.low
    for width in rule.widths:
        starts = [rule.low + int((found[place] - rule.low) // width) * width for place in ordered]
        ends = [min(start + width, rule.high) for start in starts]
        levels.append([f"[{start}, {end})" for start, end in zip(starts, ends, strict=True)])
        widths.append((np.array(ends) - np.array(starts)) / span)
    return _with_top(column, levels, where, widths)


def _dates(column: str, rule: DateHierarchy, values: Sequence[str], where: str) -> Hierarchy:
    def day(text: str) -> dt.date:
        found = dt.datetime.strptime(text, rule.format).date()
        if not rule.first <= found <= rule.last:
            raise ValueError
        return found

    found = _parse(column, values, day, f"a date like {rule.format} between first and last", where)
    ordered = sorted(range(len(values)), key=found.__getitem__)
    levels = [[values[place] for place in ordered]]
    widths = [np.zeros(len(ordered))]
    months = [found[place].year * 12 + found[place].month - 1 for place in ordered]
    span = (rule.last.year - rule.first.year + 1) * 12
    for part in rule.levels:
        size = _MONTHS[part]
        starts = [month // size * size for month in months]
        levels.append([_period(start, size) for start in starts])
        widths.append(np.full(len(ordered), min(1.0, size / span)))
    return _with_top(column, levels, where, widths)


def _period(start: int, months: int) -> str:
    year, month = divmod(start, 12)
    if months == 1:
        return f"{year:04d}-{month + 1:02d}"
    if months < 12:
        return f"{year:04d}-{'Q' if months == 3 else 'H'}{month // months + 1}"
    return f"{year:04d}" if months == 12 else f"{year:04d}-{year + months // 12 - 1:04d}"


def _regions(column: str, rule: RegionHierarchy, values: Sequence[str], where: str) -> Hierarchy:
    def code(text: str) -> str:
        if len(text) != rule.digits or not (text.isascii() and text.isdigit()):
            raise ValueError
        return text

    ordered = sorted(_parse(column, values, code, f"a code of {rule.digits} digits", where))
    above = [[text[:prefix] + "*" * (rule.digits - prefix) for text in ordered] for prefix in rule.prefixes]
    return _with_top(column, [ordered, *above], where, None)


def _tree(column: str, rule: TreeHierarchy, where: str) -> Hierarchy:
    paths: list[tuple[str, ...]] = []
    _walk(column, rule.tree, (), paths, where)
    if len({len(path) for path in paths}) != 1:
        depths = sorted({len(path) for path in paths})
        raise HierarchyInvalid(
            f"{where}: column {column!r}: its values lie {depths[0]} to {depths[-1]} levels deep; one depth is needed"
        )
    # A group is known by its path: two branches may use the same name for different things only by mistake.
    levels = [[path[depth] for path in paths] for depth in range(len(paths[0]) - 1, -1, -1)]
    return _with_top(column, levels, where, None)


def _walk(column: str, node: JsonValue, above: tuple[str, ...], paths: list[tuple[str, ...]], where: str) -> None:
    if isinstance(node, dict):
        for name, child in node.items():
            _walk(column, child, (*above, name), paths, where)
    elif isinstance(node, list) and node and all(isinstance(value, str) for value in node):
        paths.extend((*above, str(value)) for value in node)
    else:
        raise HierarchyInvalid(
            f"{where}: column {column!r}: below {' / '.join(above)!r}: a mapping or a list of texts is needed; put "
            "numbers in quotes"
        )


def _parse(column: str, values: Sequence[str], read: Callable[[str], T], needs: str, where: str) -> list[T]:
    found = []
    for place, value in enumerate(values, start=1):
        try:
            found.append(read(value))
        except ValueError:
            raise ValueNotCovered(
                f"{where}: column {column!r}: different value {place} of {len(values)} is not {needs}; "
                "correct the data or the hierarchy"
            ) from None
    return found


def _with_top(column: str, levels: list[list[str]], where: str, widths: list[NDArray[np.float64]] | None) -> Hierarchy:
    """Put `*` on top, whatever the values: agencies that share a recoding need the same number of levels."""
    values = len(levels[0])
    if widths is not None:
        widths = [*widths, np.ones(values)]
    return build(column, [*levels, [TOP] * values], where=where, widths=widths)
