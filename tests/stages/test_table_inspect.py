"""fl validate on tables: a whole source is read, and its owner learns what a run would reject and where it stands."""

from __future__ import annotations

import pytest

from fl_tasks.stages.inspect_input import inspect_federation, inspect_source
from tests.stages.table_stages import (
    AGENCY,
    AGENCY_YAML,
    HIERARCHIES,
    SCENARIO,
    SCENARIO_YAML,
    agreed,  # noqa: F401 - a fixture
    changed,
    make_home,
    people,
)

CANARY = "31337"


def inspected(home, path=None):
    return inspect_source(home / "federation", home / "agencies" / AGENCY, SCENARIO, AGENCY, path)


def test_a_good_table_is_summed_up(tmp_path):
    found = inspected(make_home(tmp_path))
    assert not found.problems
    assert found.summary[0] == "rows: 400 of 400, 0 delivered twice, 0 rejected"
    assert found.summary[-1] == "identifiers: id (hash), name (drop), phone (hash), note (drop)"


def test_rejected_rows_are_told_with_their_first_place(tmp_path):
    rows = people(400)
    for at in (5, 9):
        rows[at]["county"] = CANARY
    found = inspected(make_home(tmp_path, rows))
    assert "rejected: unknown value: county: 2 rows, the first at people.csv: line 7" in found.summary
    assert CANARY not in "".join(found.summary)


def test_too_many_rejected_rows_are_a_problem(tmp_path):
    found = inspected(make_home(tmp_path, [{**row, "sex": "3"} for row in people(50)]))
    assert found.problems[0].endswith("more than 20% of the rows would be rejected")
    assert "unknown value: sex: 50 rows" in found.problems[1]


def test_another_file_can_be_tried_and_a_broken_one_is_named(tmp_path):
    home = make_home(tmp_path)
    other = tmp_path / "try.csv"
    other.write_text("a,b\n1,2\n")
    assert "try.csv: line 1: there is no column 'hh'" in inspected(home, other).problems[0]


@pytest.mark.usefixtures("agreed")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agency": changed(AGENCY_YAML, ("alter: age", "alter: ages"))}, "field columns: column 'ages' is not in"),
        ({"hierarchies": {**HIERARCHIES, "county.csv": "1101,*\n1101,*\n"}}, "county.csv: line 2"),
        (
            {"hierarchies": {**HIERARCHIES, "sex.yaml": "hierarchy: {type: tree, tree: {any: [male]}}\n"}},
            "sex.yaml: column 'sex': declared value 1 of 2 is not in the hierarchy",
        ),
        ({"hierarchies": {name: text for name, text in HIERARCHIES.items() if name != "county.csv"}}, "county.csv"),
        (
            {"scenario": changed(SCENARIO_YAML, ("{column: health, role: sensitive", "{column: health, role: secret"))},
            "field data.columns.6.role",
        ),
    ],
)
def test_a_federation_whose_tables_do_not_fit_is_told(tmp_path, changes, message):
    home = make_home(tmp_path, **changes)
    problems = inspect_federation(home / "federation").problems
    assert any(message in problem for problem in problems), problems
