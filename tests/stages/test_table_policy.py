"""An agency's own policy.yaml on tables: which columns may be read, and what k, l and t a run has to ask for."""

from __future__ import annotations

import pytest

from fl_tasks.contracts.config import load_scenario, load_source, load_yaml
from fl_tasks.contracts.errors import PolicyRefused
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.policy import Policy
from fl_tasks.stages.enrol import init_agency
from fl_tasks.stages.policy import check_request, policy_path
from tests.stages.table_stages import AGENCY, AGENCY_YAML, SCENARIO, SCENARIO_YAML, changed, make_home, spec_of


@pytest.fixture
def home(tmp_path):
    make_home(tmp_path)
    init_agency(Home(tmp_path), tmp_path / "federation", SCENARIO, AGENCY)
    return tmp_path


def policy(home):
    return load_yaml(policy_path(Home(home).agency(AGENCY)), Policy).scenarios[SCENARIO]


def write(home, name, text):
    (home / "federation" / name).write_text(text)


def test_the_first_policy_admits_the_scenario_as_it_stands(home):
    found = policy(home)
    assert (found.least_k, found.least_l, found.most_t, found.most_suppressed) == (5, 1, 1.0, 0.1)
    assert set(found.columns) == {
        *("hh", "alter", "county", "sex", "health", "income", "work", "entitled", "day"),
        *("身份证", "姓名", "phone", "note"),
    }
    check_request(spec_of(home, "ingest"), None)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("{k: 5, l: 1,", "{k: 4, l: 1,", "least_k: the run wants k = 4, admitted is k >= 5"),
        ("suppression: 0.1", "suppression: 0.2", "most_suppressed: the run wants 0.2, admitted is 0.1"),
    ],
)
def test_a_run_that_asks_for_less_privacy_is_refused(home, old, new, field):
    write(home, f"scenarios/{SCENARIO}.yaml", changed(SCENARIO_YAML, (old, new)))
    with pytest.raises(PolicyRefused) as caught:
        check_request(spec_of(home, "ingest"), None)
    assert f"scenarios.benefit.{field}" in str(caught.value)


@pytest.mark.parametrize(
    ("strict", "field"),
    [
        (("least_l: 1", "least_l: 2"), "least_l: the run wants l = 1, admitted is l >= 2"),
        (("most_t: 1.0", "most_t: 0.3"), "most_t: the run wants t = 1, admitted is t <= 0.3"),
    ],
)
def test_an_agency_that_asks_for_more_takes_no_part(home, strict, field):
    path = policy_path(Home(home).agency(AGENCY))
    path.write_text(changed(path.read_text(), strict))
    with pytest.raises(PolicyRefused) as caught:
        check_request(spec_of(home, "ingest"), None)
    assert field in str(caught.value)


def test_a_run_that_asks_for_more_privacy_is_admitted(home):
    write(home, f"scenarios/{SCENARIO}.yaml", changed(SCENARIO_YAML, ("{k: 5, l: 1,", "{k: 9, l: 2, t: 0.5,")))
    check_request(spec_of(home, "ingest"), None)


def test_a_column_that_the_policy_does_not_name_is_not_read(home):
    write(home, f"agencies/{AGENCY}.yaml", changed(AGENCY_YAML, ("alter: age", "alter: age, wage: income")))
    with pytest.raises(PolicyRefused, match=r"columns: the run wants 'wage'"):
        check_request(spec_of(home, "ingest"), None)


def test_a_policy_that_names_no_columns_admits_any(home):
    found = policy(home).model_copy(update={"columns": None})
    config = load_scenario(home / "federation", SCENARIO)
    source = load_source(home / "federation", AGENCY, SCENARIO)
    from fl_tasks.stages.policy import Gate

    Gate(home, SCENARIO, found).check_config(config, source.model_copy(update={"columns": {"other": "income"}}))


@pytest.mark.parametrize("role", ["quasi_identifier", "key", "direct_identifier"])
def test_a_column_that_was_admitted_in_one_role_is_not_read_in_another(home, role):
    config = load_scenario(home / "federation", SCENARIO)
    column = config.table.of(role)[0].column
    path = policy_path(Home(home).agency(AGENCY))
    text = path.read_text()
    assert f"{column}: {role}" in text
    path.write_text(text.replace(f"{column}: {role}", f"{column}: feature"))
    with pytest.raises(PolicyRefused, match=f"roles.{column}: the run wants {role}, admitted is feature"):
        check_request(spec_of(home, "ingest"), None)
