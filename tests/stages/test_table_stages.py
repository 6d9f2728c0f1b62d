"""The data stages of tables: what they leave, that a repeat changes nothing, and what a scoring run does otherwise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fl_tasks.contracts.anonymize import STATEMENT, PrivacyReport
from fl_tasks.contracts.base import sha256_file
from fl_tasks.contracts.data import (
    Deidentified,
    PreparedTable,
    deidentified_path,
    deidentified_record_path,
    features_path,
    prepared_path,
    privacy_path,
    quarantine_path,
    raw_path,
    read_prepared,
)
from fl_tasks.contracts.errors import DataRejected, InputError, MissingInput
from fl_tasks.data.tables.declaration import SPLIT
from fl_tasks.data.tables.table import read_reasons, read_table
from fl_tasks.stages import checks
from fl_tasks.stages.tables import anonymize, ingest, standardize, validate
from tests.stages.table_stages import (
    LEVELS,
    SCENARIO_YAML,
    STAGES,
    agreed,  # noqa: F401 - a fixture
    changed,
    deliver,
    example,
    files_of,
    folder_of,
    make_home,
    people,
    preparation,
    quality_of,
    run_all,
    run_until,
    spec_of,
)

pytestmark = pytest.mark.usefixtures("agreed")
BROKEN = {"alter": "x", "county": "9999", "health": "", "income": "1e9"}


def broken(rows):
    """Four rows that do not fit, each for another reason."""
    for at, (column, text) in enumerate(BROKEN.items()):
        rows[at][column] = text
    return rows


def record_of(folder):
    return Deidentified.model_validate_json(deidentified_record_path(folder).read_bytes())


def prepared_of(folder):
    return PreparedTable.model_validate_json(prepared_path(folder).read_bytes())


def test_every_row_is_accounted_for_from_the_file_to_the_examples(tmp_path):
    home = make_home(tmp_path, broken(people(400)) + people(2))
    run_all(home)
    folder = folder_of(home)
    record, prepared = record_of(folder), prepared_of(folder)
    rows = record.rows
    assert rows.rows_in == 402
    assert rows.merged == 0  # the first two rows, which came twice, do not fit
    assert rows.rows_in == rows.rows_out + rows.quarantined + rows.merged
    reasons = read_reasons(quarantine_path(folder))
    assert Counter(reasons) == record.quarantined_by_reason
    assert set(reasons) == {"not a number: age", "unknown value: county", "missing: health", "out of range: income"}
    assert (
        prepared.fit_rows + prepared.validation_rows + prepared.test_rows
        == rows.rows_out
        == len(read_table(deidentified_path(folder)))
    )
    for part, count in (
        ("fit", prepared.fit_rows),
        ("validation", prepared.validation_rows),
        ("test", prepared.test_rows),
    ):
        x, y = example(folder, part, "x"), example(folder, part, "y")
        assert (x.dtype, y.dtype) == (np.float32, np.float32)
        assert x.shape == (count, len(preparation(home).features))
        assert y.shape == (count, 2)
        assert (y.sum(axis=1) == 1).all()
    assert example(folder, "test", "group").shape == (prepared.test_rows,)
    assert prepared.groups == ("female", "male")
    assert read_prepared(folder).fit_count == prepared.fit_rows


def counts(results):
    return {result.stage: result.counts for result in results}


def test_what_leaves_the_stages_tells_no_small_count_not_even_as_a_difference(tmp_path):
    features = len(preparation(make_home(tmp_path / "whole")).features)
    assert counts(run_all(tmp_path / "whole")) == {
        "ingest": {"rows_in": 400, "rejected": 0, "merged": 0, "rows_out": 400},
        "anonymize": {"rows_in": 400, "rejected": 0, "suppressed": 0, "merged": 0, "rows_out": 400},
        "standardize": {"rows": 400, "features": features},
        "validate": counts(run_all(tmp_path / "whole"))["validate"],
    }
    told = counts(run_all(make_home(tmp_path / "rejected", broken(people(400)))))
    assert (told["ingest"], told["anonymize"]) == ({}, {})  # four rejected rows
    assert told["standardize"] == {"features": features}
    told = counts(run_all(make_home(tmp_path / "suppressed", rare(people(400)))))
    assert told["ingest"]["rows_out"] == 400
    assert (told["anonymize"], told["validate"]) == ({}, {})  # three suppressed rows
    assert told["standardize"] == {"features": features}


def test_a_repeat_gives_the_same_bytes(tmp_path):
    home = make_home(tmp_path)
    run_all(home)
    before = files_of(folder_of(home))
    run_all(home)
    assert files_of(folder_of(home)) == before


def test_stages_may_be_repeated_before_the_run_is_frozen(tmp_path):
    home = make_home(tmp_path)
    run_until(home, "standardize")
    before = files_of(folder_of(home))
    run_until(home, "standardize")
    assert files_of(folder_of(home)) == before


def test_a_frozen_run_reads_nothing_anew(tmp_path):
    home = make_home(tmp_path)
    run_all(home)
    before = files_of(folder_of(home))
    deliver(home, people(300, seed=9))
    anonymize.pseudonym_secret_path(spec_of(home, "ingest").places.agency("north")).unlink()
    run_all(home)
    assert files_of(folder_of(home)) == before


def test_a_frozen_run_whose_rows_were_changed_is_refused(tmp_path):
    home = make_home(tmp_path)
    run_all(home)
    deidentified_path(folder_of(home)).write_bytes(b"other rows")
    with pytest.raises(InputError, match=r"deidentified\.parquet: missing, or not the file"):
        anonymize.run(spec_of(home, "anonymize"))


@pytest.mark.parametrize("stage", ["anonymize", "standardize", "validate"])
def test_a_stage_before_its_time_may_be_tried_again(tmp_path, stage):
    home = make_home(tmp_path)
    with pytest.raises((MissingInput, InputError)):
        dict(STAGES)[stage](spec_of(home, stage))


def test_the_split_of_a_household_is_the_same_in_every_run(tmp_path):
    home = make_home(tmp_path)
    split = []
    for run in ("one", "two"):
        run_until(home, "anonymize", run=run)
        folder = folder_of(home, run=run)
        raw, table = read_table(raw_path(folder)), read_table(deidentified_path(folder))
        split.append(dict(zip(raw.columns["household"], table.columns[SPLIT], strict=True)))
        assert len(set(zip(raw.columns["household"], table.columns[SPLIT], strict=True))) == len(split[-1])
        assert "household" not in table.columns  # it would join again what k keeps apart
        deliver(home, people(402))
    assert split[0].items() <= split[1].items()


def test_pseudonyms_of_two_runs_do_not_link(tmp_path):
    home = make_home(tmp_path)
    kept = []
    for run in ("one", "two"):
        run_until(home, "anonymize", run=run)
        kept.append(set(read_table(deidentified_path(folder_of(home, run=run))).columns["id"]))
    assert not kept[0] & kept[1]


def rare(rows):
    """Three women of the other county beyond 110: a class of three at the agreed levels."""
    for row in rows[:3]:
        row.update(alter="112", county="1201", sex="2")
    return rows


def test_rows_that_stand_out_are_suppressed_and_explained(tmp_path):
    home = make_home(tmp_path, rare(people(400)))
    run_all(home)
    folder = folder_of(home)
    assert read_reasons(quarantine_path(folder)) == ["suppressed"] * 3
    assert record_of(folder).rows.quarantined == 3
    assert set(read_table(quarantine_path(folder)).columns["age"]) == {"112"}
    report = PrivacyReport.model_validate_json(privacy_path(folder).read_bytes())
    assert (report.suppressed, report.levels) == (3, tuple(LEVELS.values()))


def test_a_privacy_report_is_of_the_released_rows_counted_again(tmp_path):
    home = make_home(tmp_path, rare(people(400)))
    run_all(home)
    folder = folder_of(home)
    table = read_table(deidentified_path(folder))
    report = PrivacyReport.model_validate_json(privacy_path(folder).read_bytes())
    quasi = list(zip(*(table.columns[name] for name in LEVELS), strict=True))
    sizes = Counter(quasi)
    assert report.k == min(sizes.values()) >= 5
    assert report.classes == len(sizes)
    assert report.l == min(
        len({value for key, value in zip(quasi, table.columns[name], strict=True) if key == group})
        for name in ("health", "entitled")
        for group in sizes
    )
    assert report.discernibility == sum(size**2 for size in sizes.values()) + 3 * 400
    assert report.risk_average == pytest.approx(len(sizes) / 397)
    assert report.sha256 == sha256_file(deidentified_path(folder))
    assert report.sensitive == ("health", "entitled")


def test_an_agency_that_cannot_reach_the_policy_is_left_out_without_a_count(tmp_path):
    home = make_home(
        tmp_path, scenario=changed(SCENARIO_YAML, ("{k: 5, l: 1, suppression: 0.1}", "{k: 30, suppression: 0.1}"))
    )
    run_until(home, "ingest")
    with pytest.raises(DataRejected, match="more than 10% of the rows would have to be suppressed to reach k = 30"):
        anonymize.run(spec_of(home, "anonymize"))
    assert not deidentified_record_path(folder_of(home)).exists()


def test_the_word_on_a_release_tells_shares_and_no_small_count(tmp_path):
    home = make_home(tmp_path, rare(people(400)))
    run_all(home)
    word = checks._privacy(spec_of(home, "validate"))
    assert word.k >= 5
    assert word.statement == STATEMENT
    assert (word.suppressed, word.suppressed_share, word.discernibility) == (None, None, None)
    report = PrivacyReport.model_validate_json(privacy_path(folder_of(home)).read_bytes())
    assert report.t <= word.t == round(word.t, 2) < report.t + 0.01
    assert word.risk_average == round(report.classes / 397, 2)  # as a quotient it would tell 397 of 400
    assert word.ncp == round(report.ncp, 1)
    assert word.identifiers == {"id": "hash", "name": "drop", "phone": "hash", "note": "drop"}
    assert word.risk_max == pytest.approx(1 / word.k)
    run_all(make_home(tmp_path / "other"))
    whole = checks._privacy(spec_of(tmp_path / "other", "validate"))
    assert whole.suppressed_share == 0.0
    assert whole.discernibility > 0


def test_scoring_suppresses_nothing_and_needs_no_target(tmp_path):
    rows = rare(people(60))
    for row in rows:
        del row["entitled"]
    header = tuple(rows[0])
    home = make_home(tmp_path, "\n".join([",".join(header), *(",".join(row.values()) for row in rows)]) + "\n")
    for stage in (ingest, anonymize, standardize):
        stage.run(spec_of(home, stage.__name__.rpartition(".")[2], kind="forecast."))
    folder = folder_of(home, kind="forecast.")
    table = read_table(deidentified_path(folder))
    assert len(table) == 60 == len(np.load(features_path(folder)))
    assert "entitled" not in table.columns
    assert not privacy_path(folder).exists()
    assert set(table.columns["age"]) <= {"[0, 20)", "[20, 40)", "[40, 60)", "[60, 80)", "[100, 120)"}


def test_the_next_month_is_held_against_the_last_accepted_one(tmp_path):
    home = make_home(tmp_path)
    run_all(home)
    later = tuple(moment.replace(month=moment.month + 1) for moment in spec_of(home, "ingest").data_interval)
    moved = [
        {**row, "day": f"2024-07-{number % 28 + 1:02d}", "income": "90000"} for number, row in enumerate(people(150))
    ]
    deliver(home, moved)
    run_all(home, run="later", interval=later)
    warned = {check.name.partition("/")[0] for check in quality_of(folder_of(home, run="later")).failed("warning")}
    assert warned == {"drift", "volume"}


def test_a_dry_run_is_not_remembered(tmp_path):
    home = make_home(tmp_path)
    run_until(home, "standardize")
    validate.run(spec_of(home, "validate", dry_run=True))
    assert not (spec_of(home, "ingest").places.agency("north") / "accepted").exists()
