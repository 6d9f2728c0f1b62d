"""Where an agency's stage begins: in its own home, and every refusal is journaled once."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from fl_tasks.__main__ import main
from fl_tasks.contracts.errors import CodeNotApproved, ConfigError, InputError, MissingInput, PolicyRefused
from fl_tasks.contracts.stage import write_spec
from fl_tasks.secagg.errors import ChampionRolledBack, JournalBusy, KeysGone
from fl_tasks.secagg.journal import open_journal
from fl_tasks.secagg.session import survivor_key
from fl_tasks.secagg.vault import Vault
from fl_tasks.stages import enrol
from fl_tasks.stages.admission import journal_refusal
from fl_tasks.stages.context import StageSkipped, interval_text, journal_paths, sessions_folder
from fl_tasks.stages.installed_code import approval_path
from fl_tasks.stages.runner import run_stage
from tests.stages.federation_run import AGENCIES, INTERVAL, SCENARIO
from tests.stages.test_policy import Place

AGENCY = AGENCIES[0]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def entries(place):
    path, _ = journal_paths(place.home.agency(AGENCY), SCENARIO)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_spec_of_another_home_is_refused_before_anything_is_read_there(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HUILIU_HOME", str(tmp_path / "mine"))
    path = write_spec(place.spec())
    assert main(["run", "ingest", "--spec", str(path)]) == 10
    assert "field home: is" in capsys.readouterr().err
    assert entries(place) == []


def test_a_refusal_outside_a_session_is_journaled_with_its_run(place):
    spec = place.spec("predict")
    journal_refusal(spec, ChampionRolledBack("older"))
    (entry,) = entries(place)
    assert entry["kind"] == "refused"
    assert entry["facts"] == {"run_id": spec.run_id, "step": "predict", "code": "ChampionRolledBack"}


@pytest.mark.parametrize(
    "error", [JournalBusy("later"), MissingInput("not yet"), InputError("a file"), ConfigError("x")]
)
def test_what_is_retried_or_only_wrong_at_home_is_no_refusal(place, error):
    journal_refusal(place.spec(), error)
    assert entries(place) == []


def test_one_refusal_is_journaled_once(place):
    error = PolicyRefused("no")
    for _ in range(2):
        journal_refusal(place.spec(), error)
    assert len(entries(place)) == 1


def test_a_broken_journal_does_not_hide_the_refusal(place):
    journal_refusal(place.spec(), PolicyRefused("no"))
    path, _ = journal_paths(place.home.agency(AGENCY), SCENARIO)
    path.unlink()
    journal_refusal(place.spec(), PolicyRefused("no"))
    assert not path.exists()


def test_a_scenario_that_the_agency_takes_no_part_in_gets_no_journal(place):
    folder = sessions_folder(place.home.agency(AGENCY))
    before = sorted(folder.glob("*"))
    spec = place.spec()
    error = PolicyRefused("no")
    journal_refusal(spec.model_copy(update={"scenario": "unheard_of", "run_id": "unheard_of__1"}), error)
    assert sorted(folder.glob("*")) == before
    assert not error.journaled


def test_a_reason_that_the_coordinator_made_long_does_not_break_the_stage(place, monkeypatch):
    import importlib

    def run(_):
        raise StageSkipped("x" * 10_000)

    monkeypatch.setattr(importlib.import_module("fl_tasks.stages.series.ingest"), "run", run)
    assert len(run_stage(write_spec(place.spec())).reason) == 500


def test_the_same_moments_are_one_interval_however_they_are_written():
    """A triggered run names local times, a scheduled one UTC: survivors and rounding must not depend on it."""
    utc = tuple(moment.astimezone(dt.UTC) for moment in INTERVAL)
    assert interval_text(utc) == interval_text(INTERVAL) == ("2012-03-01T08:00:00+00:00", "2012-04-01T07:00:00+00:00")


@pytest.mark.parametrize("zone", [INTERVAL[0].tzinfo, dt.UTC])
def test_a_lift_holds_for_the_interval_in_whichever_zone_it_is_named(place, zone):
    model = "ab" * 32
    start, end = (moment.astimezone(zone).isoformat() for moment in INTERVAL)
    enrol.lift(place.home, SCENARIO, AGENCY, model, (start, end))
    with open_journal(*journal_paths(place.home.agency(AGENCY), SCENARIO)) as journal:
        assert journal.find("lifted", key=survivor_key(bytes.fromhex(model), interval_text(INTERVAL)))


@pytest.mark.parametrize("start", ["2012-03-01", "March", "2012-03-01T00:00:00"])
def test_a_lift_without_a_whole_time_is_refused(place, start):
    with pytest.raises(ConfigError, match="--start and --end"):
        enrol.lift(place.home, SCENARIO, AGENCY, "ab" * 32, (start, "2012-04-01T00:00:00Z"))


def test_a_busy_journal_does_not_put_its_own_error_in_the_place_of_the_refusal(place):
    error = PolicyRefused("no")
    with open_journal(*journal_paths(place.home.agency(AGENCY), SCENARIO)):
        journal_refusal(place.spec(), error)
    assert entries(place) == []


def test_secrets_past_their_end_go_at_any_stage_of_any_scenario_even_one_that_is_refused(place):
    folder = place.home.agency(AGENCY)
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    vaults = {day: Vault(sessions_folder(folder) / "retired" / str(day)) for day in (yesterday, dt.datetime.max)}
    for day, vault in vaults.items():
        vault.keep_until(day.replace(tzinfo=dt.UTC))
        vault.put_message("x", b"x")
    approval_path(folder).unlink()
    with pytest.raises(CodeNotApproved):
        run_stage(write_spec(place.spec("ingest")))
    with pytest.raises(KeysGone):
        vaults[yesterday].message("x")
    assert vaults[dt.datetime.max].message("x") == b"x"


def test_a_yaml_that_is_exchanged_after_its_admission_is_not_what_the_stage_reads(place, monkeypatch):
    from fl_tasks.stages import runner

    admitted = runner.admit

    def admit_then_exchange(spec):
        admitted(spec)
        place.change("agencies", AGENCY, lambda c: c["scenarios"][SCENARIO].update(path="exchanged"))

    monkeypatch.setattr(runner, "admit", admit_then_exchange)
    with pytest.raises(InputError, match=f"agency {AGENCY}: incoming"):
        place.stage()
