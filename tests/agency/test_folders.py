"""scripts/agency-folders.sh, which root runs: each folder its user's, and no way for the daemon's user to more."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.attacks.agency_site import REPOSITORY

DAEMON, WORKER, OFFICER = 54_001, 54_002, 54_003
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="not verified: needs root, to make several users' folders")


@pytest.fixture
def folder():
    """One that every user can get to."""
    made = Path(tempfile.mkdtemp(prefix="huiliu-folders-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def make(folder: Path, *, officer: bool) -> subprocess.CompletedProcess[str]:
    argv = [folder / "home", folder / "run", folder / "worker", str(DAEMON), str(WORKER)]
    argv += [folder / "officer", str(OFFICER)] if officer else []
    script = REPOSITORY / "scripts" / "agency-folders.sh"
    return subprocess.run([script, *argv], capture_output=True, text=True, check=False)


def of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_each_folder_is_its_users(folder):
    for _ in range(2):
        assert make(folder, officer=False).returncode == 0
        assert of(folder / "home") == (DAEMON, DAEMON, 0o700)
        assert of(folder / "run") == (DAEMON, WORKER, 0o710)
        assert of(folder / "worker") == (WORKER, WORKER, 0o700)


def test_an_officer_passes_through_the_home_folder_and_it_stays_so(folder):
    for officer in (False, True, True, False):
        assert make(folder, officer=officer).returncode == 0
    for path in (folder / "home", folder / "home" / "agencies"):
        assert of(path) == (DAEMON, DAEMON, 0o711)
    assert of(folder / "officer") == (OFFICER, OFFICER, 0o711)


def test_a_link_that_the_daemons_user_put_there_gives_it_nothing(folder):
    assert make(folder, officer=True).returncode == 0
    records = folder / "officer" / "records"
    records.mkdir(mode=0o755)
    os.chown(records, OFFICER, OFFICER)
    (folder / "home" / "agencies").rmdir()
    (folder / "home" / "agencies").symlink_to(records)
    assert make(folder, officer=True).returncode != 0
    assert of(records) == (OFFICER, OFFICER, 0o755)


def test_a_wrong_call_makes_nothing(folder):
    script = REPOSITORY / "scripts" / "agency-folders.sh"
    done = subprocess.run([script, folder / "home", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, "usage: " in done.stderr) == (2, True)
    assert list(folder.iterdir()) == []
