"""Charts as inline SVG: lines, grouped bars and bars. Nothing is told by colour alone: lines are dashed, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fl_tasks.report.markup import NOTHING, Markup, join, number, tag

# Colours that stay apart for colour-blind eyes and in grey (Okabe and Ito 2008), and the dashes that go with them.
COLOURS = ("#0072b2", "#d55e00", "#6b7280", "#c9a400", "#008a63")
_DASHES = (None, "7 4", "2 3", "10 3 2 3", "4 2")
_INK, _SOFT = "#1b1f24", "#d8dee4"
_FONT = 12
ROOM_FOR_FIGURES = 8
"""Groups of bars, from 1, that are thick enough to have their values written beside them."""

_LABEL_WIDTH = 190
_LABEL_LETTERS = 28


@dataclass(frozen=True)
class Line:
    """One line: its name and its points (x, y), in the order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Axis:
    """One axis of a line chart: what it measures; fixed ticks, or None for round numbers over the data."""

    title: str
    ticks: tuple[float, ...] | None = None


def line_chart(
    title: str,
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    marks: Sequence[tuple[float, str]] = (),
    size: tuple[int, int] = (900, 300),
) -> Markup:
    """Return lines over one x axis, with a legend; nothing if no line has a point.

    Args:
        title: For readers that do not see the picture, and as its heading.
        lines: At most as many as COLOURS.
        x: Its ticks are whole numbers unless they are given.
        y: Its ticks hold the whole data.
        marks: x values with a vertical band and a word.
        size: Width and height in units of the drawing.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        return NOTHING
    width, height = size
    left, right, top, bottom = 64, width - 12, 44, height - 40
    columns = [point[0] for point in points] + [mark[0] for mark in marks]
    x_ticks = x.ticks or ticks(min(columns), max(columns), most=20, whole=True)
    y_ticks = y.ticks or ticks(min(p[1] for p in points), max(p[1] for p in points), most=5)
    x_low, x_high = min(*columns, *x_ticks), max(*columns, *x_ticks)

    def at_x(value: float) -> float:
        return left + (right - left) * (0.5 if x_high == x_low else (value - x_low) / (x_high - x_low))

    def at_y(value: float) -> float:
        return bottom - (bottom - top) * (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])

    parts = [_text(0, 14, title, weight="600"), _legend([line.name for line in lines], 0, 30, swatch="line")]
    for value in y_ticks:
        parts.append(_line(left, at_y(value), right, at_y(value), _SOFT))
        parts.append(_text(left - 6, at_y(value) + 4, tick_text(value, y_ticks), anchor="end"))
    parts += [_text(at_x(value), bottom + 16, tick_text(value, x_ticks), anchor="middle") for value in x_ticks]
    for value, word in marks:
        parts.append(_line(at_x(value), top, at_x(value), bottom, _INK, dash="1 4", width=2))
        parts.append(_text(at_x(value) + 4, top + 12, word))
    parts.append(_text((left + right) / 2, height - 6, x.title, anchor="middle"))
    parts.append(_text(0, 0, y.title, anchor="middle", transform=f"translate(12 {(top + bottom) / 2:.1f}) rotate(-90)"))
    for index, line in enumerate(lines):
        parts.append(_path([(at_x(a), at_y(b)) for a, b in line.points], index))
    return _svg(title, size, parts)


def grouped_bars(title: str, names: Sequence[str], groups: Sequence[tuple[str, Sequence[float | None]]]) -> Markup:
    """Return, below each other, one group of horizontal bars a label; nothing if there is no value.

    Args:
        title: As for line_chart.
        names: What the bars of each group stand for.
        groups: Label and one value, at least 0, a name; None where there is none.
    """
    values = [value for _, bars in groups for value in bars if value is not None]
    if not values:
        return NOTHING
    figures = len(groups) <= ROOM_FOR_FIGURES or len(names) == 1
    thick = 13 if figures else 4
    pitch = max(len(names) * thick + 10, 18)
    top = 62 if len(names) > 1 else 44
    width, height = 900, top + pitch * len(groups) + 8
    scale = ticks(0.0, max(values), most=8)
    left, right = _LABEL_WIDTH + 10, width - 60

    def at(value: float) -> float:
        return left + (right - left) * value / scale[-1]

    parts = [_text(0, 14, title, weight="600")]
    if len(names) > 1:
        parts.append(_legend(names, 0, 30, swatch="bar"))
    for value in scale:
        parts.append(_line(at(value), top - 4, at(value), height - 8, _SOFT))
        parts.append(_text(at(value), top - 8, tick_text(value, scale), anchor="middle"))
    for row, (label, bars) in enumerate(groups):
        start = top + row * pitch
        middle = start + len(names) * thick / 2
        parts.append(tag("g", tag("title", label), _text(_LABEL_WIDTH, middle + 4, shortened(label), anchor="end")))
        for index, length in enumerate(bars):
            if length is None:
                continue
            y = start + index * thick
            told = f"{label}, {names[index]}: {number(length)}"
            parts.append(_bar(left, y, at(length) - left, thick - 1, index, told))
            if figures:
                parts.append(_text(at(length) + 4, y + thick - 3, number(length), size=10.5))
    return _svg(title, (width, height), parts)


def ticks(low: float, high: float, *, most: int, whole: bool = False) -> tuple[float, ...]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) that hold [low, high], from 2 to most + 2.

    Args:
        low: Smallest value.
        high: Largest value, at least low.
        most: Steps between them, about; at least 1.
        whole: No step under 1.
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power * most >= span * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(step * i for i in range(first, max(last, first + (0 if whole else 1)) + 1))


def tick_text(value: float, among: Sequence[float]) -> str:
    """Return a tick's text with as many decimals as its neighbours differ in."""
    step = among[1] - among[0] if len(among) > 1 else 1.0
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def shortened(text: str) -> str:
    """Return a label that fits beside a bar."""
    return text if len(text) <= _LABEL_LETTERS else text[: _LABEL_LETTERS - 1] + "…"


def _svg(title: str, size: tuple[int, int], parts: Sequence[Markup]) -> Markup:
    width, height = size
    return tag("svg", tag("title", title), *parts, viewBox=f"0 0 {width} {height}", role="img", font_size=_FONT)


def _legend(names: Sequence[str], x: float, y: float, *, swatch: str) -> Markup:
    parts = []
    for index, name in enumerate(names):
        if swatch == "line":
            parts.append(_line(x, y - 4, x + 26, y - 4, COLOURS[index], dash=_DASHES[index], width=2.5))
        else:
            parts.append(_bar(x + 8, y - 10, 14, 11, index, name))
        parts.append(_text(x + 32, y, name))
        x += 32 + 7.2 * len(name) + 20
    return join(parts)


def _path(points: Sequence[tuple[float, float]], index: int) -> Markup:
    colour = COLOURS[index]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = tag("polyline", points=way, fill="none", stroke=colour, stroke_width=2.5, stroke_dasharray=_DASHES[index])
    dots = (tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.5, fill=colour) for x, y in points)
    return join((line, *dots))


def _bar(x: float, y: float, width: float, height: float, index: int, told: str) -> Markup:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{max(width, 0.5):.1f}", "height": f"{height:.1f}"}
    return tag("rect", tag("title", told), fill=COLOURS[index], **place)


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str | None = None, width: float = 1
) -> Markup:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return tag("line", stroke=colour, stroke_width=width, stroke_dasharray=dash, **ends)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str | None = None,
    weight: str | None = None,
    size: float | None = None,
    transform: str | None = None,
) -> Markup:
    return tag(
        "text",
        text,
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        fill=_INK,
        text_anchor=anchor,
        font_weight=weight,
        font_size=size,
        transform=transform,
    )
