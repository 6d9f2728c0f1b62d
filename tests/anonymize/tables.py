"""Random tables and hierarchies for the properties, and the real Adult table of the known figures."""

from __future__ import annotations

import csv
import gzip
from functools import cache

import numpy as np
from hypothesis import strategies as st

from fl_tasks.anonymize.hierarchy import build
from fl_tasks.anonymize.hierarchy_files import load_hierarchy
from fl_tasks.anonymize.table import encode, sensitive
from fl_tasks.contracts.anonymize import PrivacyPolicy

ADULT = {
    "age": "age",
    "sex": "sex",
    "race": "race",
    "marital-status": "marital",
    "education": "education",
    "native-country": "country",
}


@st.composite
def hierarchies(draw, name):
    """A random hierarchy: each level joins groups of the one before, the last is `*`."""
    values = draw(st.integers(1, 6))
    levels = [list(range(values))]
    for _ in range(draw(st.integers(0, 2))):
        groups = max(levels[-1]) + 1
        parent = [draw(st.integers(0, max(groups - 2, 0))) for _ in range(groups)]
        number = {old: new for new, old in enumerate(dict.fromkeys(parent))}
        levels.append([number[parent[group]] for group in levels[-1]])
    texts = [[f"{name}{depth}.{group}" for group in groups] for depth, groups in enumerate(levels)]
    return build(name, [*texts, ["*"] * values], where="random")


@st.composite
def tables(draw, most_rows=24):
    """Rows over two or three random hierarchies, with one text and one number as sensitive columns."""
    found = [draw(hierarchies(name)) for name in "abc"[: draw(st.integers(2, 3))]]
    rows = draw(
        st.lists(st.tuples(*(st.sampled_from(hierarchy.values) for hierarchy in found)), min_size=2, max_size=most_rows)
    )
    words = draw(st.lists(st.sampled_from("xyz"), min_size=len(rows), max_size=len(rows)))
    numbers = draw(st.lists(st.integers(0, 6), min_size=len(rows), max_size=len(rows)))
    return found, rows, words, numbers


policies = st.builds(
    PrivacyPolicy,
    k=st.integers(2, 5),
    l=st.integers(1, 3),
    diversity=st.sampled_from(["distinct", "entropy"]),
    t=st.sampled_from([0.2, 0.35, 0.5, 1.0]),
    suppression=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
)


def codes(found, rows):
    """The columns of rows, encoded by their hierarchies."""
    return [encode(hierarchy, [row[axis] for row in rows]) for axis, hierarchy in enumerate(found)]


def secrets_of(words, numbers):
    return [sensitive("word", words, "categorical"), sensitive("number", np.array(numbers), "numeric")]


@cache
def adult(folder, rows=30_000):
    """The first complete rows of Adult as columns of text, with `age` as numbers."""
    with gzip.open(folder / "welfare" / "adult_census_income.csv.gz", "rt", encoding="utf-8") as file:
        complete = [row for row in csv.DictReader(file) if "?" not in row.values()][:rows]
    return {
        name: np.array([int(row[name]) for row in complete])
        if name == "age"
        else np.array([row[name] for row in complete], dtype=object)
        for name in complete[0]
    }


def adult_hierarchies(folder):
    hierarchies = folder / "welfare" / "adult_hierarchies"
    return [load_hierarchy(hierarchies / f"{file}.csv", column) for column, file in ADULT.items()]
