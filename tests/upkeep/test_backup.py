"""What a backup holds, and which one is refused before anything is touched."""

from __future__ import annotations

import datetime as dt
import fcntl
import io
import os
import shutil
import socket
import tarfile

import pytest
from mlflow import MlflowClient

from fl_tasks.__main__ import main
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.paths import Home
from fl_tasks.daemon.place import DaemonRuns, Place
from fl_tasks.exchange.admitted import admit, admitted, revoke
from fl_tasks.secagg.errors import JournalBusy
from fl_tasks.secagg.journal import open_journal
from fl_tasks.stages import champions
from fl_tasks.stages.context import journal_paths, load_roster
from fl_tasks.upkeep.agency_backup import back_up_agency, restore_agency
from fl_tasks.upkeep.archive import BackupRefused
from fl_tasks.upkeep.coordinator_backup import back_up_coordinator, restore_coordinator
from tests.registry.trained_run import AGENCIES, SCENARIO, Installation, evaluation

AGENCY, OTHER, *_ = AGENCIES


@pytest.fixture
def installation(tmp_path, monkeypatch) -> Installation:
    """Four agencies, each with a journal, and a coordinator with one champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Installation(tmp_path).install()
    made.train(1, 1, dict.fromkeys(AGENCIES, evaluation(0.5, persistence=1.0)))
    made.stage("gate", 1)
    made.stage("promote", 1)
    for agency in AGENCIES:
        note(made.home, agency)
    return made


@pytest.fixture
def archive(installation, tmp_path):
    path = tmp_path / "agency.tar"
    back_up_agency(installation.home, AGENCY, path)
    return path


def note(home, agency):
    with open_journal(*journal_paths(home.agency(agency), SCENARIO)) as journal:
        journal.append("session", "00", run_id=f"{SCENARIO}__1", not_after="2100-01-01T00:00:00+00:00")


def content(home) -> dict[str, bytes]:
    return {str(path.relative_to(home.root)): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def rewritten(path, change):
    """The archive with members changed: (name, data) -> what stands there, or None for none."""
    target = path.with_name("changed.tar")
    with tarfile.open(path) as old, tarfile.open(target, "w") as new:
        for member in old:
            for name, data in change(member.name, old.extractfile(member).read()):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return target


def altered(name, data):
    yield name, data.replace(b"rounds", b"Rounds") if name == "policy.yaml" else data


def without_policy(name, data):
    if name != "policy.yaml":
        yield name, data


def with_more(name, data):
    yield name, data
    if name == "policy.yaml":
        yield "keys/further.key", data


def climbing(name, data):
    yield (f"../{name}" if name == "policy.yaml" else name), data


@pytest.mark.parametrize("change", [altered, without_policy, with_more, climbing])
def test_a_damaged_archive_is_refused_before_anything_is_touched(installation, archive, change):
    before = content(installation.home)
    with pytest.raises(BackupRefused):
        restore_agency(installation.home, AGENCY, rewritten(archive, change))
    assert content(installation.home) == before


@pytest.mark.parametrize("where", ["in a file", "before the manifest", "in the manifest"])
def test_an_archive_that_was_cut_short_is_refused(installation, archive, where):
    with tarfile.open(archive) as tar:
        first, *_, manifest = tar.getmembers()
    ends = {"in a file": first.offset_data + 1, "before the manifest": manifest.offset}
    # tar fills up with zeros behind it: what is cut there is not missed.
    os.truncate(archive, ends.get(where, manifest.offset_data + manifest.size // 2))
    before = content(installation.home)
    with pytest.raises(BackupRefused, match="take another"):
        restore_agency(installation.home, AGENCY, archive)
    assert content(installation.home) == before


def test_a_foreign_archive_is_refused(installation, archive, tmp_path):
    before = content(installation.home)
    with pytest.raises(BackupRefused, match=f"of agency {AGENCY}, needed is one of agency {OTHER}"):
        restore_agency(installation.home, OTHER, archive)
    with pytest.raises(BackupRefused, match="needed is one of coordinator"):
        restore_coordinator(installation.home, archive)
    (tmp_path / "text").write_text("no archive " * 1000)
    with pytest.raises(BackupRefused, match="damaged or no backup"):
        restore_agency(installation.home, AGENCY, tmp_path / "text")
    assert content(installation.home) == before


def test_a_busy_journal_and_a_live_daemon_are_refused(installation, archive, tmp_path):
    folder = installation.home.agency(AGENCY)
    path, _ = journal_paths(folder, SCENARIO)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalBusy):
            back_up_agency(installation.home, AGENCY, tmp_path / "second.tar")
        with pytest.raises(JournalBusy):
            restore_agency(installation.home, AGENCY, archive)
    for place in (folder, tmp_path / "sockets"):
        daemon = Place(place)
        try:
            with pytest.raises(DaemonRuns, match="stop it"):
                restore_agency(installation.home, AGENCY, archive, socket_folder=tmp_path / "sockets")
        finally:
            daemon.leave()
    restore_agency(installation.home, AGENCY, archive, socket_folder=tmp_path / "sockets")


def test_a_backup_is_never_written_over_another(installation, archive):
    before = archive.read_bytes()
    with pytest.raises(ConfigError, match="not replaced"):
        back_up_agency(installation.home, AGENCY, archive)
    assert archive.read_bytes() == before


def test_a_new_machine_gets_the_agency_back_without_a_head(installation, archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HUILIU_HOME", str(tmp_path / "new"))
    assert main(["agency", "restore", "--agency", AGENCY, "--from", str(archive)]) == 0
    assert "no head of the journal is here" in capsys.readouterr().out
    new, folder = Home(tmp_path / "new").agency(AGENCY), installation.home.agency(AGENCY)
    for name in ("keys/protocol.key", "keys/training.secret", "policy.yaml", "approved/code.json"):
        assert (new / name).read_bytes() == (folder / name).read_bytes()
        assert (new / name).stat().st_mode & 0o777 == 0o600
    assert not (new / "head").exists()


def test_a_champion_that_was_used_since_is_not_forgotten(installation, tmp_path):
    path = champions.used_path(installation.home.agency(AGENCY), SCENARIO)
    champions.accept_champion(installation.spec("predict", 1, f"forecast.{SCENARIO}__1", agency=AGENCY))
    first = path.read_bytes()
    back_up_agency(installation.home, AGENCY, tmp_path / "used.tar")
    path.write_bytes(first.replace(b'"number":1', b'"number":2'))
    restore_agency(installation.home, AGENCY, tmp_path / "used.tar")
    assert b'"number":2' in path.read_bytes()
    path.write_bytes(b"torn")
    restore_agency(installation.home, AGENCY, tmp_path / "used.tar")
    assert path.read_bytes() == first


def test_the_coordinator_comes_back_on_a_new_machine(installation, tmp_path):
    path = tmp_path / "coordinator.tar"
    done = back_up_coordinator(installation.home, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not [name for name in done.files if name.startswith("agencies/")]
    again = Installation(tmp_path / "new")
    again.federation = installation.federation
    restore_coordinator(again.home, path)
    assert again.chain() == installation.chain()
    champion = champions.load_champion(again.registry, again.chain()[-1])
    assert champion.keys() == {"dense/kernel", "dense/bias"}
    client = MlflowClient(f"sqlite:///{again.home.mlflow / 'mlflow.db'}")
    assert int(client.get_model_version_by_alias(SCENARIO, "champion").version) == 1
    restore_coordinator(again.home, path)  # of what is there already nothing changes
    assert again.chain() == installation.chain()


def test_the_exchange_never_goes_back_and_another_coordinators_backup_is_refused(installation, tmp_path):
    path, home = tmp_path / "coordinator.tar", installation.home
    back_up_coordinator(home, path)
    installation.registry.put("champions/2.json", b"later")
    restore_coordinator(home, path)
    assert installation.registry.get("champions/2.json") == b"later"
    other = Installation(tmp_path / "other").install()
    before = content(other.home)
    with pytest.raises(BackupRefused, match="another coordinator's"):
        restore_coordinator(other.home, path)
    assert content(other.home) == before


def test_a_revocation_is_not_undone(installation, tmp_path):
    home, now = installation.home, dt.datetime.now(dt.UTC)
    card = load_roster(home.coordinator, SCENARIO).members[0]
    admit(home, card, expires=None, now=now)
    back_up_coordinator(home, tmp_path / "coordinator.tar")
    revoke(home, card.name, now)
    restore_coordinator(home, tmp_path / "coordinator.tar")
    assert admitted(home)[card.name].revoked
    shutil.rmtree(home.coordinator / "admitted")
    restore_coordinator(home, tmp_path / "coordinator.tar")
    assert not admitted(home)[card.name].revoked


def test_sockets_locks_and_hidden_files_are_no_part_of_a_backup(installation, tmp_path):
    home = installation.home
    (home.root / "exchange" / ".uploads").mkdir()
    (home.root / "exchange" / ".uploads" / "part").write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        os.link(tmp_path / "s", home.coordinator / "daemon.sock")
        done = back_up_coordinator(home, tmp_path / "coordinator.tar")
    assert not [name for name in done.files if "lock" in name or ".uploads" in name or name.endswith(".sock")]
