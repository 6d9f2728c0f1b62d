"""De-identification by plain counting, row by row, from the definitions: what the vectorised code is held against."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product


def classes_of(rows):
    """Group equal rows: class -> row numbers."""
    found = defaultdict(list)
    for number, row in enumerate(rows):
        found[tuple(row)].append(number)
    return dict(found)


def shares(values):
    counts = Counter(values)
    return {value: count / len(values) for value, count in counts.items()}


def equal_distance(part, whole):
    p, q = shares(part), shares(whole)
    return sum(abs(p.get(value, 0.0) - q[value]) for value in q) / 2


def ordered_distance(part, whole):
    """Sum of |cumulative difference| over the values that occur in the whole, divided by their number less one."""
    p, q = shares(part), shares(whole)
    total, running = 0.0, 0.0
    for value in sorted(q):
        running += p.get(value, 0.0) - q[value]
        total += abs(running)
    return total / (len(q) - 1) if len(q) > 1 else 0.0


def distance(part, whole, ordered):
    return (ordered_distance if ordered else equal_distance)(part, whole)


def entropy(values):
    return math.exp(-sum(share * math.log(share) for share in shares(values).values()))


def diversity(values, kind):
    return len(set(values)) if kind == "distinct" else entropy(values)


def kept_classes(rows, secrets, policy):
    """Suppress until all hold: classes that fail k or l, then, again and again, those too far from what is left.

    secrets: list of (values, ordered).
    """
    found = classes_of(rows)
    kept = {
        cls: members
        for cls, members in found.items()
        if len(members) >= policy.k
        and all(
            diversity([values[i] for i in members], policy.diversity) >= policy.l - 1e-9 * policy.l
            for values, _ in secrets
        )
    }
    while policy.t < 1.0:
        left = [i for members in kept.values() for i in members]
        far = [
            cls
            for cls, members in kept.items()
            if any(
                distance([values[i] for i in members], [values[i] for i in left], ordered) > policy.t + 1e-9
                for values, ordered in secrets
            )
        ]
        if not far:
            break
        for cls in far:
            del kept[cls]
    return kept


def generalized(hierarchy, level, value):
    found = hierarchy.levels[level]
    group = int(found.group[hierarchy.values.index(value)])
    members = sum(1 for other in found.group if other == group)
    return found.labels[group], (members - 1) / max(len(hierarchy.values) - 1, 1)


def brute_force(table, hierarchies, secrets, policy):
    """Every node of the lattice: levels -> (loss, suppressed), where the policy is reached.

    table: list of rows, each a tuple of texts.
    """
    reached = {}
    for levels in product(*(range(len(hierarchy.levels)) for hierarchy in hierarchies)):
        cells = [
            [
                generalized(hierarchy, level, value)
                for hierarchy, level, value in zip(hierarchies, levels, row, strict=True)
            ]
            for row in table
        ]
        kept = kept_classes([[label for label, _ in row] for row in cells], secrets, policy)
        left = {i for members in kept.values() for i in members}
        suppressed = len(table) - len(left)
        if kept and suppressed <= policy.suppression * len(table) + 1e-9:
            lost = sum(sum(loss for _, loss in cells[i]) / len(hierarchies) for i in left)
            reached[levels] = ((lost + suppressed) / len(table), suppressed)
    return reached
