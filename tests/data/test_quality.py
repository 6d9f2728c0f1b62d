"""Judging data: critical checks refuse, warnings are noted, no value leaves, nothing phones home."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from expectations.traffic import suite as traffic
from expectations.traffic_districts import suite as traffic_districts
from expectations.traffic_districts.suite import suites
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.quality import columns, harvest, history, judge, observations, require
from fl_tasks.data.series import Series
from tests.data.examples import config, series, source

INTERVAL = (dt.datetime(2012, 3, 1), dt.datetime(2012, 3, 2))
CANARY = 119.03125


def grid(values=None):
    return series(range(200), np.full((200, 2), 60.0) if values is None else values)


def judged(
    data,
    interval=INTERVAL,
    *,
    fit_windows=10,
    held_back=10,
    nonzero=0,
    quarantined=0.0,
    left=None,
    compared=None,
    docs=None,
    quality=None,
):
    settings = config() if quality is None else config(quality=config().quality.model_copy(update=quality))
    frames = {
        "observations": observations(data),
        "columns": columns(data if left is None else left),
        "harvest": harvest(
            fit_windows=fit_windows, held_back_windows=held_back, nonzero=nonzero, quarantined=quarantined
        ),
    }
    if compared is not None:
        frames["history"] = history(psi=compared[0], volume_ratio=compared[1])
    return judge(frames, suites(source(), settings, interval), docs=docs)


def with_identifiers(**texts):
    """What anonymize left: one series and columns of text."""
    names = ("s0",)
    return Series(grid().times[:2], names, np.ones((2, 1)), texts)


def with_series(name):
    return Series(grid().times[:2], ("s0", name), np.ones((2, 2)))


def failed(report, severity="critical"):
    return {check.name.split("/")[0] for check in report.failed(severity)}


def with_cells(value, count):
    values = np.full((200, 2), 60.0)
    values.ravel()[:count] = value
    return values


def test_good_data_passes_every_check():
    report = judged(grid())
    assert all(check.passed for check in report.checks)
    assert len(report.checks) == 17
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
        (grid(), {"held_back": 9}, "held_back_windows"),
        (grid(), {"left": with_identifiers(remark=["a remark", ""])}, "leakage"),
        (grid(), {"left": with_identifiers(remark=["a" * 64, "b" * 63])}, "leakage"),
        (grid(), {"left": with_series("Last Plate")}, "leakage_name"),
        (grid(), {"left": with_series("driver_mobile")}, "leakage_name"),
        (grid(), {"left": with_series("车牌号")}, "leakage_name"),
        (grid(), {"left": with_series("sensor 京A12345")}, "leakage"),
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
    newest = dt.datetime(2012, 3, 1, 16, 35)
    limit = newest + dt.timedelta(days=config().quality.max_age_days)
    assert not failed(judged(grid(), (dt.datetime(2012, 3, 1), limit)), "warning")
    late = limit + dt.timedelta(minutes=1)
    assert failed(judged(grid(), (dt.datetime(2012, 3, 1), late)), "warning") == {"recency"}


def test_a_series_of_hardly_anything_but_zeros_is_refused_where_the_scenario_says_so():
    assert not failed(judged(grid(), nonzero=0))
    assert not failed(judged(grid(), nonzero=30, quality={"min_nonzero": 30}))
    report = judged(grid(), nonzero=29, quality={"min_nonzero": 30})
    assert failed(report) == {"nonzero"}
    with pytest.raises(DataRejected, match="at least 30 values other than zero"):
        require(report)


def test_a_missing_column_is_a_failed_check_not_a_crash():
    frame = observations(grid()).drop(columns="value")
    yielded = harvest(fit_windows=10, held_back_windows=10, nonzero=0, quarantined=0.0)
    report = judge({"observations": frame, "harvest": yielded}, suites(source(), config(), INTERVAL))
    assert {"schema", "ranges"} <= failed(report)


def test_columns_of_keyed_hashes_and_plain_series_are_no_leak():
    left = with_identifiers(last_plate=["a" * 64, ""])
    for name in ("773869", "zone_00_pickups", "lane_1", "i94", "plateau_north", "mobility"):
        report = judged(grid(), left=Series(left.times, (name,), left.values, left.identifiers))
        assert not failed(report), name


@pytest.mark.parametrize(
    ("compared", "warned"),
    [
        ((0.25, 1.0), set()),
        ((0.2501, 1.0), {"drift"}),
        ((0.0, 0.5), set()),
        ((0.0, 0.49), {"volume"}),
        ((0.0, 2.01), {"volume"}),
    ],
)
def test_a_month_unlike_the_last_one_is_noted_not_refused(compared, warned):
    report = judged(grid(), compared=compared)
    assert failed(report, "warning") == warned
    require(report)


def test_both_scenarios_are_judged_by_the_same_expectations():
    assert traffic.suites is traffic_districts.suites


class _Pages(HTMLParser):
    """What a browser would fetch or run, and the text that it would show."""

    def __init__(self):
        super().__init__()
        self.loads, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in {"script", "link", "img", "iframe", "object", "embed"} or "src" in found:
            self.loads.append((tag, found))

    def handle_data(self, data):
        self.text += data


def test_data_docs_are_private_pages_that_load_nothing_and_list_no_value(tmp_path):
    values = with_cells(CANARY + 1000, 90)
    docs = tmp_path / "run" / "data_docs"
    left = with_identifiers(last_plate=["京A12345", "沪B54321"])
    judged(Series(grid().times, ("s0", "s1"), values), left=left, docs=docs)
    (docs / "stale.html").write_text("from an earlier try")
    judged(Series(grid().times, ("s0", "s1"), values), left=left, compared=(9.0, 1.0), docs=docs)
    files = {path for path in docs.rglob("*") if path.is_file()}
    assert docs / "index.html" in files
    assert docs / "stale.html" not in files
    assert len([path for path in files if path.parent == docs / "expectations"]) == 4
    assert all(path.suffix == ".html" and path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (docs, *docs.rglob("*/")))
    assert [path.name for path in docs.parent.iterdir()] == ["data_docs"]
    index = docs.joinpath("index.html").read_text()
    assert index.count("failed") == 3  # observations, columns, history
    assert index.count("passed") == 1
    for link in re.findall(r'href="([^"]+)"', index):
        assert docs / unquote(link) in files
    whole = ""
    for path in files:
        page = path.read_text()
        assert "default-src 'none'" in page
        assert "url(http" not in page.replace("'", "").replace('"', "")
        read = _Pages()
        read.feed(page)
        assert not read.loads
        whole += page
        if "validations" in path.parts and "observations" in path.parts:
            assert "22.5%" in read.text  # a summary: 90 of 400 values are out of range
    for secret in (str(CANARY), str(CANARY + 1000), "京A12345", "沪B54321"):
        assert secret not in whole


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
import pathlib, tempfile
from tests.data import test_quality
test_quality.judged(test_quality.grid(), docs=pathlib.Path(tempfile.mkdtemp()) / "data_docs")
assert "great_expectations" in sys.modules
assert not spoken, spoken
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Calculating" not in done.stderr
