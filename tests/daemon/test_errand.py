"""A daemon does its errand by itself, in a child, as long as it is due; stages neither wait for it nor die of it."""

from __future__ import annotations

import time

import pytest

from tests.daemon.serving import gone, wait_for


@pytest.fixture
def errands(tmp_path):
    folder = tmp_path / "errands"
    folder.mkdir()
    return folder


def done(errands) -> list[list[int]]:
    """Of each time that it was done: the process and its parent."""
    file = errands / "done"
    return [[int(word) for word in line.split()] for line in file.read_text().splitlines()] if file.exists() else []


def test_it_is_done_in_a_child_again_and_again_while_it_is_due(served, errands):
    (errands / "due").write_text("")
    home = served("--errand", str(errands))
    assert home.stage("exit", 0).run() == 0
    assert wait_for(lambda: len(done(errands)) >= 3)
    daemon = home.pid()
    assert {parent for _, parent in done(errands)} == {daemon}
    assert len({pid for pid, _ in done(errands)} - {daemon}) == len(done(errands))
    (errands / "due").unlink()
    assert wait_for(lambda: all(gone(pid) for pid, _ in done(errands)))
    before = len(done(errands))
    time.sleep(0.5)
    assert len(done(errands)) == before


def test_it_is_not_done_while_it_is_not_due(served, errands):
    home = served("--errand", str(errands))
    assert home.stage("exit", 0).run() == 0
    time.sleep(0.5)
    assert done(errands) == []
    (errands / "due").write_text("")
    assert wait_for(lambda: done(errands)), "nobody has to ask for it"


def test_a_daemon_is_not_idle_while_it_is_due(served, errands):
    (errands / "due").write_text("")
    home = served("--errand", str(errands), "--idle", "0.5")
    assert home.stage("exit", 0).run() == 0
    daemon = home.pid()
    time.sleep(2.0)
    assert not gone(daemon)
    (errands / "due").unlink()
    assert wait_for(lambda: gone(daemon))


def test_one_that_breaks_is_tried_again_and_harms_no_stage(served, errands):
    (errands / "due").write_text("break")
    home = served("--errand", str(errands))
    assert home.stage("exit", 0).run() == 0
    assert wait_for(lambda: len(done(errands)) >= 2)
    assert home.stage("say").run() == 0


def test_stages_go_on_beside_one_that_takes_long(served, errands):
    (errands / "due").write_text("wait")
    home = served("--errand", str(errands))
    assert home.stage("exit", 0).run() == 0
    assert wait_for(lambda: done(errands))
    time.sleep(0.5)
    assert home.stage("exit", 10).run() == 10
    assert len(done(errands)) == 1, "one at a time"
    [[errand, _]] = done(errands)
    home.end()
    assert wait_for(lambda: gone(errand)), "it ends with its daemon"
