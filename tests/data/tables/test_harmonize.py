"""Harmonizing: every rule, every reason, and no row that is not accounted for."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.contracts.errors import ConfigError, DataRejected, InputError
from fl_tasks.data.tables.declaration import PLACE, declare
from fl_tasks.data.tables.ingest import require_rows
from tests.data.tables.declared import CANARY, COLUMNS, GOOD, HEADER, SPAN, config, lines, read, source


def deliver(folder, *rows, header=HEADER):
    (folder / "people.csv").write_text(lines(*rows, header=header))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,,24/12/1989,1,yes,no", "missing: age"),
        ("a,34,,1,yes,no", "missing: born"),
        ("a,34,24/12/1989,1,yes,", "missing: poor"),
        ("a,x31337,24/12/1989,1,yes,no", "not a number: age"),
        ("a,1_0,24/12/1989,1,yes,no", "not a number: age"),
        ("a,nan,24/12/1989,1,yes,no", "not a number: age"),
        ("a,34,24/12/1989,inf,yes,no", "not a number: income"),
        ("a,121,24/12/1989,1,yes,no", "out of range: age"),
        ("a,-1,24/12/1989,1,yes,no", "out of range: age"),
        ("a,34.5,24/12/1989,1,yes,no", "not a whole number: age"),
        ("a,34,24/12/2089,1,yes,no", "unknown value: born"),
        ("a,34,24/12/1989,1,maybe,no", "unknown value: work"),
        ("a,34,24/12/1989,1,yes,perhaps", "unknown value: poor"),
    ],
)
def test_a_row_that_does_not_fit_is_quarantined_with_its_reason_and_place(tmp_path, row, reason):
    deliver(tmp_path, GOOD, row)
    found = read(tmp_path)
    assert found.reasons == [reason]
    assert found.rejected[PLACE].tolist() == ["people.csv: line 3"]
    assert [found.rejected[name].tolist()[0] for name in ("age", "born", "income", "work", "poor", "id")] == [
        *row.split(",")[1:],
        "a",
    ]
    assert found.rows["id"] == ["a"]
    assert found.record.quarantined_by_reason == {reason: 1}


def test_what_may_be_missing_stays_missing(tmp_path):
    deliver(tmp_path, "a,34,24/12/1989,,,no")
    rows = read(tmp_path).rows
    assert math.isnan(rows["income"][0])
    assert rows["work"] == [""]


def test_names_values_units_and_missing_texts_are_as_declared(tmp_path):
    deliver(tmp_path, "a,408,24/12/1989,-8,1,0", "b,12,24/12/1989,7,2,1", header="ID,months,born,income,work,arm")
    declared = source(
        columns={"ID": "id", "months": "age", "arm": "poor"},
        values={"work": {"1": "yes", "2": "no"}, "poor": {"0": "no", "1": "yes"}},
        units={"age": "months"},
        missing=("", "-8"),
    )
    rows = read(tmp_path, declared).rows
    assert rows["age"] == pytest.approx([34.0, 1.0])
    assert rows["work"] == ["yes", "no"]
    assert rows["poor"] == ["no", "yes"]
    assert math.isnan(rows["income"][0])


def test_a_converted_number_keeps_no_last_digits_error(tmp_path):
    decades = ("6.9", "0.7", "8.2", "11.1")
    deliver(tmp_path, *(GOOD.replace("34", text) for text in decades))
    assert read(tmp_path, source(units={"age": "decades"})).rows["age"] == [69.0, 7.0, 82.0, 111.0]


def test_a_declared_text_may_stand_for_what_is_missing(tmp_path):
    schema = config((*COLUMNS[:4], {"column": "work", "role": "feature", "values": ("yes", "unknown")}, COLUMNS[5]))
    deliver(tmp_path, "a,34,24/12/1989,1,,no")
    assert read(tmp_path, source(values={"work": {"": "unknown"}}), schema=schema).rows["work"] == ["unknown"]


def test_dates_in_two_orders_are_refused_with_line_and_column(tmp_path):
    deliver(tmp_path, GOOD, "a,34,12/24/1989,1,yes,no")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert "people.csv: line 3: column 'born': its dates are in two orders" in str(caught.value)
    assert "1989" not in str(caught.value)


def test_columns_that_nobody_knows_are_not_read(tmp_path):
    deliver(tmp_path, f"{GOOD},{CANARY}", header=f"{HEADER},secret")
    assert "secret" not in read(tmp_path).rows


def test_a_dropped_identifier_is_gone_at_once_and_a_hashed_one_waits(tmp_path):
    deliver(tmp_path, f"{GOOD},{CANARY},555", header=f"{HEADER},name,phone")
    found = read(tmp_path, source(identifiers={"name": "drop", "phone": "hash"}))
    assert "name" not in found.rows
    assert found.rows["phone"] == ["555"]
    assert found.record.identifiers == {"id": "hash", "name": "drop", "phone": "hash"}


def test_full_duplicates_are_merged_where_a_row_is_known_and_people_alike_are_not(tmp_path):
    deliver(tmp_path, GOOD, GOOD.replace("34", "034"), GOOD.replace("a,", "b,"), GOOD)
    found = read(tmp_path)
    assert found.rows["id"] == ["a", "b"]
    assert found.record.rows.merged == 2
    nameless = config(COLUMNS[1:])
    assert read(tmp_path, schema=nameless).record.rows.merged == 0
    assert read(tmp_path, source(merge_duplicates=True), schema=nameless).record.rows.merged == 3


def test_rows_that_differ_in_a_dropped_identifier_are_two_people(tmp_path):
    deliver(tmp_path, f"{GOOD},Li", f"{GOOD},Wang", header=f"{HEADER},name")
    assert read(tmp_path, source(identifiers={"name": "drop"})).record.rows.rows_out == 2


def test_only_rows_of_the_span_are_read(tmp_path):
    days = ("2024-03-31", "2024-04-01", "2024-06-30", "2024-07-01")
    deliver(tmp_path, *(f"{GOOD.replace('a,', f'{day},')},{day}" for day in days), header=f"{HEADER},day")
    found = read(tmp_path, source(snapshot=None, as_of="day"))
    assert found.rows["id"] == ["2024-04-01", "2024-06-30"]
    assert found.record.rows.rows_in == 2
    assert found.record.newest == dt.date(2024, 6, 30)


def test_a_day_that_is_no_iso_date_is_refused_with_its_place(tmp_path):
    deliver(tmp_path, f"{GOOD},2024-05-01", f"{GOOD},01/05/2024", header=f"{HEADER},day")
    with pytest.raises(InputError, match=r"people\.csv: line 3: column 'day': not an ISO date"):
        read(tmp_path, source(snapshot=None, as_of="day"))


def test_a_span_without_a_row_is_refused(tmp_path):
    deliver(tmp_path, f"{GOOD},2020-05-01", header=f"{HEADER},day")
    with pytest.raises(InputError, match="no row speaks of a day from 2024-04-01 to before 2024-07-01"):
        read(tmp_path, source(snapshot=None, as_of="day"))


def test_a_snapshot_is_as_old_as_it_is_only_in_production(tmp_path):
    deliver(tmp_path, GOOD)
    old = dt.date(2011, 1, 1)
    assert read(tmp_path, source(snapshot=old)).record.newest == dt.date(2024, 6, 30)
    assert read(tmp_path, source(snapshot=old, production=True)).record.newest == old
    with pytest.raises(InputError, match="field snapshot: 2024-07-01 is not before the run's end"):
        read(tmp_path, source(snapshot=SPAN[1], production=True))


def test_without_a_target_rows_can_only_be_scored(tmp_path):
    deliver(tmp_path, GOOD.rpartition(",")[0], header=HEADER.rpartition(",")[0])
    with pytest.raises(InputError, match="there is no column 'poor'"):
        read(tmp_path)
    assert "poor" not in read(tmp_path, scoring=True).rows


@given(
    st.lists(st.sampled_from([GOOD, "b,35,24/12/1989,1,no,yes", "c,x,24/12/1989,1,no,no", "d,1,,1,no,no"]), min_size=1)
)
def test_rows_in_are_rows_out_quarantined_and_merged(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    deliver(folder, *rows)
    found = read(folder)
    counts = found.record.rows
    assert counts.rows_in == len(rows) == counts.rows_out + counts.quarantined + counts.merged
    assert counts.quarantined == len(found.reasons)
    assert Counter(found.reasons) == found.record.quarantined_by_reason
    assert counts.rows_out == len(found.rows["id"])


QUALITY = {"min_rows": 2, "min_completeness": 0.9, "max_quarantined": 0.3, "max_age_days": 10}


@pytest.mark.parametrize(
    ("rows", "changes", "needs"),
    [
        ([GOOD, GOOD.replace("a,", "b,")], {}, None),
        ([GOOD], {}, "at least 2 rows"),
        ([GOOD, GOOD.replace("34", "x")], {}, "at most 30% of the rows rejected"),
        ([GOOD, "b,34,24/12/1989,,,no"], {}, "at least 90% of the values present"),
        (
            [GOOD, "b,34,24/12/1989,1,yes,no"],
            {"snapshot": dt.date(2024, 6, 20), "production": True},
            "a newest day on or after 2024-06-21",
        ),
    ],
)
def test_rows_beyond_a_limit_are_refused_by_the_limits_name(tmp_path, rows, changes, needs):
    deliver(tmp_path, *rows)
    record = read(tmp_path, source(**changes)).record
    schema = config(quality=QUALITY)
    if needs is None:
        require_rows(record, schema, SPAN, "people.csv")
        return
    with pytest.raises(DataRejected) as caught:
        require_rows(record, schema, SPAN, "people.csv")
    assert needs in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"x": "nothing"}}, "field columns: column 'nothing' is not in the scenario's schema"),
        ({"values": {"nothing": {"1": "yes"}}}, "field values: column 'nothing'"),
        ({"values": {"work": {"1": "sometimes"}}}, "field values.work: 1 of the texts"),
        ({"units": {"nothing": "years"}}, "field units: column 'nothing'"),
        ({"units": {"work": "years"}}, "field units: column 'work' is measured in no unit"),
        ({"units": {"age": "km/h"}}, "unit 'km/h' is a speed"),
        ({"identifiers": {"age": "drop"}}, "field identifiers: 'age' is column 'age' of the scenario already"),
        ({"identifiers": {"split_place": "drop"}}, "column 'split_place': the name is taken"),
    ],
)
def test_a_declaration_that_does_not_fit_the_schema_is_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        declare(config(), source(**changes))
    assert message in str(caught.value)
