"""Mondrian: every class holds k, l and t, classes do not overlap, and no cut that was allowed is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.anonymize import mondrian, mondrian_cuts
from fl_tasks.anonymize.errors import PolicyUnreachable
from fl_tasks.anonymize.metrics import measure
from fl_tasks.anonymize.mondrian import partition
from fl_tasks.anonymize.table import ordered, sensitive
from fl_tasks.contracts.anonymize import PrivacyPolicy
from tests.anonymize.naive import distance, diversity
from tests.anonymize.tables import ADULT, adult, adult_hierarchies, policies, secrets_of

SHA = "0" * 64
K5 = PrivacyPolicy(k=5)


@st.composite
def people(draw, most=40):
    """Columns of a number and a word, and two sensitive ones."""
    rows = draw(st.integers(2, most))

    def column(values):
        return draw(st.lists(values, min_size=rows, max_size=rows))

    numbers, words = column(st.integers(-3, 9)), column(st.sampled_from("abcde"))
    return numbers, words, column(st.sampled_from("xyz")), column(st.integers(0, 6))


def columns_of(numbers, words):
    return [ordered("number", np.array(numbers), "numeric"), ordered("word", words, "categorical")]


def cut(people, policy):
    numbers, words, secret_words, secret_numbers = people
    return partition(columns_of(numbers, words), secrets_of(secret_words, secret_numbers), policy)


def holds(members, people, policy):
    """Whether rows would do as a class, by plain counting."""
    if len(members) < policy.k:
        return False
    for values, is_ordered in ((people[2], False), (people[3], True)):
        part = [values[i] for i in members]
        if diversity(part, policy.diversity) < policy.l * (1 - 1e-9):
            return False
        if policy.t < 1.0 and distance(part, values, is_ordered) > policy.t + 1e-9:
            return False
    return True


@settings(max_examples=200, deadline=None)
@given(people(), policies)
def test_every_class_holds_k_l_and_t(people, policy):
    try:
        release = cut(people, policy)
    except PolicyUnreachable:
        assert not holds(range(len(people[0])), people, policy)
        return
    assert release.kept.all()
    for cls in range(len(release.loss)):
        assert holds(np.flatnonzero(release.class_of_row == cls), people, policy)
    report = measure(release, secrets_of(*people[2:]), policy, sha256=SHA)
    assert report.short_of() == ()


@settings(max_examples=150, deadline=None)
@given(people(), policies)
def test_classes_are_boxes_that_hold_their_rows_and_do_not_overlap(people, policy):
    try:
        release = cut(people, policy)
    except PolicyUnreachable:
        return
    numbers, words = people[:2]
    texts = release.texts("number"), release.texts("word")
    boxes = {}
    for row, (number, word) in enumerate(zip(numbers, words, strict=True)):
        low, _, high = texts[0][row].strip("[]").partition(", ")
        members = texts[1][row].strip("{}").split(", ")
        assert int(low) <= number <= int(high or low)
        assert word in members
        boxes[int(release.class_of_row[row])] = (int(low), int(high or low), set(members))
    for one, (low, high, members) in boxes.items():
        for other, (low2, high2, members2) in boxes.items():
            assert one == other or high < low2 or high2 < low or not (members & members2)


@settings(max_examples=100, deadline=None)
@given(people())
def test_no_class_can_be_cut_further_when_only_k_is_asked_for(people):
    policy = PrivacyPolicy(k=3)
    if len(people[0]) < 3:
        return
    release = cut(people, policy)
    for cls in range(len(release.loss)):
        members = np.flatnonzero(release.class_of_row == cls)
        for values in people[:2]:
            part = sorted(values[i] for i in members)
            assert not any(part[at - 1] != part[at] and at >= 3 and len(part) - at >= 3 for at in range(1, len(part)))


@settings(max_examples=100, deadline=None)
@given(people(), policies)
def test_counting_and_sorting_and_heaps_of_any_size_give_the_same_classes(people, policy):
    def classes():
        release = cut(people, policy)
        return sorted(np.flatnonzero(release.class_of_row == cls).tolist() for cls in range(len(release.loss)))

    try:
        usual = classes()
    except PolicyUnreachable:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mondrian_cuts, "_DENSE_FACTOR", 0)
        assert classes() == usual
        patch.setattr(mondrian_cuts, "_DENSE_FACTOR", 1000)
        patch.setattr(mondrian, "_HEAP", 3)
        assert classes() == usual


def test_the_cut_lies_at_the_value_nearest_to_the_median():
    release = partition([ordered("n", np.array([1, 1, 1, 1, 2, 3, 4, 5]), "numeric")], [], PrivacyPolicy(k=2))
    assert sorted(set(release.texts("n"))) == ["1", "[2, 3]", "[4, 5]"]
    assert release.loss.sum() == pytest.approx(0.5)


def test_dates_and_categories_are_written_as_they_came():
    days = np.array(["1987-06-21", "1987-06-23", "2001-01-01", "2001-01-05"], dtype="datetime64[D]")
    release = partition([ordered("born", days, "numeric")], [], PrivacyPolicy(k=2))
    assert release.texts("born").tolist() == ["[1987-06-21, 1987-06-23]"] * 2 + ["[2001-01-01, 2001-01-05]"] * 2
    release = partition([ordered("job", ["nurse", "clerk", "nurse"], "categorical")], [], PrivacyPolicy(k=2))
    assert set(release.texts("job")) == {"{clerk, nurse}"}
    assert release.loss.tolist() == [1.0]


def test_too_few_rows_and_too_few_sensitive_values_are_named_refusals():
    with pytest.raises(PolicyUnreachable, match="2 rows cannot reach k = 5"):
        partition([ordered("n", np.array([1, 2]), "numeric")], [], K5)
    with pytest.raises(PolicyUnreachable, match="all 6 rows together miss distinct l = 2"):
        partition([ordered("n", np.arange(6), "numeric")],
                  [sensitive("s", ["x"] * 6, "categorical")], PrivacyPolicy(k=2, l=2))  # fmt: skip


def test_adult_loses_less_than_anonypy_did(shared_data):
    """anonypy 0.2.1 left 2068 classes on the same rows and quasi-identifiers."""
    data = adult(shared_data)
    columns = [
        ordered(name, data[name], "numeric" if name == "age" else "categorical", hierarchy)
        for name, hierarchy in zip(ADULT, adult_hierarchies(shared_data), strict=True)
    ]
    report = measure(partition(columns, [], K5), [], K5, sha256=SHA)
    assert report.k >= 5
    assert report.suppressed == 0
    assert report.classes > 2068
    assert report.ncp < 0.0126


def test_one_million_nearly_unique_rows_end_with_k_and_none_suppressed():
    rng = np.random.default_rng(0)
    n = 1_000_000
    born = np.datetime64("1930-01-01") + rng.integers(0, 33_000, n)
    columns = [ordered("born", born, "numeric"), ordered("postcode", rng.integers(100_000, 860_000, n), "numeric")]
    report = measure(partition(columns, [], K5), [], K5, sha256=SHA)
    assert report.k >= 5
    assert report.suppressed == 0
    assert report.ncp < 0.005
