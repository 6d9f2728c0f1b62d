"""medical and medical_medicaid: regions cut in halves without cutting households, units brought together."""

from __future__ import annotations

import csv
import gzip

import pytest

from fl_tasks.contracts.errors import InputError
from fl_tasks.scenarios import medical, medical_medicaid
from fl_tasks.scenarios.deliveries import halves, runs
from tests.benchmarks.learning_examples import delivered


def survey(path):
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def elderly(shared_data, tmp_path_factory):
    files = medical_medicaid.split_real(shared_data)
    return delivered("medical_medicaid", files, tmp_path_factory.mktemp("elderly") / "home")


def test_neighbours_that_are_alike_are_one_household():
    cells = {"region": ["a", "a", "a", "b", "b"], "family": ["2", "2", "3", "3", "3"]}
    assert runs(cells, ("region", "family")) == ["1", "1", "2", "3", "3"]


def test_a_half_ends_where_a_household_ends():
    households = ["1", "2", "2", "2", "3", "4"]
    assert halves(range(6), households) == ([0, 1, 2, 3], [4, 5])
    assert halves(range(4, 6), households) == ([4], [5])


def test_the_south_is_two_offices_and_every_row_of_the_survey_is_in_one(shared_data):
    files = medical.split_real(shared_data)
    encodings = {"insurance_midwest": "gb18030"}
    people = [
        line.split(",")[0]
        for office, content in files.items()
        for line in gzip.decompress(content[medical.FILE]).decode(encodings.get(office, "utf-8")).splitlines()[1:]
    ]
    assert len(people) == len(set(people)) == len(survey(shared_data / "welfare" / "health_insurance_us.csv.gz"))


def test_people_who_answered_alike_are_not_merged(shared_data, tmp_path):
    offices = delivered("medical", medical.split_real(shared_data), tmp_path / "home")
    rows = survey(shared_data / "welfare" / "health_insurance_us.csv.gz")
    assert len({tuple(row.values()) for row in rows}) < len(rows)
    assert sum(len(office.table) for office in offices.values()) == len(rows)
    assert sum(office.merged for office in offices.values()) == 0


def test_ages_and_incomes_are_in_one_unit_at_all_offices(elderly, shared_data):
    rows = survey(shared_data / "welfare" / "nmes1988_elderly_medicaid.csv.gz")
    for region, office in (("northeast", "elderly_northeast"), ("west", "elderly_west")):
        own = [row for row in rows if row["region"] == region]
        told = elderly[office].table.columns
        assert told["age"].tolist() == [round(10 * float(row["age"])) for row in own]
        assert told["income"] == pytest.approx([10_000 * float(row["income"]) for row in own])
    others = [elderly[f"elderly_other_{half}"].table.columns["income"] for half in ("first", "second")]
    told = [*others[0], *others[1]]
    assert told == pytest.approx([10_000 * float(row["income"]) for row in rows if row["region"] == "other"])
    assert min(told) < 0


@pytest.mark.parametrize(
    ("module", "file", "region"),
    [
        (medical, "health_insurance_us.csv.gz", "midwest"),
        (medical_medicaid, "nmes1988_elderly_medicaid.csv.gz", "west"),
    ],
)
def test_a_file_without_a_region_is_refused(module, file, region, shared_data, tmp_path):
    rows = [row for row in survey(shared_data / "welfare" / file) if row["region"] != region]
    with gzip.open(tmp_path / file, "wt") as target:
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=f"column 'region': no row of {region}"):
        module.split_real(tmp_path)
