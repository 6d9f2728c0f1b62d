"""A declaration of a source that contradicts itself is refused before anything is read."""

from __future__ import annotations

import datetime as dt

import pytest
from pydantic import ValidationError

from fl_tasks.contracts.source import TimeConfig
from fl_tasks.contracts.units import conversion, period_minutes
from tests.data.sources import source

COUNTS = {
    "source_unit": "cases/day",
    "unit": "cases/week",
    "step_minutes": 1440,
    "maximum": 1e6,
    "zero_is_missing": False,
}


def test_counts_of_persons_convert_between_day_and_week_and_to_nothing_else():
    for kind in ("cases", "admissions", "deaths"):
        assert conversion(f"{kind}/day", f"{kind}/week") == pytest.approx(7.0)
        assert (period_minutes(f"{kind}/day"), period_minutes(f"{kind}/week")) == (1440, 10_080)
    with pytest.raises(ValidationError, match="they do not convert"):
        source(**(COUNTS | {"unit": "deaths/day"}))


@pytest.mark.parametrize(
    ("unit", "minutes"),
    [
        ("vehicles/5min", 5),
        ("vehicles/15min", 15),
        ("trips/30min", 30),
        ("passengers/h", 60),
        ("km/h", None),
        ("mph", None),
    ],
)
def test_a_count_by_time_has_minutes_and_a_speed_has_none(unit, minutes):
    assert period_minutes(unit) == minutes


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+5", "Europe/Rome", "offset"])
def test_times_may_be_of_a_zone_or_carry_their_offset(zone):
    assert TimeConfig(timezone=zone).timezone == zone


@pytest.mark.parametrize("zone", ["Rome", "", "+01:00", "../UTC", "Europe", "Offset"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(ValidationError, match=r"time zone .* is unknown"):
        TimeConfig(timezone=zone)


def test_only_a_pattern_that_reads_the_offset_goes_with_offsets():
    assert TimeConfig(timezone="offset", format="%d/%m/%Y %H:%M %z").timezone == "offset"
    for wrong in ({"format": "%d/%m/%Y %H:%M"}, {"format": "index", "start": dt.datetime(2018, 1, 1)}):
        with pytest.raises(ValidationError, match="offset"):
            TimeConfig(timezone="offset", **wrong)
    with pytest.raises(ValidationError, match="format must"):
        TimeConfig(timezone="UTC", format="%d/%m/%Y %H:%M %z")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"step_minutes": 2880}, "a day .* at most, or a week"),
        ({"step_minutes": 20_160}, "less than or equal to 10080"),
        ({"encoding": "gb18030", "sql": {"url_file": "u", "table": "t"}}, "encoding is for CSV files"),
        ({"encoding": "gbk"}, "'utf-8' or 'gb18030'"),
        (COUNTS | {"cumulative": True}, "corrections must say"),
        (COUNTS | {"cumulative": True, "corrections": "zero", "zero_is_missing": True}, "no missing value"),
        (COUNTS | {"cumulative": True, "corrections": "zero", "step_minutes": 10_080}, "a count by step_minutes"),
        (COUNTS | {"corrections": "zero", "minimum": -1.0}, "minimum must be 0"),
        ({"corrections": "zero"}, "source_unit a count by time"),
        (COUNTS | {"corrections": "clip"}, "'missing', 'zero' or 'spread'"),
        ({"long": {"series": "a", "value": "a"}}, "three columns"),
        ({"long": {"series": "timestamp", "value": "a"}}, "three columns"),
        ({"long": {"series": "a", "value": "b"}, "identifiers": {"plate": "hash"}}, "no identifier of theirs"),
        ({"long": {"series": "a", "value": "b"}, "identifiers": {"a": "drop"}}, "at once"),
        ({"long": {"series": "a", "value": "b"}, "only": {"b": ("1",)}}, "chooses rows by other columns"),
        ({"only": {"timestamp": ("2018",)}}, "chooses rows by other columns"),
        ({"only": {"a": ("x",)}, "values": {"a": "b"}}, "chooses rows by other columns"),
        ({"only": {"plate": ("x",)}, "identifiers": {"plate": "drop"}}, "at once"),
        ({"only": {"region": ()}}, "at least 1 item"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changes, expected):
    with pytest.raises(ValidationError, match=expected):
        source(**changes)


def test_running_totals_and_long_tables_are_declared_so():
    assert source(**(COUNTS | {"cumulative": True, "corrections": "spread"})).corrections == "spread"
    long = source(long={"series": "region", "value": "n"}, only={"region": ("Lazio",), "kind": ("all",)})
    assert long.long.series == "region"
    assert source(long={"series": "a", "value": "b"}, identifiers={"plate": "drop"}, values={"x": "y"}).values
