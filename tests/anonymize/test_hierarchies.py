"""Hierarchies are complete and nested, or refused with file, line and column, and never with a value."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.anonymize.errors import HierarchyInvalid, ValueNotCovered
from fl_tasks.anonymize.hierarchy import build
from fl_tasks.anonymize.hierarchy_files import load_hierarchy
from fl_tasks.anonymize.rules import by_rule
from fl_tasks.anonymize.table import encode
from fl_tasks.contracts.anonymize import IntervalHierarchy
from fl_tasks.contracts.errors import ConfigError
from tests.anonymize.tables import hierarchies

SECRET = "Zhang-Wei"  # stands for a value that no message may hold


def write(folder, text, name="job.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_a_table_gives_levels_from_the_value_to_the_top(tmp_path):
    path = write(tmp_path, "nurse,care,*\nclerk,office,*\nmidwife,care,*\n")
    hierarchy = load_hierarchy(path, "job")
    assert hierarchy.values == ("nurse", "clerk", "midwife")
    assert [level.labels for level in hierarchy.levels] == [("nurse", "clerk", "midwife"), ("care", "office"), ("*",)]
    assert hierarchy.levels[1].group.tolist() == [0, 1, 0]
    assert hierarchy.levels[1].loss.tolist() == [0.5, 0.0]
    assert hierarchy.levels[2].loss.tolist() == [1.0]


def test_relatives_stand_side_by_side_in_the_order_of_cuts(tmp_path):
    hierarchy = load_hierarchy(write(tmp_path, "nurse,care,*\nclerk,office,*\nmidwife,care,*\n"), "job")
    assert hierarchy.rank.tolist() == [0, 2, 1]


def test_gb18030_is_read_when_it_is_declared_and_refused_else(tmp_path):
    path = write(tmp_path, "护士,医护,*\n职员,办公,*\n", encoding="gb18030")
    assert load_hierarchy(path, "职业", encoding="gb18030").values == ("护士", "职员")
    with pytest.raises(HierarchyInvalid, match=r"job\.csv: column '职业': byte 1 is not UTF-8"):
        load_hierarchy(path, "职业")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        (f"{SECRET},a,*\nx,b\n", "job.csv: line 2: 2 fields, 3 are needed"),
        (f"{SECRET}\n", "line 1: 1 fields, at least 2 are needed"),
        (f"{SECRET},a,*\nx,b,*\n{SECRET},a,*\n", "job.csv: line 3: column 'job': its value is at line 1 already"),
        (f"{SECRET},,*\n", "line 1: column 'job': level 1 is empty"),
        (f"{SECRET},a\nx,b\n", "its last level 1 has 2 groups, one is needed"),
        (
            f"{SECRET},a,p,*\nx,b,q,*\ny,a,q,*\n",
            "line 3: column 'job': its group at level 1 has another parent at level 2",
        ),
        (f'"{SECRET},a,*\n', "not CSV"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line_and_no_value(tmp_path, text, said):
    with pytest.raises(HierarchyInvalid) as caught:
        load_hierarchy(write(tmp_path, text), "job")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_missing_file_and_another_kind_of_file_are_refused(tmp_path):
    with pytest.raises(HierarchyInvalid, match=r"age\.csv: column 'age': there is no such file"):
        load_hierarchy(tmp_path / "age.csv", "age")
    with pytest.raises(HierarchyInvalid, match=r"a hierarchy is a \.csv or \.yaml file"):
        load_hierarchy(tmp_path / "age.txt", "age")


def test_a_value_that_the_hierarchy_misses_is_named_by_its_row_alone(tmp_path):
    hierarchy = load_hierarchy(write(tmp_path, "1,*\n2,*\n"), "job")
    for values in (["1", SECRET, "2"], ["1", None, "2"], np.array([1, 7, 2])):
        with pytest.raises(
            ValueNotCovered, match="column 'job': row 2: its value is not in the column's hierarchy"
        ) as e:
            encode(hierarchy, values, where="people.csv")
        assert str(e.value).startswith("people.csv: ")
        assert SECRET not in str(e.value)
    with pytest.raises(ValueNotCovered, match="row 1 and further rows"):
        encode(hierarchy, [SECRET, "1", SECRET])
    assert encode(hierarchy, np.array([2, 1])).tolist() == encode(hierarchy, ["2", "1"]).tolist() == [1, 0]


def test_intervals_grow_by_merging(tmp_path):
    path = write(tmp_path, "hierarchy: {type: intervals, low: 0, high: 100, widths: [5, 10, 40]}\n", name="age.yaml")
    hierarchy = load_hierarchy(path, "age", ["17", "3", "99", "15"])
    assert hierarchy.values == ("3", "15", "17", "99")
    assert [level.labels for level in hierarchy.levels[1:]] == [
        ("[0, 5)", "[15, 20)", "[95, 100)"),
        ("[0, 10)", "[10, 20)", "[90, 100)"),
        ("[0, 40)", "[80, 100)"),
        ("*",),
    ]
    assert hierarchy.levels[3].loss.tolist() == [0.4, 0.2]
    for bad in (["100"], ["-1"], ["nan"], [SECRET]):
        with pytest.raises(ValueNotCovered, match="different value 1 of 1 is not a number from 0 to below 100") as e:
            load_hierarchy(path, "age", bad)
        assert SECRET not in str(e.value)


@given(st.lists(st.integers(-50, 49), min_size=1, unique=True), st.lists(st.integers(2, 4), min_size=1, max_size=3))
def test_a_value_lies_in_each_of_its_intervals(numbers, factors):
    widths = np.cumprod([1, *factors])[1:].tolist()
    rule = IntervalHierarchy(type="intervals", low=-50, high=50, widths=tuple(widths))
    hierarchy = by_rule("n", rule, [str(number) for number in numbers], where="rule")
    for level in hierarchy.levels[1:-1]:
        for value, group in zip(hierarchy.values, level.group, strict=True):
            low, high = level.labels[group].strip("[)").split(", ")
            assert int(low) <= int(value) < int(high)


def test_dates_generalize_to_calendar_periods(tmp_path):
    rule = """
hierarchy:
  type: dates
  format: "%d/%m/%Y"
  first: 1950-01-01
  last: 2009-12-31
  levels: [month, quarter, half_year, year, five_years, decade]
"""
    hierarchy = load_hierarchy(write(tmp_path, rule, "born.yaml"), "born", ["21/06/1987"])
    assert [level.labels[0] for level in hierarchy.levels] == [
        "21/06/1987", "1987-06", "1987-Q2", "1987-H1", "1987", "1985-1989", "1980-1989", "*",
    ]  # fmt: skip
    assert hierarchy.levels[4].loss[0] == pytest.approx(1 / 60)
    # Day and month in the other order are not guessed.
    with pytest.raises(ValueNotCovered, match="column 'born': different value 2 of 2 is not a date"):
        load_hierarchy(write(tmp_path, rule, "born.yaml"), "born", ["21/06/1987", "06/21/1987"])


def test_region_codes_generalize_by_their_leading_digits(tmp_path):
    path = write(tmp_path, "hierarchy: {type: regions, digits: 6, prefixes: [4, 2]}\n", "place.yaml")
    hierarchy = load_hierarchy(path, "place", ["110101", "110102", "110228", "440305"])
    assert hierarchy.levels[1].labels == ("1101**", "1102**", "4403**")
    assert hierarchy.levels[2].labels == ("11****", "44****")
    assert hierarchy.levels[2].loss.tolist() == pytest.approx([2 / 3, 0.0])
    for bad in ("11010", "1101\uff101", "11010a"):
        with pytest.raises(ValueNotCovered, match="different value 1 of 1 is not a code of 6 digits"):
            load_hierarchy(path, "place", [bad])


def test_trees_are_of_one_depth_and_name_a_value_once(tmp_path):
    tree = "{work: {care: [nurse, midwife], office: [clerk]}, none: {none: [none]}}"
    good = f"hierarchy: {{type: tree, tree: {tree}}}\n"
    hierarchy = load_hierarchy(write(tmp_path, good, "job.yaml"), "job")
    assert hierarchy.values == ("nurse", "midwife", "clerk", "none")
    assert [level.labels for level in hierarchy.levels[1:]] == [("care", "office", "none"), ("work", "none"), ("*",)]
    for tree, said in (
        ("{work: {care: [nurse]}, none: [x]}", "its values lie 2 to 3 levels deep"),
        ("{work: [nurse, clerk], none: [nurse]}", "value 3: column 'job': its value is at value 1 already"),
        ("{work: [1, 2]}", "a mapping or a list of texts is needed"),
        ("{work: []}", "a mapping or a list of texts is needed"),
    ):
        with pytest.raises(HierarchyInvalid) as caught:
            load_hierarchy(write(tmp_path, f"hierarchy: {{type: tree, tree: {tree}}}\n", "job.yaml"), "job")
        assert said in str(caught.value)


def test_a_yaml_key_that_stands_twice_is_refused(tmp_path):
    text = "hierarchy:\n  type: tree\n  tree:\n    work: [nurse]\n    none: [x]\n    work: [clerk]\n"
    with pytest.raises(HierarchyInvalid, match=r"job\.yaml: line 6: the same key stands at line 4"):
        load_hierarchy(write(tmp_path, text, "job.yaml"), "job")


@pytest.mark.parametrize(
    "rule",
    [
        "{type: intervals, low: 0, high: 10, widths: [2, 3]}",
        "{type: intervals, low: 0, high: 10, widths: [4, 2]}",
        "{type: intervals, low: 10, high: 10, widths: [2]}",
        "{type: dates, first: 2000-01-01, last: 2001-01-01, levels: [year, month]}",
        "{type: dates, first: 2001-01-01, last: 2000-01-01, levels: [year]}",
        '{type: dates, format: "%d/%m/%y", first: 2000-01-01, last: 2001-01-01, levels: [year]}',
        '{type: dates, format: "%Y-%m", first: 2000-01-01, last: 2001-01-01, levels: [year]}',
        "{type: regions, digits: 6, prefixes: [2, 4]}",
        "{type: regions, digits: 6, prefixes: [6]}",
        "{type: circles, digits: 6}",
        "{type: regions, digits: 6, prefixes: [2], more: 1}",
    ],
)
def test_a_rule_that_cannot_nest_is_refused_with_file_and_line(tmp_path, rule):
    with pytest.raises(ConfigError, match=r"rule\.yaml:1: field hierarchy"):
        load_hierarchy(write(tmp_path, f"hierarchy: {rule}\n", "rule.yaml"), "x", ["1"])


@given(hierarchies("a"))
def test_the_loss_of_a_level_never_falls_on_the_way_up(hierarchy):
    losses = [level.loss[level.group] for level in hierarchy.levels]
    for finer, coarser in pairwise(losses):
        assert (coarser >= finer).all()
    assert losses[0].max() == 0.0


@pytest.mark.parametrize("size", [256, 257, 1000])
def test_hierarchies_of_few_and_many_values_encode_alike(size):
    names = [f"v{number}" for number in range(size)]
    hierarchy = build("x", [names, ["*"] * size], where="x.csv")
    assert encode(hierarchy, names[::-1]).tolist() == list(range(size))[::-1]
    with pytest.raises(ValueNotCovered, match="row 2"):
        encode(hierarchy, [names[-1], "v9999"])
