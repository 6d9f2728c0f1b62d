"""The officer's key belongs to another OS user than the daemon's, and PySyft to an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fl_tasks.agency.officer import coordinator_keys
from fl_tasks.approvals.places import card_path, key_path
from fl_tasks.contracts.plan import OfficerCard
from fl_tasks.officer import pysyft
from tests.officer.desk_site import AGENCY, MARCH, REPOSITORY, pysyft_python

OTHER_USER = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give the agency's folder to another user")


def init(site, *words):
    return site.fl("init", "--agency", AGENCY, "--coordinator", site.coordinator_key, *words)


def test_the_daemons_own_user_is_refused_unless_for_a_trial_which_the_card_tells(bare):
    said = init(bare)
    assert (said.code, "runs its daemon" in said.error) == (10, True)
    assert not bare.folder.exists()
    bare.init()
    assert bare.desk.card.trial


@needs_root
def test_another_user_than_the_daemons_is_no_trial(bare):
    os.chown(bare.home.agency(AGENCY), OTHER_USER, OTHER_USER)
    assert init(bare).code == 0
    assert not bare.desk.card.trial
    assert key_path(bare.folder).stat().st_mode & 0o777 == 0o600
    assert bare.folder.stat().st_mode & 0o777 == 0o711


@needs_root
def test_a_folder_that_the_daemon_could_replace_is_refused(bare):
    os.chown(bare.home.agency(AGENCY), OTHER_USER, OTHER_USER)
    os.chown(bare.folder.parent, OTHER_USER, OTHER_USER)
    said = init(bare)
    assert (said.code, "could replace what lies below it" in said.error) == (10, True)


@needs_root
def test_a_daemon_that_is_root_is_refused(bare, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    assert "is root's" in init(bare).error


def test_init_again_keeps_the_key_and_takes_another_coordinator(bare):
    bare.init()
    before = bare.desk
    said = bare.fl("init", "--agency", AGENCY, "--coordinator", "0" * 64, "--trial")
    assert said.code == 0
    assert bare.desk.card == before.card
    assert bare.desk.coordinator_key == bytes(32)
    for words in (["--coordinator", "0" * 63], ["--coordinator", "0" * 64, "--agency", "nobody"]):
        assert bare.fl("init", "--agency", AGENCY, "--trial", *words).code == 10


def test_another_user_than_the_officer_cannot_work_in_the_officers_folder(bare, monkeypatch):
    bare.init()
    monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    said = bare.fl("list")
    assert (said.code, "OfficerNotApart" in said.error) == (10, True)


def test_a_folder_without_an_officer_is_named(bare, monkeypatch):
    assert f"{bare.folder}: there is no officer's key" in bare.fl("list").error


def test_the_operator_pins_a_card_that_fits_and_no_other(bare, call, tmp_path):
    bare.init()
    card = bare.folder / "card.json"
    said = call(bare, ("agency", "officer", "--agency", AGENCY))
    assert "no data officer is pinned yet" in said.out
    other = tmp_path / "other.json"
    other.write_text(
        OfficerCard.model_validate_json(card.read_bytes()).model_copy(update={"agency": "east"}).model_dump_json()
    )
    pinned = card_path(bare.home.agency(AGENCY))
    assert "OfficerUnknown" in call(bare, ("agency", "officer", "--agency", AGENCY, "--card", str(other))).error
    assert not pinned.exists()
    said = call(bare, ("agency", "officer", "--agency", AGENCY, "--card", str(card)))
    assert (said.code, "it is a trial" in said.out) == (0, True)
    before = pinned.read_bytes()
    assert call(bare, ("agency", "officer", "--agency", AGENCY, "--card", str(other))).code == 10
    assert pinned.read_bytes() == before
    assert coordinator_keys(bare.home, AGENCY) == {}


def test_a_plan_of_another_coordinator_is_not_taken_over(site):
    site.fl("init", "--agency", AGENCY, "--coordinator", "1" * 64, "--trial")
    site.deliver(MARCH)
    assert "DeliveryAltered" in site.fl("receive").out
    assert site.own_client() == {}


def test_without_pysyft_the_command_says_what_makes_it(bare, monkeypatch):
    bare.init()
    monkeypatch.setenv("HUILIU_SYFT_PYTHON", "/nonexistent/python")
    said = bare.fl("list")
    assert said.code == 10
    assert "make officer-setup" in said.error
    assert "HUILIU_SYFT_PYTHON" in said.error


def test_an_environment_without_pysyft_is_told_with_its_last_words(bare, monkeypatch):
    bare.init()
    monkeypatch.setenv("HUILIU_SYFT_PYTHON", sys.executable)
    said = bare.fl("list")
    assert (said.code, "PySyftFailed" in said.error, "No module named 'syft_job'" in said.error) == (10, True, True)


# Runs the program as the commands do, and tells of each socket and each program that anything in it asks for.
_WATCHED = """
import runpy, sys
PROGRAMS = ("subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system")
def watch(event, _):
    if event.startswith("socket.") or event in PROGRAMS:
        print("ASKED FOR", event, file=sys.stderr)
sys.addaudithook(watch)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_nothing_in_pysyfts_environment_opens_a_connection_or_starts_a_program(site, monkeypatch):
    said = []
    run = subprocess.run

    def watched(argv, **how):
        assert set(how["env"]) == {"PATH", "LC_ALL"}
        assert argv[1] == "-I"
        done = run([argv[0], "-I", "-c", _WATCHED, *argv[2:]], **how)
        said.append(done.stderr)
        return done

    monkeypatch.setattr(pysyft.subprocess, "run", watched)
    site.deliver(MARCH)
    site.done("receive")
    site.done("register", "--scenario", "traffic_districts")
    site.done("show", MARCH)
    site.done("approve", MARCH, "--digest", site.plan(MARCH).sha256)
    site.done("revoke", site.decisions()[0].id, "--reason", "no")
    assert len(said) >= 8
    assert not [line for text in said for line in text.splitlines() if "ASKED FOR" in line]
    # PySyft's module of jobs imports its runner; nobody may call it.
    assert "process_approved_jobs" not in (REPOSITORY / "fl_tasks" / "officer" / "datasite.py").read_text()


def test_no_google_library_is_installed_beside_pysyft():
    script = (
        "import importlib.metadata as m, importlib.util as u\n"
        "print([d.name for d in m.distributions() if 'google' in d.name.lower()], u.find_spec('google'))"
    )
    done = subprocess.run([pysyft_python(), "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] None\n"
