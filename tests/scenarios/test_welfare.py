"""welfare and welfare_unemployment: what agencies write differently means the same once it is read."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter

import pytest

from fl_tasks.contracts.errors import InputError
from fl_tasks.scenarios import welfare, welfare_unemployment
from tests.benchmarks.learning_examples import delivered


def survey(path):
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def regions(shared_data, tmp_path_factory):
    return delivered("welfare", welfare.split_real(shared_data), tmp_path_factory.mktemp("welfare") / "home")


@pytest.fixture(scope="module")
def states(shared_data, tmp_path_factory):
    files = welfare_unemployment.split_real(shared_data)
    return delivered("welfare_unemployment", files, tmp_path_factory.mktemp("states") / "home")


def test_each_region_reads_as_the_survey_has_it_whatever_its_agency_writes(regions, shared_data):
    statuses = ["not_asked", "full_time", "part_time", "unemployed", "education", "retired", "disabled", "domestic"]
    for region, agency in regions.items():
        rows = survey(shared_data / "welfare" / f"eusilc_{region}.csv.gz")
        told = agency.table.columns
        assert Counter(told["sex"]) == Counter(row["rb090"] for row in rows)
        assert Counter(told["poor"]) == Counter("yes" if row["poor_at_risk"] == "1" else "no" for row in rows)
        assert Counter(told["economic_status"]) == Counter(statuses[int(float(row["pl030"] or 0))] for row in rows)
        assert Counter(told["citizenship"]) == Counter(row["pb220a"] or "not_asked" for row in rows)
        assert told["age"].tolist() == [max(float(row["age"]), 0.0) for row in rows]


def test_workers_are_those_of_the_persons_household(regions, shared_data):
    rows = survey(shared_data / "welfare" / "eusilc_vorarlberg.csv.gz")
    at_work = Counter(row["db030"] for row in rows if row["pl030"] in ("1", "2"))
    assert regions["vorarlberg"].table.columns["workers"].tolist() == [at_work[row["db030"]] for row in rows]


def test_regions_deliver_in_several_encodings_names_and_codes(shared_data):
    files = welfare.split_real(shared_data)
    heads = {}
    for region, content in files.items():
        text = gzip.decompress(content[welfare.FILE]).decode("gb18030" if region == "styria" else "utf-8")
        heads[region] = next(csv.reader(io.StringIO(text)))
    assert "性别" in heads["styria"]
    assert "economic_status" in heads["upper_austria"]
    assert "pl030" in heads["vorarlberg"]


def test_states_are_those_with_at_least_140_rows_and_read_as_the_survey_has_them(states, shared_data):
    rows = survey(shared_data / "welfare" / "us_unemployment_benefits_by_state.csv.gz")
    large = {code for code, count in Counter(row["state"] for row in rows).items() if count >= 140}
    assert set(welfare_unemployment.STATES.values()) == large
    for state, code in welfare_unemployment.STATES.items():
        own = [row for row in rows if row["state"] == code]
        told = states[state].table.columns
        assert Counter(told["received"]) == Counter(row["ui"] for row in own)
        assert Counter(told["job_lost"]) == Counter(row["joblost"] for row in own)
        assert Counter(told["nonwhite"]) == Counter(row["nwhite"] for row in own)
        assert told["tenure"] == pytest.approx([float(row["tenure"]) for row in own])


def test_a_file_without_a_state_is_refused(tmp_path, shared_data):
    with gzip.open(shared_data / "welfare" / "us_unemployment_benefits_by_state.csv.gz", "rt") as file:
        lines = [line for line in file if line.split(",")[2] != "74"]
    with gzip.open(tmp_path / "us_unemployment_benefits_by_state.csv.gz", "wt") as file:
        file.writelines(lines)
    with pytest.raises(InputError, match="column 'state': no row of state_texas"):
        welfare_unemployment.split_real(tmp_path)
