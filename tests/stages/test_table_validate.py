"""validate, for tables: each critical check refuses its own wrong, by name and without a value; others only warn."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import numpy as np
import pytest

from fl_tasks.contracts.base import sha256_file
from fl_tasks.contracts.data import (
    Accepted,
    Ingested,
    accepted_path,
    data_docs_path,
    deidentified_path,
    deidentified_record_path,
    ingested_path,
    prepared_path,
    privacy_path,
)
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.tables.declaration import SPLIT
from fl_tasks.data.tables.table import Table, read_table, texts, write_table
from fl_tasks.stages.tables import validate
from tests.data.identifier_fakes import Fakes
from tests.stages.table_stages import (
    SCENARIO_YAML,
    agreed,  # noqa: F401 - a fixture
    changed,
    folder_of,
    let_agree,
    make_home,
    quality_of,
    run_until,
    spec_of,
)

pytestmark = pytest.mark.usefixtures("agreed")
ROWS = 400
CANARY = "31337.125"


@pytest.fixture(scope="module")
def standardized(tmp_path_factory):
    """A home in which a run has come as far as standardize; l and t are asked for."""
    folder = tmp_path_factory.mktemp("standardized")
    with pytest.MonkeyPatch.context() as patch:
        let_agree(patch)
        scenario = changed(SCENARIO_YAML, ("{k: 5, l: 1, suppression: 0.1}", "{k: 5, l: 2, t: 0.6, suppression: 0.1}"))
        run_until(make_home(folder, scenario=scenario), "standardize")
    return folder


@pytest.fixture
def home(standardized, tmp_path):
    shutil.copytree(standardized, tmp_path / "home")
    return tmp_path / "home"


def bind(folder):
    """Let the records be of the rows as they are now, so that only what was changed is wrong."""
    digest = sha256_file(deidentified_path(folder))
    for path in (deidentified_record_path(folder), privacy_path(folder)):
        edit(path, lambda record: record.update(sha256=digest))


def edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def with_rows(change):
    def apply(folder):
        path = deidentified_path(folder)
        write_table(path, change(read_table(path)))
        bind(folder)

    return apply


def with_cell(column, value):
    def change(table):
        values = table.columns[column].copy()
        values[7] = value
        return table.replaced({column: values})

    return with_rows(change)


def with_column(name, values):
    return with_rows(lambda table: table.replaced({name: values}))


def with_privacy(**changes):
    return lambda folder: edit(privacy_path(folder), lambda record: record.update(changes))


def with_read(**changes):
    return lambda folder: edit(ingested_path(folder), lambda record: record["table"].update(changes))


def without(column):
    return with_rows(lambda table: Table({name: cells for name, cells in table.columns.items() if name != column}))


WRONGS = {
    "schema": without("health"),
    "values": with_cell("work", CANARY),
    "ranges": with_cell("income", 1e6),
    "present": with_cell("health", ""),
    "leakage": with_column("remarks", texts([f"about {CANARY}"] * ROWS)),
    "leakage_name": with_column("mobile", np.ones(ROWS)),
    "no_identifier_left": with_column("remarks", texts([Fakes(3).resident_id()] * ROWS)),
    "fit_rows": with_column(SPLIT, np.full(ROWS, 0.99)),
    "held_back_rows": with_column(SPLIT, np.full(ROWS, 0.01)),
    "quarantined": with_read(rows={"rows_in": 600, "rows_out": 400, "quarantined": 200, "merged": 0}),
    "completeness": with_read(present=0.4),
    "freshness": with_read(newest="2024-05-01"),
    "privacy_k": with_privacy(k=4),
    "privacy_l": with_privacy(l=1),
    "privacy_t": with_privacy(t=0.7),
    "privacy_suppression": with_privacy(suppressed=41),
    "privacy_bound": with_privacy(sha256="0" * 64),
}


def names(report, severity="critical"):
    return {check.name.partition("/")[0] for check in report.failed(severity)}


def test_good_rows_pass_every_check(home):
    validate.run(spec_of(home, "validate"))
    report = quality_of(folder_of(home))
    assert not report.failed("critical")
    assert not report.failed("warning")
    assert prepared_path(folder_of(home)).exists()


@pytest.mark.parametrize("check", list(WRONGS))
def test_each_critical_check_refuses_its_wrong_by_name_and_without_a_value(home, check):
    folder = folder_of(home)
    WRONGS[check](folder)
    with pytest.raises(DataRejected) as caught:
        validate.run(spec_of(home, "validate"))
    assert check in names(quality_of(folder))
    assert f"{check}/" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert not prepared_path(folder).exists()
    pages = b"".join(page.read_bytes() for page in data_docs_path(folder).rglob("*.html"))
    assert pages
    assert CANARY.encode() not in pages


def test_every_critical_check_has_been_violated_once(home):
    validate.run(spec_of(home, "validate"))
    known = {
        check.name.partition("/")[0] for check in quality_of(folder_of(home)).checks if check.severity == "critical"
    }
    assert known == set(WRONGS)


def test_a_refusal_names_the_column_of_an_identifier_but_not_the_identifier(home):
    WRONGS["no_identifier_left"](folder_of(home))
    with pytest.raises(DataRejected, match="column 'remarks' holds resident ids in 400 cells") as caught:
        validate.run(spec_of(home, "validate"))
    assert Fakes(3).resident_id() not in str(caught.value)


def test_a_text_that_only_looks_like_an_identifier_is_noted(home):
    wrong = Fakes(3).resident_id()
    wrong = wrong[:-1] + ("1" if wrong[-1] != "1" else "2")
    hashed = read_table(deidentified_path(folder_of(home))).columns["phone"].copy()
    hashed[0] = wrong
    with_column("phone", hashed)(folder_of(home))
    with pytest.raises(DataRejected):  # no keyed hash any more, either
        validate.run(spec_of(home, "validate"))
    assert "suspicious_text" in names(quality_of(folder_of(home)), "warning")


def test_a_refused_run_is_not_remembered_and_an_accepted_one_is(home):
    path = accepted_path(spec_of(home, "ingest").places.agency("north"), "benefit")
    folder = folder_of(home)
    kept = privacy_path(folder).read_text()
    WRONGS["privacy_k"](folder)
    with pytest.raises(DataRejected):
        validate.run(spec_of(home, "validate"))
    assert not path.exists()
    privacy_path(folder).write_text(kept)
    validate.run(spec_of(home, "validate"))
    accepted = Accepted.model_validate_json(path.read_bytes())
    assert set(accepted.reference) == {"age", "county", "sex", "income", "work", "entitled"}
    assert accepted.values_a_day == pytest.approx(ROWS / 30)


def test_the_newest_day_is_what_ingest_read(home):
    table = Ingested.model_validate_json(ingested_path(folder_of(home)).read_bytes()).table
    assert table.newest == dt.date(2024, 6, 30)
