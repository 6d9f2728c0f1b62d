"""Figures of a privacy report, worked out by hand, and its binding to wording and data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fl_tasks.anonymize.cells import SensitiveColumn, combine, count_cells, group
from fl_tasks.anonymize.diversity import distance, entropy, spread
from fl_tasks.anonymize.errors import PolicyUnreachable
from fl_tasks.anonymize.hierarchy import build
from fl_tasks.anonymize.lattice import search
from fl_tasks.anonymize.metrics import measure
from fl_tasks.anonymize.mondrian import partition
from fl_tasks.anonymize.release import Release, ReleasedColumn
from fl_tasks.anonymize.table import encode, ordered, sensitive
from fl_tasks.contracts.anonymize import STATEMENT, PrivacyPolicy, PrivacyReport
from fl_tasks.contracts.errors import InputError
from tests.anonymize.naive import distance as plain_distance
from tests.anonymize.naive import entropy as plain_entropy

POLICY = PrivacyPolicy(k=2, l=2, t=0.3, suppression=0.2)
SHA = "ab" * 32


def release_of(class_of_row, loss):
    column = ReleasedColumn("age", np.zeros(len(loss), dtype=np.int32), ("*",))
    return Release("lattice", (column,), np.array(class_of_row, dtype=np.int32), np.array(loss), (1,))


def report_of(class_of_row, loss, words, policy=POLICY):
    return measure(release_of(class_of_row, loss), [sensitive("word", words, "categorical")], policy, sha256=SHA)


def test_the_figures_of_a_small_release():
    report = report_of([0, 0, 0, 1, 1, -1], [0.5, 0.25], ["x", "y", "y", "x", "y", "z"])
    assert (report.rows_in, report.rows_out, report.suppressed, report.classes) == (6, 5, 1, 2)
    assert (report.k, report.l) == (2, 2)
    assert report.l_entropy == pytest.approx(math.exp(-(math.log(1 / 3) / 3 + 2 / 3 * math.log(2 / 3))))
    assert report.t == pytest.approx(0.1)  # x: 2/5 of all, 1/2 of the second class
    assert report.ncp == pytest.approx((3 * 0.5 + 2 * 0.25 + 1) / 6)
    assert report.discernibility == 9 + 4 + 6
    assert (report.risk_max, report.risk_average) == (0.5, 2 / 5)
    assert report.sha256 == SHA
    assert report.short_of() == ()


def test_a_report_says_which_limits_are_missed():
    report = report_of([0, 1, 1, 1, 1, -1, -1], [0.0, 0.0], ["x", "y", "y", "y", "z", "x", "x"])
    assert report.short_of() == ("k", "l", "t", "suppression")
    entropic = PrivacyPolicy(k=2, l=2, diversity="entropy")
    assert report_of([0, 0, 0, 1, 1], [0.0, 0.0], ["x", "y", "y", "x", "y"], entropic).short_of() == ("l",)


def test_a_report_keeps_the_standards_wording():
    report = report_of([0, 0], [0.0], ["x", "y"])
    assert report.statement == STATEMENT
    for word in ("GB/T 37964-2019", "GB/T 42460-2023", "PIPL art. 51 and 73", "De-identified", "not anonymous"):
        assert word in report.statement
    with pytest.raises(ValidationError, match="wording"):
        PrivacyReport(**{**report.model_dump(), "statement": "anonymous"})
    assert PrivacyReport.model_validate_json(report.model_dump_json()) == report


def test_a_release_without_rows_is_refused():
    with pytest.raises(PolicyUnreachable, match="all 2 rows are suppressed"):
        report_of([-1, -1], [], ["x", "y"])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=60), st.booleans())
def test_distances_and_entropies_are_those_of_the_definitions(rows, is_ordered):
    classes, values = np.array(rows).T
    column = SensitiveColumn("s", values, 7, is_ordered)
    pairs = spread(classes, values, np.ones(len(rows), dtype=np.int32), np.bincount(classes, minlength=5), column)
    distances, entropies = distance(pairs, pairs.overall()), entropy(pairs)
    for cls in set(classes.tolist()):
        part = values[classes == cls].tolist()
        assert distances[cls] == pytest.approx(plain_distance(part, values.tolist(), is_ordered), abs=1e-12)
        assert entropies[cls] == pytest.approx(plain_entropy(part))


@pytest.mark.parametrize("values", [["1", None, "3"], ["1", "x", "3"], ["1", "nan", "3"], np.array([1.0, np.nan, 3.0])])
def test_a_number_that_is_missing_is_named_by_its_row_alone(values):
    for read in (lambda: sensitive("income", values, "numeric"), lambda: ordered("income", values, "numeric")):
        with pytest.raises(InputError, match="data: column 'income': row 2 ") as caught:
            read()
        assert "'x'" not in str(caught.value)


def test_numbers_given_as_text_or_as_numbers_are_the_same():
    text = ordered("n", ["10", "9", "10.5"], "numeric")
    number = ordered("n", np.array([10, 9, 10.5]), "numeric")
    assert text.codes.tolist() == number.codes.tolist() == [1, 0, 2]
    assert [text.text(code) for code in range(3)] == ["9", "10", "10.5"]
    far_apart = ordered("n", np.array([10**12, 5, 5]), "numeric")
    assert far_apart.codes.tolist() == [1, 0, 0]


def test_columns_of_two_lengths_and_no_rows_at_all_are_refused():
    with pytest.raises(InputError, match="columns of 1 and 3 rows"):
        count_cells([np.array([0, 1, 0]), np.array([0])], [2, 1])
    empty = ordered("n", np.array([], dtype=np.int64), "numeric")
    with pytest.raises(PolicyUnreachable, match="0 rows cannot reach k = 2"):
        partition([empty], [], POLICY)
    hierarchy = build("n", [["1", "2"], ["*", "*"]], where="n.csv")
    cells, _ = count_cells([encode(hierarchy, [])], [2])
    with pytest.raises(PolicyUnreachable, match="no recoding of 0 rows"):
        search(cells, [hierarchy], POLICY)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=50))
def test_rows_are_grouped_alike_by_counting_by_sorting_and_in_steps(rows):
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    numbers = {row: number for number, row in enumerate(sorted(set(rows)))}
    for sizes in ([6, 6, 6], [6, 2**20, 2**20], [2**40, 2**40, 2**40]):
        found = group(*combine(columns, sizes))
        assert found.of_row.tolist() == [numbers[row] for row in rows]
        assert found.count.tolist() == [rows.count(row) for row in numbers]
        assert [rows[some] for some in found.some] == list(numbers)
        weights = np.arange(len(rows))
        weighted = group(*combine(columns, sizes), weights)
        assert weighted.count.tolist() == [sum(i for i, row in enumerate(rows) if row == of) for of in numbers]
