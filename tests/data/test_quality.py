"""Judging data: critical checks refuse, warnings are noted, no value leaves, nothing phones home."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import numpy as np
import pytest

from expectations.traffic_districts.suite import suites
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.quality import harvest, judge, observations, require
from fl_tasks.data.series import Series
from tests.data.examples import config, series

INTERVAL = (dt.datetime(2012, 3, 1), dt.datetime(2012, 3, 2))
CANARY = 119.03125


def grid(values=None):
    return series(range(200), np.full((200, 2), 60.0) if values is None else values)


def judged(data, interval=INTERVAL, *, fit_windows=10, test_windows=1, quarantined=0.0):
    yielded = harvest(fit_windows=fit_windows, test_windows=test_windows, quarantined=quarantined)
    return judge({"observations": observations(data), "harvest": yielded}, suites(config(), interval))


def failed(report, severity="critical"):
    return {check.name.split("/")[0] for check in report.failed(severity)}


def with_cells(value, count):
    values = np.full((200, 2), 60.0)
    values.ravel()[:count] = value
    return values


def test_good_data_passes_every_check():
    report = judged(grid())
    assert all(check.passed for check in report.checks)
    assert len(report.checks) == 12
    require(report)


@pytest.mark.parametrize(
    ("data", "options", "check"),
    [
        (grid(with_cells(np.nan, 81)), {}, "completeness"),
        (grid(with_cells(120.5, 1)), {}, "ranges"),
        (grid(with_cells(-0.5, 1)), {}, "ranges"),
        (grid(np.full((200, 1), 60.0)), {}, "series"),
        (series([0, *range(200)], np.full((201, 2), 60.0)), {}, "duplicates"),
        (grid(), {"fit_windows": 9}, "fit_windows"),
        (grid(), {"test_windows": 0}, "test_windows"),
        (grid(), {"quarantined": 0.051}, "quarantined"),
        (grid(), {"interval": (dt.datetime(2012, 3, 2), dt.datetime(2012, 4, 1))}, "freshness"),
        (grid(), {"interval": (dt.datetime(2012, 2, 1), dt.datetime(2012, 3, 1, 16, 35))}, "freshness"),
    ],
)
def test_each_critical_check_refuses_alone_and_says_what_it_needs(data, options, check):
    report = judged(data, **options)
    assert failed(report) == {check}
    with pytest.raises(DataRejected, match=rf"1 critical data checks failed: {check}/expect_\w+ needs "):
        require(report)


def test_limits_themselves_pass():
    report = judged(grid(with_cells(np.nan, 80)), quarantined=0.05)
    assert not failed(report)
    assert not failed(judged(grid(with_cells(120.0, 1))))


def test_data_that_ends_early_in_the_interval_is_noted_not_refused():
    report = judged(grid(), (dt.datetime(2012, 3, 1), dt.datetime(2012, 4, 1)))
    assert failed(report, "warning") == {"recency"}
    require(report)


def test_a_missing_column_is_a_failed_check_not_a_crash():
    frame = observations(grid()).drop(columns="value")
    yielded = harvest(fit_windows=10, test_windows=1, quarantined=0.0)
    report = judge({"observations": frame, "harvest": yielded}, suites(config(), INTERVAL))
    assert {"schema", "ranges"} <= failed(report)


def test_no_observed_value_stands_in_a_report_or_a_refusal(caplog):
    values = with_cells(CANARY + 1000, 90)
    values[100:] = CANARY
    report = judged(Series(grid().times, ("s0", "s1"), values))
    with pytest.raises(DataRejected) as caught:
        require(report)
    for text in (report.model_dump_json(), str(caught.value), caplog.text):
        assert str(CANARY) not in text
        assert str(CANARY + 1000) not in text
    assert set(json.loads(report.model_dump_json())["checks"][0]) == {"name", "severity", "needs", "passed"}


def test_judging_connects_to_nothing_and_draws_no_progress_bar():
    code = """
import sys
spoken = []
outward = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
sys.addaudithook(lambda event, args: spoken.append(event) if event in outward else None)
from tests.data import test_quality
test_quality.judged(test_quality.grid())
assert "great_expectations" in sys.modules
assert not spoken, spoken
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Calculating" not in done.stderr
