"""Charts: round ticks that hold the data, bars as long as their values, labels that are told and escaped."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.report.charts import Axis, Line, grouped_bars, line_chart, shortened, tick_text, ticks
from fl_tasks.report.markup import Markup, number, table, tag

finite = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda value: round(value, 6))


@given(finite, finite, st.integers(1, 20), st.booleans())
def test_ticks_are_round_hold_the_data_and_are_not_too_many(one, other, most, whole):
    low, high = min(one, other), max(one, other)
    found = ticks(low, high, most=most, whole=whole)
    step = found[1] - found[0] if len(found) > 1 else 1.0
    slack = 1e-6 * max(abs(low), abs(high), step)
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert len(found) <= most + 3
    if not whole:
        assert len(found) >= 2


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 0.875, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.03, 0.27, ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30"]),
        (0.0, 5200.0, ["0", "1,000", "2,000", "3,000", "4,000", "5,000", "6,000"]),
        (2.5, 2.5, ["2.5", "3.0"]),
    ],
)
def test_ticks_read_as_people_write_them(low, high, texts):
    found = ticks(low, high, most=6)
    assert [tick_text(value, found) for value in found] == texts


def test_bars_are_as_long_as_their_values():
    svg = grouped_bars("t", ("a", "b"), [("x", [1.0, 0.5]), ("y", [None, 0.25])])
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)" height="12.0">', svg)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert widths[0] == pytest.approx(4 * widths[2], abs=0.4)
    assert len(widths) == 3
    for told in ("x, a: 1.000", "x, b: 0.5000", "y, b: 0.2500"):
        assert f"<title>{told}</title>" in svg


def test_points_stand_where_their_values_are():
    svg = line_chart("t", [Line("l", ((0.0, 0.0), (1.0, 5.0), (2.0, 10.0)))], Axis("x"), Axis("y"))
    (points,) = re.findall(r'points="([^"]+)"', svg)
    (x0, y0), (x1, y1), (x2, y2) = ([float(part) for part in point.split(",")] for point in points.split())
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 - y1 == pytest.approx(y1 - y2)
    assert y0 > y1 > y2


def test_one_point_or_none_is_no_error():
    assert line_chart("t", [Line("l", ())], Axis("x"), Axis("y")) == ""
    assert grouped_bars("t", ("a",), [("x", [None])]) == ""
    assert "<circle" in line_chart("t", [Line("l", ((3.0, 0.0),))], Axis("x"), Axis("y"))
    assert "<rect" in grouped_bars("t", ("a",), [("x", [0.0])])


def test_lines_differ_in_more_than_colour():
    svg = line_chart("t", [Line(name, ((0, i), (1, i))) for i, name in enumerate("abcde")], Axis("x"), Axis("y"))
    lines = re.findall(r"<polyline[^>]*>", svg)
    assert len({re.sub(r'points="[^"]*"|stroke="[^"]*"', "", line) for line in lines}) == 5


def test_text_is_escaped_and_long_labels_are_cut_but_told_whole():
    label = "<b>" + "x" * 60
    svg = grouped_bars("a & b", ("<i>",), [(label, [1.0])])
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert "a &amp; b" in svg
    assert f"<title>&lt;b&gt;{'x' * 60}</title>" in svg
    assert len(shortened(label)) == 28


def test_only_markup_is_markup():
    assert tag("p", "<b>", Markup("<i></i>"), title='"', class_="a", colspan=None) == (
        '<p title="&quot;" class="a">&lt;b&gt;<i></i></p>'
    )
    assert "&lt;x&gt;" in table(("<x>",), [("<y>",)])
    assert "&lt;y&gt;" in table(("<x>",), [("<y>",)])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1234567, "1,234,567"),
        (12345.6, "12,346"),
        (1234.56, "1,234.6"),
        (12.345, "12.35"),
        (0.05, "0.0500"),
        (0.0, "0.0000"),
        (1e-6, "1e-06"),
        (-3.0, "-3.000"),
    ],
)
def test_numbers_have_about_four_digits(value, text):
    assert number(value) == text
