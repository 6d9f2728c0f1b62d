"""What an agency's judgement is compared with, and what leaves with its signed word."""

from __future__ import annotations

import datetime as dt
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys

import pytest

from fl_tasks.contracts.data import (
    Accepted,
    Deidentified,
    Ingested,
    accepted_path,
    deidentified_record_path,
    ingested_path,
)
from fl_tasks.contracts.errors import DataRejected, InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import write_spec
from fl_tasks.exchange.folder import FolderExchange
from fl_tasks.scenarios import traffic_districts as traffic
from fl_tasks.scenarios.hand_out import hand_out

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

from fl_tasks.stages import enrol
from fl_tasks.stages.checks import read_checks
from fl_tasks.stages.context import load_roster
from fl_tasks.stages.runner import run_stage
from tests.stages.data_stages import (
    AGENCY,
    FEDERATION,
    SCENARIO,
    STAGES,
    ZONE,
    changed_federation,
    csv_text,
    deliver,
    quality_of,
    row,
    run_all,
    spec_of,
)


@pytest.fixture(scope="module")
def generated():
    return traffic.generate(7)


@pytest.fixture
def home(tmp_path, generated):
    hand_out(SCENARIO, {AGENCY: generated[AGENCY]}, Home(tmp_path), FEDERATION)
    return tmp_path


def month(home, number, *, run, dry_run=False):
    """Validate two days of made-up speeds in one month of 2012; the warnings of their judgement."""
    interval = (dt.datetime(2012, number, 1, tzinfo=ZONE), dt.datetime(2012, number + 1, 1, tzinfo=ZONE))
    more = {"interval": interval, "run": run, "dry_run": dry_run}
    run_all(home, **more)
    failed = quality_of(spec_of(home, "validate", **more).folder).failed("warning")
    return {check.name.partition("/")[0] for check in failed}


def deliver_month(home, number, *, shift=0.0, steps=800):
    start = (dt.datetime(2012, number, 1) - dt.datetime(2012, 3, 1)) // dt.timedelta(minutes=5)
    cells = [[round(50 + shift + 10 * math.sin(step / 9 + i), 3) for i in range(6)] for step in range(steps)]
    deliver(home, csv_text(row(start + step, *values) for step, values in enumerate(cells)))


def accepted_of(home):
    return Accepted.model_validate_json(accepted_path(Home(home).agency(AGENCY), SCENARIO).read_bytes())


def test_a_month_is_compared_with_the_last_accepted_one_the_same_way_at_every_try(home):
    deliver_month(home, 3)
    assert month(home, 3, run="march") == set()  # nothing to compare with yet
    march = accepted_of(home)
    assert march.interval_end == dt.datetime(2012, 4, 1, tzinfo=ZONE)
    assert (
        march.months
        == Ingested.model_validate_json(ingested_path(spec_of(home, "ingest", run="march").folder).read_bytes()).months
    )
    deliver_month(home, 4, shift=25.0)
    assert month(home, 4, run="april") == {"drift"}
    assert accepted_of(home).interval_end == dt.datetime(2012, 5, 1, tzinfo=ZONE)
    assert month(home, 4, run="april") == {"drift"}  # not with itself
    for again in ("april_2", "april_3"):  # nor with an earlier run of April
        assert month(home, 4, run=again) == {"drift"}
    deliver_month(home, 5, shift=25.0, steps=2000)
    assert month(home, 5, run="may") == {"volume"}


def test_a_backfill_and_a_dry_run_do_not_change_what_the_next_month_is_compared_with(home):
    deliver_month(home, 4)
    month(home, 4, run="april")
    april = accepted_of(home)
    deliver_month(home, 3, shift=25.0)
    assert month(home, 3, run="backfill") == set()  # April says nothing of March
    assert accepted_of(home) == april
    deliver_month(home, 5, shift=25.0)
    assert month(home, 5, run="dry", dry_run=True) == {"drift"}
    assert accepted_of(home) == april


def enrolled(home, federation=FEDERATION):
    for agency in traffic.DISTRICTS:
        enrol.init_agency(Home(home), federation, SCENARIO, agency)
    roster = enrol.init_coordinator(Home(home), federation, SCENARIO)
    for agency in traffic.DISTRICTS:
        enrol.approve(Home(home), SCENARIO, agency, roster.sha256.hex())


def word_of(home):
    run_id = f"{SCENARIO}__test"
    exchange = FolderExchange(Home(home).exchange(run_id))
    roster = load_roster(Home(home).coordinator, SCENARIO)
    return read_checks(exchange, roster, run_id, (AGENCY,))


def run_stages(home, **more):
    for stage, _ in STAGES:
        run_stage(write_spec(spec_of(home, stage, **more)))


@pytest.fixture
def strict(tmp_path):
    """A federation in which March's data, which end on the 7th, are old."""
    return changed_federation(tmp_path / "strict", ("max_age_days: 31", "max_age_days: 2"))


@pytest.mark.parametrize(("suppressed", "told"), [(None, None), (0, 0), (1, None), (4, None), (5, 5)])
def test_an_agencys_signed_word_names_warnings_notes_identifiers_and_no_small_count(home, strict, suppressed, told):
    enrolled(home, strict)
    run_stages(home, federation=strict)
    folder = spec_of(home, "validate").folder
    first = word_of(home)
    assert first.passed == (AGENCY,)
    assert [name.partition("/")[0] for name in first.quality[AGENCY].warnings] == ["recency"]
    assert first.privacy[AGENCY].identifiers == {}
    record = Deidentified.model_validate_json(deidentified_record_path(folder).read_bytes())
    told_at_home = record.model_copy(update={"identifiers": {"last_plate": "hash"}, "suppressed": suppressed})
    deidentified_record_path(folder).write_text(told_at_home.model_dump_json())
    noted = Ingested.model_validate_json(ingested_path(folder).read_bytes()).model_copy(update={"notes": ("replayed",)})
    ingested_path(folder).write_text(noted.model_dump_json())
    shutil.rmtree(Home(home).exchange(f"{SCENARIO}__test") / "checks")
    run_stage(write_spec(spec_of(home, "validate", federation=strict)))  # posts anew
    word = word_of(home)
    assert word.quality[AGENCY].notes == ("replayed",)
    assert word.privacy[AGENCY].identifiers == {"last_plate": "hash"}
    assert word.privacy[AGENCY].suppressed == told


def test_a_refused_agencys_word_gives_the_reason_and_the_warnings_too(home, strict):
    enrolled(home, strict)
    deliver(home, csv_text(row(step) for step in range(100)))
    with pytest.raises(DataRejected):
        run_stages(home, federation=strict)
    word = word_of(home)
    assert word.passed == ()
    assert word.excluded[AGENCY].startswith("validate: DataRejected: 1 critical data checks failed: fit_windows/")
    assert [name.partition("/")[0] for name in word.quality[AGENCY].warnings] == ["recency"]


def test_an_anonymize_failure_leaves_the_agency_out_with_its_reason(home):
    enrolled(home)
    deliver(home, csv_text(row(step) for step in range(100)).replace("s0", "京A12345"))
    with pytest.raises(DataRejected):
        run_stages(home)
    word = word_of(home)
    assert word.excluded[AGENCY].startswith("anonymize: DataRejected")
    assert "京A12345" not in word.model_dump_json()


@pytest.mark.parametrize("name", ["京A12345", "京A\u300012345", "phone 138 1234 5678"])
def test_an_identifier_in_a_header_leaves_neither_with_the_word_nor_with_the_commands_output(home, name):
    enrolled(home)
    deliver(home, csv_text([row(0), "2012-03-01 00:05:00,1,x,3,4,5,6\n"]).replace("s1", name))
    argv = [sys.executable, "-m", "fl_tasks", "run", "ingest", "--spec", str(write_spec(spec_of(home, "ingest")))]
    env = os.environ | {"HUILIU_HOME": str(home)}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, env=env)
    assert done.returncode == 10
    assert "error: InputError: a column's name looks like an identifier" in done.stderr
    assert f"fl validate --scenario {SCENARIO} --agency {AGENCY}" in done.stderr
    reason = word_of(home).excluded[AGENCY]
    assert reason.startswith("ingest: InputError: a column's name looks like an identifier")
    for text in (done.stdout, done.stderr, reason):
        assert not {"12345", "5678"} & set(re.findall(r"[0-9]+", text))


def test_a_message_without_an_identifier_is_told_as_it_is(home):
    enrolled(home)
    deliver(home, csv_text([row(0), "2012-03-01 00:05:00,1,x,3,4,5,6\n"]))
    with pytest.raises(InputError, match=r"speed_5min\.csv\.gz: line 3: column 's1'") as caught:
        run_stages(home)
    assert word_of(home).excluded[AGENCY] == f"ingest: InputError: {caught.value}"
