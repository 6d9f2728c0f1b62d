"""A daemon that another user asks: answered is who is admitted, and nothing that he sends holds it up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.daemon import place
from tests.daemon.serving import ask, called, wait_for

WORKER, GROUP, STRANGER = 61_002, 61_102, 61_003
SAY = called("say")


@pytest.fixture
def home(others, served, request):
    """A daemon of root's that the worker may ask."""
    words = getattr(request, "param", [])
    home = served("--worker", str(WORKER), str(GROUP), *words, folder=others / request.node.name[:40])
    home.start()
    return home


def log(home) -> str:
    return (home.folder / place.LOG).read_text()


def test_the_workers_user_is_answered_with_output_exit_code_and_result(home):
    said = ask(WORKER, str(GROUP), home.folder, SAY)
    assert said == {"code": 0, "lines": ["to standard output", "to standard error"], "result": "a result"}
    assert ask(WORKER, str(GROUP), home.folder, called("exit", 10)) == {"code": 10, "lines": [], "result": None}


def test_folder_and_socket_are_open_to_the_workers_group_and_to_nobody_else(home):
    folder, socket = home.folder.stat(), (home.folder / "daemon.sock").stat()
    assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (0, GROUP, 0o710)
    assert (socket.st_uid, socket.st_gid, stat.S_IMODE(socket.st_mode)) == (0, GROUP, 0o660)
    assert "unavailable" in ask(STRANGER, str(STRANGER), home.folder, SAY)


def test_who_is_in_the_group_without_being_the_worker_is_not_answered_and_logged(home):
    said = ask(STRANGER, f"{STRANGER},{GROUP}", home.folder, SAY)
    assert "no other user than its --worker-user is answered" in said["unavailable"]
    assert f"a process of user {STRANGER} was refused, answered are [0, {WORKER}]" in log(home)


def test_without_a_worker_the_socket_is_the_owners_alone(others, served):
    home = served(folder=others / "alone")
    home.start()
    assert stat.S_IMODE((home.folder / "daemon.sock").stat().st_mode) == 0o600
    # Even where the folder and the socket are opened to all, the daemon asks the kernel who calls.
    home.folder.chmod(0o755)
    (home.folder / "daemon.sock").chmod(0o666)
    assert "unavailable" in ask(STRANGER, str(STRANGER), home.folder, SAY)
    assert f"a process of user {STRANGER} was refused" in log(home)


@pytest.mark.parametrize("home", [["--silent", "1"]], indirect=True)
def test_a_client_that_says_nothing_is_cut_off(home):
    assert ask(WORKER, str(GROUP), home.folder, how="silent")["seconds"] < 30
    assert f"a process of user {WORKER} said nothing" in log(home)


@pytest.mark.parametrize("home", [["--silent", "600"]], indirect=True)
def test_one_user_cannot_take_all_places(home):
    assert ask(WORKER, str(GROUP), home.folder, how="crowd") == {"open": 32}
    assert home.stage("say").run() == 0
    assert wait_for(lambda: ask(WORKER, str(GROUP), home.folder, SAY).get("code") == 0)


def test_files_that_could_block_the_daemon_or_change_are_not_taken(home):
    assert ask(WORKER, str(GROUP), home.folder, SAY, how="files") == {"answered": []}
    assert log(home).count("sent what is no call") == 9
    assert ask(WORKER, str(GROUP), home.folder, SAY)["code"] == 0


def test_what_is_no_message_costs_the_daemon_no_file(home):
    pid = home.pid()
    before = len(os.listdir(f"/proc/{pid}/fd"))
    ask(WORKER, str(GROUP), home.folder, how="garbage")
    assert ask(WORKER, str(GROUP), home.folder, SAY)["code"] == 0
    assert home.pid() == pid
    assert wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before)


def test_output_that_nobody_reads_holds_up_its_own_stage_alone(home):
    assert ask(WORKER, str(GROUP), home.folder, called("talk"), how="unread") == {"begun": True}
    assert ask(WORKER, str(GROUP), home.folder, SAY)["code"] == 0
    children = Path(f"/proc/{home.pid()}/task/{home.pid()}/children")
    assert wait_for(lambda: len(children.read_text().split()) <= 1)  # the learning zygote, if it is not gone yet


def test_a_call_that_is_too_long_is_not_read(home):
    said = ask(WORKER, str(GROUP), home.folder, SAY + b" " * 300_000)
    assert said == {"code": 10, "lines": ["too long"], "result": None}


def test_a_folder_of_another_user_is_not_listened_in(others):
    folder = others / "foreign"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(ConfigError, match=f"belongs to user {STRANGER}"):
        place.Place(folder, GROUP)
