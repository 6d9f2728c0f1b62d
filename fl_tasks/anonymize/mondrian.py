"""Mondrian: multidimensional partitioning of one agency's table, all partitions of a depth at once.

Strict: rows with the same value of a column never part, so that a release's classes do not overlap. A partition is cut
at the value nearest to its median that leaves k rows on either side, in the widest column where both sides hold l and t
as well; where no column has such a cut, it is a class. For l and t the rows of both sides are counted before the cut is
made; t is measured against the whole table, all of which is released.

Source: LeFevre, DeWitt, Ramakrishnan 2006, Mondrian, https://doi.org/10.1109/ICDE.2006.101.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fl_tasks.anonymize.cells import Codes, Ints, SensitiveColumn, combine, group
from fl_tasks.anonymize.diversity import Floats
from fl_tasks.anonymize.mondrian_cuts import SideJudge, nearest_to_median
from fl_tasks.anonymize.release import Release, written_as_intervals, written_as_sets
from fl_tasks.anonymize.table import OrderedColumn
from fl_tasks.contracts.anonymize import PrivacyPolicy

# Partitions of so many units go on together; more of them are done one heap after the other, so that what a depth
# needs beside the table stays small and in the processor's cache.
_HEAP = 1 << 17


@dataclass(frozen=True)
class _Units:
    """Different rows with their number, sorted by partition; arrays of shape (a,).

    Attributes:
        codes: Shape (q, a): quasi-identifiers.
        secrets: Codes of each sensitive column.
        count: Rows of each unit.
        number: Which unit of the whole table it is.
        starts: Shape (p + 1,): where each partition begins, and the end.
    """

    codes: NDArray[np.int32]
    secrets: tuple[Codes, ...]
    count: NDArray[np.int32]
    number: NDArray[np.int32]
    starts: Ints

    @property
    def partitions(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    @property
    def rows(self) -> Ints:
        """Rows of each partition."""
        return np.add.reduceat(self.count, self.starts[:-1], dtype=np.int64)

    def take(self, units: Codes, starts: Ints) -> _Units:
        secrets = tuple(codes[units] for codes in self.secrets)
        return replace(
            self,
            codes=self.codes[:, units],
            secrets=secrets,
            count=self.count[units],
            number=self.number[units],
            starts=starts,
        )

    def only(self, chosen: Ints) -> tuple[NDArray[np.int32], Ints]:
        """Return the units of chosen partitions, and where each begins among them."""
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        units = np.arange(starts[-1], dtype=np.int32)
        units += np.repeat((self.starts[chosen] - starts[:-1]).astype(np.int32), lengths)
        return units, starts


def partition(columns: Sequence[OrderedColumn], sensitive: Sequence[SensitiveColumn], policy: PrivacyPolicy) -> Release:
    """Cut a table into as many classes as k, l and t let stand; no row is suppressed.

    Args:
        columns: The quasi-identifiers, each of n rows.
        sensitive: The sensitive columns, each of n rows.
        policy: Limits of every class.

    Returns:
        Classes of at least k rows, each written as an interval (numeric) or a set of values in every column.

    Raises:
        PolicyUnreachable: If the whole table as one class misses k or l.
    """
    units, unit_of_row = _units(columns, sensitive)
    judge = SideJudge(sensitive, units.secrets, units.count, policy)
    class_of_unit = np.empty(len(units.count), dtype=np.int32)
    classes = 0
    scale = np.array([column.span for column in columns])
    positions = [column.position for column in columns]
    reached = []
    whole, heaps = units.codes, [units]
    del units
    while heaps:
        units = heaps.pop()
        if len(units.count) > _HEAP and units.partitions > 1:
            heaps.extend(_halves(units))
            continue
        ranges = _ranges(units)
        axis, last = _cuts(units, ranges, positions, scale, judge)
        done = np.flatnonzero(axis < 0)
        ended, _ = units.only(done)
        class_of_unit[units.number[ended]] = np.repeat(np.arange(classes, classes + len(done)), units.lengths[done])
        classes += len(done)
        reached.append(ranges[:, :, done])
        if len(done) < units.partitions:
            heaps.append(_cut(units, np.flatnonzero(axis >= 0), axis, last))
    low, high = np.concatenate(reached, axis=2)
    written, losses = [], []
    for number, column in enumerate(columns):
        if column.numeric:
            texts, lost = written_as_intervals(column, low[number], high[number])
        else:
            texts, lost = written_as_sets(column, classes, class_of_unit, whole[number])
        written.append(texts)
        losses.append(lost)
    return Release("mondrian", tuple(written), class_of_unit[unit_of_row], np.mean(losses, axis=0))


def _units(columns: Sequence[OrderedColumn], sensitive: Sequence[SensitiveColumn]) -> tuple[_Units, NDArray[np.int32]]:
    """Put equal rows together: one partition of all, and each row's unit."""
    codes = [column.codes for column in columns]
    sizes = [len(column.values) for column in columns]
    found = group(*combine([*codes, *(one.codes for one in sensitive)], [*sizes, *(one.values for one in sensitive)]))
    units = _Units(
        codes=np.stack([column[found.some] for column in codes]),
        secrets=tuple(one.codes[found.some] for one in sensitive),
        count=found.count.astype(np.int32),
        number=np.arange(len(found.count), dtype=np.int32),
        starts=np.array([0, len(found.count)]),
    )
    return units, found.of_row


def _halves(units: _Units) -> tuple[_Units, _Units]:
    """Part the partitions, as evenly by units as their borders let."""
    at = int(np.searchsorted(units.starts, len(units.count) // 2).clip(1, units.partitions - 1))
    edge = int(units.starts[at])
    lower = units.take(np.arange(edge), units.starts[: at + 1])
    return lower, units.take(np.arange(edge, len(units.count)), units.starts[at:] - edge)


def _ranges(units: _Units) -> NDArray[np.int32]:
    """Return smallest and largest code of each column in each partition, shape (2, q, p)."""
    starts = units.starts[:-1]
    return np.stack([ends.reduceat(units.codes, starts, axis=1) for ends in (np.minimum, np.maximum)])


def _cuts(
    units: _Units, ranges: NDArray[np.int32], positions: Sequence[Floats], scale: Floats, judge: SideJudge
) -> tuple[Ints, Ints]:
    """Find a cut of each partition.

    Args:
        units: Of p partitions.
        ranges: Shape (2, q, p), smallest and largest code of each column.
        positions: Where the codes of each column lie.
        scale: Shape (q,), span of each column in the whole table.
        judge: Says what a side has to hold.

    Returns:
        Shape (p,) each: the column that is cut, -1 for none, and the last code of the lower side.
    """
    axis = np.full(units.partitions, -1, dtype=np.int64)
    last = np.zeros(units.partitions, dtype=np.int64)
    low, high = ranges
    spans = np.stack([position[h] - position[w] for position, w, h in zip(positions, low, high, strict=True)])
    spans /= scale[:, None]
    widest = np.argsort(-spans, axis=0, kind="stable")
    pending = np.flatnonzero(units.rows >= 2 * judge.k)
    for turn in range(len(positions)):
        tried = widest[turn, pending]
        pending, tried = (both[spans[tried, pending] > 0] for both in (pending, tried))
        if not len(pending):
            break
        members, starts = units.only(pending)
        place = np.repeat(np.arange(len(pending), dtype=np.int32), np.diff(starts))
        code = units.codes[tried[place], members]
        lowest = low[tried, pending]
        found = nearest_to_median(code, units.count[members], place, starts, lowest, high[tried, pending], judge.k)
        if judge.looks:
            of_cut = (found >= 0)[place]
            secrets = [codes[members[of_cut]] for codes in units.secrets]
            upper = (code > found[place])[of_cut]
            holds = judge.both_hold(place[of_cut], upper, secrets, units.count[members[of_cut]], len(found))
            found[~holds] = -1
        cut = found >= 0
        axis[pending[cut]] = tried[cut]
        last[pending[cut]] = found[cut]
        pending = pending[~cut]
    return axis, last


def _cut(units: _Units, chosen: Ints, axis: Ints, last: Ints) -> _Units:
    """Return the two sides of each chosen partition as partitions, all others left out."""
    members, starts = units.only(chosen)
    place = np.repeat(np.arange(len(chosen), dtype=np.int32), np.diff(starts))
    upper = units.codes[axis[chosen][place], members] > last[chosen][place]
    # Counting ranks the lower ones and the upper ones of each partition, in the order they had.
    uppers = np.cumsum(upper, dtype=np.int32)
    before = np.concatenate([[0], uppers[starts[1:] - 1]]).astype(np.int32)
    middle = starts[1:] - np.diff(before)
    target = np.arange(len(members), dtype=np.int32) - uppers + before[:-1][place]
    uppers += (middle - before[:-1] - 1).astype(np.int32)[place]
    np.copyto(target, uppers, where=upper)
    del uppers, place, upper
    moved = np.empty_like(members)
    moved[target] = members
    del members, target
    edges = np.stack([starts[:-1], middle], axis=1).ravel()
    return units.take(moved, np.append(edges, starts[-1]))
