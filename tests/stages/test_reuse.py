"""A data stage is skipped only where everything that it reads is the same; what it takes is what it would make."""

from __future__ import annotations

import datetime as dt
import errno
import importlib.util
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from fl_tasks.contracts.config import load_source
from fl_tasks.contracts.data import deidentified_path, ingested_path, prepared_path, raw_path, standardized_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.roster import CheckBody
from fl_tasks.exchange.folder import FolderExchange

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

from fl_tasks.secagg.records import read_record
from fl_tasks.stages import installed_code, reuse
from fl_tasks.stages.context import load_key, protocol_key_path
from fl_tasks.stages.series import ingest
from tests.stages.data_stages import (
    AGENCY,
    INTERVAL,
    SCENARIO,
    csv_text,
    deliver,
    row,
)
from tests.stages.reuse_site import ALL, APRIL, TAKEN, Site, as_anew, reused


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_stage_that_reads_the_same_takes_what_working_anew_would_make(site, caplog):
    caplog.set_level("INFO")
    first = site.run("first")
    assert reused(first) == set()
    second = site.run("second")
    assert reused(second) == set(TAKEN)
    assert f"stage=ingest agency={AGENCY} reused from={SCENARIO}__first" in caplog.text
    assert second["standardize"].reason == f"reused: all that it reads is as in {SCENARIO}__first"
    site.forget()
    anew = site.run("anew")
    assert reused(anew) == set()
    assert site.files("second") == site.files("anew") == site.files("first")
    for stage in TAKEN:
        assert as_anew(second[stage], "second") == as_anew(anew[stage].model_copy(update={"reason": ""}), "anew")
        assert f"runs/{SCENARIO}__second/" in second[stage].outputs[0].name
    for path in (raw_path, ingested_path, standardized_path):
        assert path(site.spec("ingest", "second").folder).lstat().st_mode == stat.S_IFREG | 0o600


def test_a_third_run_takes_from_the_second_when_the_first_is_gone(site, caplog):
    site.run("first")
    site.run("second")
    for path in sorted(site.spec("ingest", "first").folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    third = site.run("third")
    assert reused(third) == set(TAKEN)
    assert third["ingest"].reason.endswith(f"{SCENARIO}__second")
    site.spec("ingest", "second").folder.rename(site.home / "second")
    site.spec("ingest", "third").folder.rename(site.home / "third")
    assert reused(site.run("fourth")) == set()
    assert "is not what" not in caplog.text  # folders of runs that are over may be removed


def one_byte(site):
    site.deliver("2012-03-03 18:40:00,50.0,50.0,50.0,50.0,50.0,51.0\n")


def a_field_of_the_scenario(site):
    site.change_scenario(lambda value: value["data"].update(input_steps=value["data"]["input_steps"] + 1))


def the_lookback(site):
    site.change_scenario(lambda value: value["schedule"].update(lookback_months=2))


def a_field_of_the_agency(site):
    site.change_source(lambda value: value.update(maximum=value["maximum"] + 1.0))


def the_policy(site):
    site.change_policy(lambda value: value.update(max_clip=value["max_clip"] + 1.0))


@pytest.mark.parametrize("change", [one_byte, a_field_of_the_scenario, the_lookback, a_field_of_the_agency, the_policy])
def test_a_change_of_what_a_stage_reads_makes_it_work_anew(site, change):
    site.run("first")
    assert reused(site.run("same")) == set(TAKEN)
    change(site)
    changed = site.run("changed")
    assert reused(changed) == set()
    assert reused(site.run("again")) == set(TAKEN)


def test_other_code_works_anew(site, monkeypatch):
    site.run("first")
    real = installed_code.installed_files
    monkeypatch.setattr(
        installed_code, "installed_files", lambda *a: real(*a) | {"fl_tasks/data/standardize.py": "0" * 64}
    )
    installed_code.approve_code(Home(site.home), site.federation, AGENCY)
    assert reused(site.run("changed")) == set()


def test_another_library_or_time_zone_works_anew(site, monkeypatch):
    site.run("first")
    with monkeypatch.context() as patch:
        patch.setattr(reuse, "_version", lambda library: f"{library} 0")
        assert reused(site.run("library")) == set()
    with monkeypatch.context() as patch:
        patch.setattr(reuse, "_zone", lambda name: f"{name} changed")
        assert reused(site.run("zone")) == set()


def test_another_interval_reads_the_source_anew(site):
    site.run("first")
    assert "ingest" not in reused(site.run("april", interval=APRIL))


def test_a_later_start_of_the_interval_reads_the_same_rows(site):
    site.run("first")
    later = (INTERVAL[0] + dt.timedelta(days=1), INTERVAL[1])
    assert reused(site.run("later", interval=later)) == set(TAKEN)  # the lookback counts from the end


def test_what_no_data_stage_reads_may_change(site):
    site.run("first")
    site.change_scenario(lambda value: value["learning"]["client_optimizer"].update(learning_rate=0.5))
    assert reused(site.run("other_rate", rounds=1, dry_run=True)) == set(TAKEN)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def open_to_others(path):
    path.chmod(0o644)


def exchange_for_a_link(path):
    path.rename(path.with_suffix(".other"))
    path.symlink_to(path.with_suffix(".other"))


def exchange_for_a_folder(path):
    path.unlink()
    path.mkdir(mode=0o700)


def exchange_for_a_pipe(path):
    path.unlink()
    os.mkfifo(path, 0o600)  # whoever reads it waits


HARMS = [cut, alter, open_to_others, exchange_for_a_link, exchange_for_a_folder, exchange_for_a_pipe, os.unlink]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(("stage", "path_of"), [("ingest", raw_path), ("standardize", standardized_path)])
def test_a_stored_file_that_is_not_as_it_was_left_is_made_anew(site, caplog, harm, stage, path_of):
    site.run("first")
    whole = site.files("first")
    path = path_of(site.spec("ingest", "first").folder)
    harm(path)
    assert stage not in reused(site.run("second"))
    assert f"file={path.name} is not what run {SCENARIO}__first left: working anew" in caplog.text
    assert site.files("second") == whole
    assert not list(site.spec("ingest", "second").folder.glob(".taken.*"))
    assert reused(site.run("third")) == set(TAKEN)


def test_a_damaged_record_is_no_record(site, caplog):
    site.run("first")
    for path in site.records():
        path.write_bytes(path.read_bytes()[:40])
    assert reused(site.run("second")) == set()
    assert "record=damaged: working anew" in caplog.text
    assert reused(site.run("third")) == set(TAKEN)


def test_the_records_are_private_bounded_and_tell_no_value(site, monkeypatch):
    monkeypatch.setattr(reuse, "MOST_RECORDS", 2)
    for weeks in range(4):
        interval = (INTERVAL[0], INTERVAL[1] - dt.timedelta(weeks=weeks))
        site.run(f"week_{weeks}", interval=interval)
    # All deliveries lie before all four ends: only ingest's span differs.
    assert len(site.records()) == 4
    assert {path.stat().st_mode & 0o777 for path in site.records()} == {0o600}
    assert reused(site.run("newest", interval=(INTERVAL[0], INTERVAL[1] - dt.timedelta(weeks=3)))) == set(TAKEN)
    assert "ingest" not in reused(site.run("oldest"))
    assert not any("s0" in path.read_text() for path in site.records())  # a series' name


def test_a_database_is_always_read(site):
    database = site.folder / "speed.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE speed (timestamp TEXT, a REAL)")
    moments = (dt.datetime(2012, 3, 1) + step * dt.timedelta(minutes=5) for step in range(800))
    connection.executemany("INSERT INTO speed VALUES (?, ?)", [(str(moment), 50.0) for moment in moments])
    connection.commit()
    connection.close()
    url = site.folder / "secrets" / "url"
    url.parent.mkdir()
    url.write_text("sqlite:///speed.db")
    url.chmod(0o600)

    def read_it(value):
        value.pop("path")
        value["sql"] = {"url_file": "secrets/url", "table": "speed"}

    site.change_source(read_it)
    admitted = {"url_file": "secrets/url", "table": "speed"}
    site.change_policy(lambda value: value.update(sources=[admitted]))
    assert load_source(site.federation, AGENCY, SCENARIO).sql is not None
    site.run("first")
    assert reused(site.run("second")) == {"anonymize", "standardize"}  # its rows turned out to be the same


def test_a_pseudonym_never_goes_into_another_run(site):
    rows = csv_text([row(step) for step in range(800)]).splitlines()
    deliver(site.home, "\n".join([f"{rows[0]},plate", *(f"{line},沪A{n % 90:05d}" for n, line in enumerate(rows[1:]))]))
    site.change_source(lambda value: value.update(identifiers={"plate": "hash"}))
    site.run("first")
    assert reused(site.run("second")) == {"ingest"}
    one, other = (deidentified_path(site.spec("ingest", run).folder).read_bytes() for run in ("first", "second"))
    assert one != other


def test_a_run_that_took_its_files_goes_on_and_tells_the_same(site):
    first, second = (site.run(run, stages=ALL) for run in ("first", "second"))
    assert reused(second) == set(TAKEN)
    assert as_anew(first["validate"], "first") == as_anew(second["validate"], "second")
    names = {"compared.json"}  # the first run had none to be compared with
    one, other = (site.files(run) for run in ("first", "second"))
    assert {name for name in one if one[name] != other[name]} <= {name for name in one if name.name in names}
    assert posted(site, "first") == posted(site, "second")
    assert prepared_path(site.spec("ingest", "second").folder).exists()


def posted(site, run):
    """What the agency says of its data to the coordinator."""
    run_id = f"{SCENARIO}__{run}"
    public = load_key(protocol_key_path(site.folder)).public_key().public_bytes_raw()
    data = FolderExchange(Home(site.home).exchange(run_id)).get(f"checks/{AGENCY}")
    return read_record(data, public, "check", CheckBody).model_copy(update={"run_id": ""})


def test_a_retraining_after_a_retraining_and_a_forecast_after_it_read_nothing_anew(site):
    site.run("march", stages=ALL)
    assert reused(site.run("march_again", stages=ALL)) == set(TAKEN)
    assert reused(site.run("scores", kind="forecast.")) == set(TAKEN)
    assert site.files("scores", kind="forecast.").items() <= site.files("march").items()


def test_months_that_changed_since_the_accepted_run_are_told_as_anew(site):
    site.run("one", stages=ALL)
    site.deliver("2012-03-03 18:40:00,50.0,50.0,50.0,50.0,50.0,51.0\n")
    two = site.run("two", stages=ALL)
    assert "2012-03 has changed since the last accepted run" in two["ingest"].reason
    site.deliver()
    three = site.run("three", stages=ALL)  # the rows are those of the first run, what is told of them is not
    assert "ingest" not in reused(three)
    assert "2012-03 has changed since the last accepted run" in three["ingest"].reason
    assert reused(three) == {"anonymize", "standardize"}
    assert "changed" not in site.run("four")["ingest"].reason


def test_once_the_examples_are_frozen_nothing_is_taken(site):
    site.run("first", stages=ALL)
    site.deliver("2012-03-03 18:40:00,50.0,50.0,50.0,50.0,50.0,51.0\n")
    site.run("other")
    before = site.files("first")
    again = site.run("first", stages=ALL)
    assert reused(again) == set()
    assert site.files("first") == before


def test_a_delivery_that_comes_while_the_source_is_read_is_not_taken_for_what_was_read(site, monkeypatch):
    real = ingest.read_source

    def late(*args, **more):
        site.deliver("2012-03-03 18:40:00,50.0,50.0,50.0,50.0,50.0,51.0\n")
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "read_source", late)
        site.run("first")
    second = site.run("second")
    assert "ingest" not in reused(second)
    site.deliver()
    assert "ingest" not in reused(site.run("third"))


def test_a_run_that_is_done_over_leaves_the_files_that_others_took(site):
    site.run("first")
    site.run("second")
    taken = site.files("second")
    linked = raw_path(site.spec("ingest", "second").folder)
    assert linked.samefile(raw_path(site.spec("ingest", "first").folder))
    site.deliver("2012-03-03 18:40:00,50.0,50.0,50.0,50.0,50.0,51.0\n")
    site.run("first")
    assert site.files("second") == taken
    assert site.files("first") != taken


def test_a_task_that_is_cleared_may_take_its_own_files(site):
    site.run("first")
    before = site.files("first")
    assert reused(site.run("first")) == set(TAKEN)
    assert site.files("first") == before


def test_where_no_link_can_be_made_files_are_copied(site, monkeypatch):
    site.run("first")

    def refuse(*args, **more):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    assert reused(site.run("second")) == set(TAKEN)
    one, other = (raw_path(site.spec("ingest", run).folder) for run in ("first", "second"))
    assert not one.samefile(other)
    assert site.files("second") == site.files("first")
    assert other.stat().st_mode & 0o777 == 0o600


def test_runs_at_one_time_disturb_each_other_in_nothing(site):
    site.run("first")
    whole = site.files("first")
    names = [f"run_{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(site.run, names))
    assert all(reused(result) == set(TAKEN) for result in results)
    assert all(site.files(name) == whole for name in names)
    assert len(site.records()) == 3
    assert reused(site.run("last")) == set(TAKEN)
