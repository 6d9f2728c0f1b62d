"""A pattern of times must say the whole date, and nothing that local wall time does not have."""

from __future__ import annotations

import datetime as dt

import pytest
from pydantic import ValidationError

from fl_tasks.contracts.source import TimeConfig


@pytest.mark.parametrize(
    "pattern", ["iso", "%d/%m/%Y %H:%M", "%Y-%m-%d", "%y%m%d%H", "%m/%d/%Y %I:%M:%S %p", "%Y年%m月%d日 %H时"]
)
def test_a_pattern_of_a_whole_date_is_taken(pattern):
    assert TimeConfig(format=pattern).format == pattern


@pytest.mark.parametrize(
    "pattern",
    ["%d/%m %H:%M", "%Y-%m", "%H:%M", "%d/%m/%Y %I:%M", "%Y-%m-%d %H:%M%z", "%Q", "DD/MM/YYYY", "ISO", "%Y-%m-%d %"],
)
def test_a_pattern_that_leaves_something_open_is_refused(pattern):
    with pytest.raises(ValidationError, match="format must"):
        TimeConfig(format=pattern)


def test_an_index_needs_its_start_and_nothing_else_has_one():
    start = dt.datetime(2018, 5, 1)
    assert TimeConfig(format="index", start=start).start == start
    for wrong in ({"format": "index"}, {"start": start}, {"format": "index", "start": start.replace(tzinfo=dt.UTC)}):
        with pytest.raises(ValidationError, match="start"):
            TimeConfig(**wrong)
