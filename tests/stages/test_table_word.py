"""Four agencies with a table each: one whose rows are wrong is left out with the reason, the others take part."""

from __future__ import annotations

from collections import Counter

import pytest

from fl_tasks.contracts.data import ingested_path, quarantine_path, rejected_path
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import write_spec
from fl_tasks.data.tables.table import read_reasons
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.stages import enrol
from fl_tasks.stages.checks import read_checks
from fl_tasks.stages.runner import run_stage
from fl_tasks.stages.tables.ingest import read_ingested
from tests.stages.table_stages import (
    AGENCY_YAML,
    SCENARIO,
    SCENARIO_YAML,
    STAGES,
    agreed,  # noqa: F401 - a fixture
    changed,
    csv_of,
    make_home,
    people,
    spec_of,
)

AGENCIES = ("east", "north", "south", "west")
WRONG = "south"
STRICT = changed(SCENARIO_YAML, ("max_quarantined: 0.2", "max_quarantined: 0.05"))


@pytest.fixture
def home(tmp_path, agreed):  # noqa: F811
    make_home(tmp_path, scenario=STRICT)
    for seed, agency in enumerate(AGENCIES):
        path = tmp_path / "federation" / "agencies" / f"{agency}.yaml"
        path.write_text(AGENCY_YAML.replace("north", agency))
        data = Home(tmp_path).agency(agency) / "people.csv"
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_text(csv_of(people(400, seed)), encoding="utf-8")
    for agency in AGENCIES:
        enrol.init_agency(Home(tmp_path), tmp_path / "federation", SCENARIO, agency)
    return tmp_path


def deliver(home, rows):
    (Home(home).agency(WRONG) / "people.csv").write_text(csv_of(rows), encoding="utf-8")


def run(home, agency):
    """Run an agency's data stages as the scheduler would; returns the error's class if one refuses."""
    for stage, _ in STAGES:
        try:
            run_stage(write_spec(spec_of(home, stage).model_copy(update={"agency": agency})))
        except DataRejected as error:
            return type(error)
    return None


def word(home, run_id):
    roster = enrol.init_coordinator(Home(home), home / "federation", SCENARIO)
    return read_checks(FolderExchange(Home(home).exchange(run_id)), roster, run_id, roster.names)


def test_an_agency_with_too_many_wrong_rows_is_left_out_and_its_quarantine_explains_each(home):
    rows = people(400)
    for row in rows[:30]:
        row["county"] = "31337"
    for row in rows[30:50]:
        row["alter"] = ""
    deliver(home, rows)
    assert [run(home, agency) for agency in AGENCIES] == [None, None, DataRejected, None]
    found = word(home, spec_of(home, "ingest").run_id)
    assert set(found.passed) == set(AGENCIES) - {WRONG}
    assert found.excluded[WRONG].startswith("ingest: DataRejected: ")
    assert "at most 5% of the rows rejected" in found.excluded[WRONG]
    assert "31337" not in found.excluded[WRONG]
    assert set(word(home, spec_of(home, "ingest").survey_run_id).passed) == set(AGENCIES) - {WRONG}

    spec = spec_of(home, "ingest").model_copy(update={"agency": WRONG})
    reasons = Counter(read_reasons(rejected_path(spec.folder)))
    assert reasons == {"unknown value: county": 30, "missing: age": 20}
    assert reasons == read_ingested(spec).table.quarantined_by_reason
    assert ingested_path(spec.folder).exists()


def test_an_agency_whose_rows_stand_out_is_left_out_after_it_passed_the_raw_checks(home):
    rows = people(400)
    for number, row in enumerate(rows[:60]):
        row.update(alter=str(number % 20 + 80), county=("1101", "1201")[number % 2], sex=("1", "2")[number // 2 % 2])
    deliver(home, [row for number, row in enumerate(rows) if number < 60 or row["alter"] in ("20", "25")][:100])
    path = home / "federation" / "scenarios" / f"{SCENARIO}.yaml"
    path.write_text(changed(STRICT, ("k: 5,", "k: 20,")))
    assert [run(home, agency) for agency in AGENCIES] == [None, None, DataRejected, None]
    found = word(home, spec_of(home, "ingest").run_id)
    assert set(found.passed) == set(AGENCIES) - {WRONG}
    assert "reach k = 20" in found.excluded[WRONG]
    assert WRONG in word(home, spec_of(home, "ingest").survey_run_id).passed
    assert {found.privacy[agency].k >= 20 for agency in found.passed} == {True}
    spec = spec_of(home, "ingest").model_copy(update={"agency": WRONG})
    assert not quarantine_path(spec.folder).exists()
