"""Links are cut and parties killed in the middle of runs over agencies on hosts of their own: each run ends by itself.

Each run has a data interval of its own: an agency refuses a second survivor set under one model and interval.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.faulty_run import FaultyRun
from tests.federation.held import sql

pytestmark = pytest.mark.timeout(1500)
USABLE = ("promoted", "held")


@pytest.fixture
def start(site):
    """Starts a run on the interval that ends on a day of March."""

    def started(day: int) -> FaultyRun:
        return FaultyRun(site, site.home, f"2012-03-{day}")

    return started


def ended(run: FaultyRun) -> list[dict]:
    """Wait for a run's green end; gives the rounds that it aggregated."""
    run.end()
    report = run.report()
    assert report["status"] in USABLE
    return [record for record in report["rounds"] if record["status"] == "aggregated"]


def back(site, host) -> None:
    """Put an agency's link up, and wait until its worker has reported: a request that was cut off waits for minutes."""
    site.mend(host)
    since = sql(site, "SELECT now()").strip()
    reported = f"SELECT count(*) FROM edge_worker WHERE worker_name = '{host.name}' AND last_update > '{since}'"
    end = time.monotonic() + 400.0
    while sql(site, reported).strip() != "1":
        assert time.monotonic() < end, f"the worker of {host.name} does not come back"
        time.sleep(2.0)


def others(site, lost) -> list[str]:
    return [host.name for host in site.hosts if host != lost]


def test_an_agency_cut_off_before_its_upload_is_lost_and_the_others_end_the_run(site, start):
    lost = site.hosts[2]
    run = start(20)
    run.until_sent(f"setup/ready/{lost.name}")
    site.cut(lost)
    try:
        rounds = ended(run)
    finally:
        back(site, lost)
    assert [record["survivors"] for record in rounds] == [others(site, lost)] * 2
    assert all(lost.name in record["lost"] for record in rounds)
    # It was waited for once: what follows its step was not begun.
    tasks = run.tasks()
    assert tasks[f"setup.ready.{lost.name}"]["state"] == "failed"
    later = [f"round_{number:02d}.{step}.{lost.name}" for number in (1, 2) for step in ("train", "ack", "reveal")]
    assert {tasks[name]["state"] for name in later} == {"upstream_failed"}


def test_an_agency_cut_off_after_its_upload_is_in_the_sum_of_that_round_only(site, start):
    lost = site.hosts[2]
    run = start(21)
    run.until_sent(f"r/1/up/{lost.name}")
    site.cut(lost)
    try:
        rounds = ended(run)
    finally:
        back(site, lost)
    assert [record["survivors"] for record in rounds] == [list(site.layout.file.agencies), others(site, lost)]
    assert rounds[0]["lost"] == {lost.name: "ack"}


def test_an_agency_cut_off_after_its_ack_does_not_hold_up_the_opening_of_the_sum(site, start):
    lost = site.hosts[2]
    run = start(22)
    run.until_sent(f"r/1/ack/{lost.name}")
    site.cut(lost)
    try:
        rounds = ended(run)
    finally:
        back(site, lost)
    assert [record["survivors"] for record in rounds] == [list(site.layout.file.agencies), others(site, lost)]
    assert rounds[0]["lost"] == {lost.name: "reveal"}


def test_a_worker_and_a_daemon_that_are_killed_cost_tries_and_nothing_else(site, start):
    host = site.hosts[1]
    run = start(23)
    run.until_training(host.name)
    os.kill(site.pid(f"{host.name}.daemon"), signal.SIGKILL)
    run.until_sent("r/1/model.npz")
    run.until_sent(f"r/1/up/{host.name}")
    os.kill(site.pid(f"{host.name}.worker"), signal.SIGKILL)
    rounds = ended(run)
    assert [record["survivors"] for record in rounds] == [list(site.layout.file.agencies)] * 2


@pytest.mark.parametrize(("part", "day"), [("api-server", 24), ("scheduler", 25)])
def test_a_part_of_the_server_that_is_killed_is_started_again_and_the_run_ends(site, start, part, day):
    run = start(day)
    run.until_sent(f"setup/ready/{site.hosts[0].name}")
    before = site.state.parts[part].starts
    os.kill(site.pid(part), signal.SIGKILL)
    rounds = ended(run)
    assert site.state.parts[part].starts > before
    assert [record["survivors"] for record in rounds] == [list(site.layout.file.agencies)] * 2
