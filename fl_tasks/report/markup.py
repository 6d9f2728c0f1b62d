"""Small pieces of HTML that cannot be built without escaping: text is text, only Markup is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


NOTHING = Markup("")


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return one element; a child that is not Markup is escaped, and so is every attribute.

    Args:
        name: Of the element; never of a void one.
        children: Text or Markup.
        attributes: `class_` stands for class, `stroke_width` for stroke-width; None leaves an attribute out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Return pieces one after another; one that is not Markup is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def section(title: str, *children: str) -> Markup:
    """Return a section with its heading, or nothing if it has no content."""
    content = join(children)
    return tag("section", tag("h2", title), content) if content else NOTHING


def paragraph(text: str) -> Markup:
    """Return a paragraph of plain text, or nothing for no text."""
    return tag("p", text) if text else NOTHING


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], *, groups: Sequence[tuple[str, int]] = ()
) -> Markup:
    """Return a table; numbers stand to the right, None is a dash.

    Args:
        headers: One a column.
        rows: Cells of text, Markup, numbers or None; a float is shown with about four digits, a whole number in full.
        groups: A row above the headers: text and the number of columns that it spans.
    """
    body = [tuple(row) for row in rows]
    if not body:
        return NOTHING
    numeric = [any(_is_number(row[i]) for row in body) for i in range(len(headers))]
    top = (
        tag("tr", *(tag("th", text, colspan=width, scope="colgroup") for text, width in groups)) if groups else NOTHING
    )
    names = (
        tag("th", text, scope="col", class_="n" if number else None)
        for text, number in zip(headers, numeric, strict=True)
    )
    lines = (tag("tr", *(_cell(value) for value in row)) for row in body)
    whole = tag("table", tag("thead", top, tag("tr", *names)), tag("tbody", *lines))
    return tag("div", whole, class_="wide")


def _cell(value: object) -> Markup:
    if isinstance(value, Markup) and value.startswith("<td"):
        return value
    if isinstance(value, int | float) or value is None:
        return tag("td", number(value), class_="n")
    return tag("td", str(value) if not isinstance(value, Markup) else value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, Markup) and value.startswith('<td class="n'))


def number(value: float | None) -> str:
    """Return a number for people: 1,234,567 or 12.35 or 0.0512; a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if 0.0 < size < 0.001:  # a privacy budget's delta
        return f"{value:.3g}"
    digits = 0 if size >= 10_000 else 1 if size >= 1000 else 2 if size >= 10 else 3 if size >= 1 else 4
    return f"{value:,.{digits}f}"
