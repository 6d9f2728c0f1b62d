"""l-diversity and t-closeness of many classes at once, from the pairs (class, sensitive value) that occur.

Sources: Machanavajjhala et al. 2007, l-diversity, https://doi.org/10.1145/1217299.1217302 (distinct and entropy);
Li, Li, Venkatasubramanian 2007, t-closeness, https://doi.org/10.1109/ICDE.2007.367856 (equal and ordered distance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Codes, Ints, Sensitive, SensitiveColumn, combine, group

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How the values of one sensitive column spread over classes; pairs are sorted by class, then value.

    Attributes:
        classes: Number c of classes.
        cls: Shape (p,), the class of each pair.
        value: Shape (p,), the sensitive value's code.
        count: Shape (p,), rows.
        size: Shape (c,), rows of each class; 0 for a class without rows.
        values: Number m of different values.
        ordered: Whether the values are numbers.
    """

    classes: int
    cls: Codes
    value: Codes
    count: Ints
    size: Ints
    values: int
    ordered: bool

    def overall(self) -> Floats:
        """Return each value's share of the rows, shape (m,); zeros without rows."""
        total = np.bincount(self.value, weights=self.count, minlength=self.values)
        return total / max(float(total.sum()), 1.0)

    def only(self, kept: NDArray[np.bool_]) -> Spread:
        """Return the pairs of kept classes alone; the others have no rows then."""
        of_kept = kept[self.cls]
        return replace(
            self,
            cls=self.cls[of_kept],
            value=self.value[of_kept],
            count=self.count[of_kept],
            size=np.where(kept, self.size, 0),
        )


def spread(cls: Codes, value: Codes, count: Codes, size: Ints, column: Sensitive | SensitiveColumn) -> Spread:
    """Put equal pairs of class and sensitive value together.

    Args:
        cls: Shape (p,), the class of each pair, from 0 to c - 1.
        value: Shape (p,), its sensitive value's code.
        count: Shape (p,), its rows.
        size: Shape (c,), rows of each class.
        column: Which the values are of.
    """
    key, space = combine([cls, value], [len(size), column.values])
    found = group(key, space, count)
    cls, value = np.divmod(key[found.some], column.values)
    return Spread(len(size), cls, value, found.count, size, column.values, column.ordered)


def distinct(pairs: Spread) -> Ints:
    """Return the number of different sensitive values of each class, shape (c,)."""
    return np.bincount(pairs.cls, minlength=pairs.classes)


def entropy(pairs: Spread) -> Floats:
    """Return exp of the entropy (natural logarithm) of each class, shape (c,); a class of one value has 1."""
    share = pairs.count / pairs.size[pairs.cls]
    return np.exp(-np.bincount(pairs.cls, weights=share * np.log(share), minlength=pairs.classes))


def distance(pairs: Spread, overall: Floats) -> Floats:
    """Return the earth mover's distance of each class to an overall distribution.

    Numbers use the ordered distance, sum |cumulative difference| / (m - 1), over the values that occur overall;
    categories the equal one, half the sum of |difference|.

    Args:
        pairs: Of c classes, whose every value has a share overall.
        overall: Shape (m,), adding up to 1.

    Returns:
        Shape (c,), from 0 to 1.
    """
    return _ordered(pairs, overall) if pairs.ordered else _equal(pairs, overall)


def _equal(pairs: Spread, overall: Floats) -> Floats:
    share = pairs.count / pairs.size[pairs.cls]
    there = overall[pairs.value]
    # A value that a class lacks adds its overall share: together 1 less those that it has.
    beyond = np.bincount(pairs.cls, weights=np.abs(share - there) - there, minlength=pairs.classes)
    found: Floats = np.maximum(0.5 * (beyond + 1.0), 0.0)
    return found


def _ordered(pairs: Spread, overall: Floats) -> Floats:
    """Between two values of a class its cumulative share stands still while the overall one rises through it at most
    once: each stretch is summed in closed form from the prefix sums of the overall one, so that the work grows with
    the pairs that occur and not with classes times values."""
    used = np.flatnonzero(overall > 0)
    place = np.zeros(pairs.values, dtype=np.int64)
    place[used] = np.arange(len(used))
    m = len(used)
    if m < 2:
        return np.zeros(pairs.classes)
    rising = np.cumsum(overall[used])
    rising[-1] = 1.0
    prefix = np.concatenate([[0.0], np.cumsum(rising)])
    filled = pairs.size[pairs.cls] > 0
    cls, value, count = pairs.cls[filled], place[pairs.value[filled]], pairs.count[filled]
    new = np.empty(len(cls), dtype=bool)
    new[:1] = True
    np.not_equal(cls[1:], cls[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    running = np.cumsum(count)
    before = np.repeat(running[starts] - count[starts], np.diff(starts, append=len(cls)))
    level = (running - before) / pairs.size[cls]
    last = np.empty(len(cls), dtype=bool)
    last[-1:] = True
    last[:-1] = new[1:]
    until = np.where(last, m, np.append(value[1:], m))
    # Over [value, until) the class stands at `level`: below the crossing the overall share is less, above it more.
    crossing = np.clip(np.searchsorted(rising, level), value, until)
    area = level * (2 * crossing - value - until) + prefix[value] + prefix[until] - 2 * prefix[crossing]
    ahead = prefix[value[starts]]  # before its first value the class stands at 0
    total = np.bincount(cls, weights=area, minlength=pairs.classes).astype(np.float64)  # of no pairs they are int
    total[cls[starts]] += ahead
    found: Floats = np.maximum(total, 0.0) / (m - 1)
    return found
