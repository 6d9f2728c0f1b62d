"""The real flaws of real files: what their SOURCES.md tells of them, each handled by a stated rule."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections import Counter

import numpy as np
import pytest

from fl_tasks.contracts.table_config import TableSplitConfig
from fl_tasks.data.tables.declaration import declare
from fl_tasks.data.tables.deidentify import split_places, split_secret
from fl_tasks.data.tables.examples import parts
from fl_tasks.data.tables.table import read_table
from tests.data.tables.declared import config, read, source


@pytest.fixture
def welfare(shared_data, tmp_path):
    def take(name):
        shutil.copy(shared_data / "welfare" / f"{name}.csv.gz", tmp_path)
        with gzip.open(tmp_path / f"{name}.csv.gz", "rt") as file:
            return tmp_path, f"{name}.csv.gz", list(csv.DictReader(file))

    return take


def different(rows, column, missing=()):
    return tuple(sorted({row[column] for row in rows} - set(missing)))


def categories(rows, role, *names, missing=("",), **more):
    return tuple({"column": name, "role": role, "values": different(rows, name, missing), **more} for name in names)


def number(name, minimum, maximum, **more):
    return {"column": name, "role": "feature", "kind": "numeric", "minimum": minimum, "maximum": maximum, **more}


def test_adult_rows_with_a_question_mark_are_rejected_and_its_duplicates_merged_when_asked(welfare):
    folder, path, rows = welfare("adult_census_income")
    names = [name for name in rows[0] if name != "salary-class"]
    numeric = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
    schema = config(
        (
            *(number(name, 0.0, 2e6) for name in numeric),
            *categories(rows, "feature", *(name for name in names if name not in numeric), missing=("?",)),
            *categories(rows, "target", "salary-class"),
        ),
        classes=different(rows, "salary-class"),
    )
    complete = [tuple(row.values()) for row in rows if "?" not in row.values()]
    found = read(folder, source(path=path, missing=("?",), merge_duplicates=True), schema=schema).record
    assert found.rows.rows_in == 32_561
    assert found.rows.quarantined == 2_399
    assert {reason.partition(":")[0] for reason in found.quarantined_by_reason} == {"missing"}
    assert found.rows.merged == len(complete) - len(set(complete)) > 0
    apart = read(folder, source(path=path, missing=("?",)), schema=schema).record
    assert apart.rows.merged == 0
    assert apart.rows.rows_out == len(complete)


def test_children_without_an_economic_status_are_given_one_and_those_born_since_an_age(welfare):
    folder, path, _ = welfare("eusilc_tyrol")
    schema = config(
        (
            {"column": "household", "role": "key"},
            {"column": "person", "role": "direct_identifier", "treatment": "drop"},
            number("age", 0.0, 120.0),
            {"column": "status", "role": "feature", "values": (*"1234567", "not_asked")},
            {"column": "poor", "role": "target", "values": ("no", "yes")},
        )
    )
    declared = source(
        path=path,
        columns={"db030": "household", "rb030": "person", "pl030": "status", "poor_at_risk": "poor"},
        values={"age": {"-1": "0"}, "status": {"": "not_asked"}, "poor": {"0": "no", "1": "yes"}},
    )
    found = read(folder, declared, schema=schema)
    assert found.record.rows.model_dump() == {"rows_in": 1317, "rows_out": 1317, "quarantined": 0, "merged": 0}
    assert Counter(found.rows["status"])["not_asked"] == 296
    assert min(found.rows["age"]) == 0.0
    without = read(folder, declared.model_copy(update={"values": {"poor": {"0": "no", "1": "yes"}}}), schema=schema)
    assert set(without.record.quarantined_by_reason) == {"out of range: age", "missing: status"}

    table = read_table(folder / "raw.parquet")
    read(folder, declared, schema=schema)
    table = read_table(folder / "raw.parquet")
    places = split_places(table, declare(schema, declared), split_secret(b"s" * 32, "welfare"))
    chosen = parts(places, TableSplitConfig(train=0.7, validation=0.1, test=0.2), hold_validation=True)
    households = {part: set(table.columns["household"][mask]) for part, mask in chosen.items()}
    assert sum(map(len, households.values())) == len(set(table.columns["household"])) == 496


def test_ages_in_decades_become_whole_years_and_incomes_below_nothing_are_rejected(welfare):
    folder, path, rows = welfare("nmes1988_elderly_medicaid")
    schema = config(
        (
            {
                "column": "age",
                "role": "quasi_identifier",
                "kind": "numeric",
                "minimum": 60.0,
                "maximum": 120.0,
                "unit": "years",
            },
            number("income", 0.0, 1e6, unit="USD/year"),
            *categories(rows, "target", "medicaid"),
        ),
        classes=("no", "yes"),
    )
    declared = source(path=path, units={"age": "decades", "income": "10kUSD/year"})
    found = read(folder, declared, schema=schema)
    assert found.record.quarantined_by_reason == {"out of range: income": 3}
    kept = [row for row in rows if float(row["income"]) >= 0]
    assert found.rows["age"] == [float(round(float(row["age"]) * 10)) for row in kept]
    assert found.rows["income"] == pytest.approx([float(row["income"]) * 10_000 for row in kept])


def test_poland_has_minus_eight_for_not_applicable_and_one_impossible_weight_for_height(welfare):
    folder, path, rows = welfare("poland_social_diagnosis2011_10regions")
    schema = config(
        (
            number("bmi", 10.0, 80.0, optional=True),
            number("unempdur", 0.0, 48.0, optional=True),
            *categories(rows, "feature", "eduspec", optional=True),
            *categories(rows, "target", "smoke"),
        ),
        classes=("NO", "YES"),
    )
    found = read(folder, source(path=path, missing=("", "-8.0")), schema=schema)
    assert found.record.quarantined_by_reason == {"missing: smoke": 6, "out of range: bmi": 1}
    assert np.isnan(found.rows["unempdur"]).sum() > 0
    assert np.nanmin(found.rows["unempdur"]) >= 0
