"""Hierarchies as files: a CSV table of generalizations, or a YAML rule."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml

from fl_tasks.anonymize.errors import HierarchyInvalid
from fl_tasks.anonymize.hierarchy import Hierarchy, build
from fl_tasks.anonymize.rules import by_rule
from fl_tasks.contracts.anonymize import HierarchyFile
from fl_tasks.contracts.config import load_yaml

Encoding = Literal["utf-8", "gb18030"]


def load_hierarchy(path: Path, column: str, values: Sequence[str] = (), *, encoding: Encoding = "utf-8") -> Hierarchy:
    """Read the hierarchy of one column.

    Args:
        path: `.csv` (no header; the value, then one column a level, `*` the top) or `.yaml` (a HierarchyFile).
        column: The column's name.
        values: The different values to cover, for a YAML rule; a table or a tree brings its own.
        encoding: Of a CSV file; GB18030 has to be declared.

    Raises:
        HierarchyInvalid: If the file is missing, ragged, not text of that encoding or not a hierarchy; the message
            names the file, the line and the column.
        ConfigError: If a YAML file is malformed.
        ValueNotCovered: If a rule does not fit a value.
    """
    if path.suffix == ".csv":
        return _from_table(path, column, encoding)
    if path.suffix not in {".yaml", ".yml"}:
        raise HierarchyInvalid(f"{path.name}: column {column!r}: a hierarchy is a .csv or .yaml file; rename it")
    _refuse_repeated_keys(path)
    return by_rule(column, load_yaml(path, HierarchyFile).hierarchy, values, where=path.name)


def _from_table(path: Path, column: str, encoding: Encoding) -> Hierarchy:
    where = f"{path.name}: column {column!r}"
    try:
        text = path.read_bytes().decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except FileNotFoundError as error:
        raise HierarchyInvalid(f"{where}: there is no such file in {path.parent}; put the hierarchy there") from error
    except UnicodeDecodeError as error:
        raise HierarchyInvalid(
            f"{where}: byte {error.start + 1} is not {encoding.upper()}; save the file so, or declare its encoding"
        ) from error
    lines: list[str] = []
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if not row:
                continue
            if len(row) < 2 or (rows and len(row) != len(rows[0])):
                needs = len(rows[0]) if rows else "at least 2"
                raise HierarchyInvalid(f"{path.name}: line {reader.line_num}: {len(row)} fields, {needs} are needed")
            lines.append(f"line {reader.line_num}")
            rows.append([field.strip() for field in row])
    except csv.Error as error:
        raise HierarchyInvalid(f"{path.name}: line {reader.line_num}: not CSV: {error}") from error
    if not rows:
        raise HierarchyInvalid(f"{where}: the file is empty; one line a value is needed")
    return build(column, list(zip(*rows, strict=True)), where=path.name, places=lines)


def _refuse_repeated_keys(path: Path) -> None:
    """Refuse a mapping with a key twice: YAML keeps the last one silently, and with it half of the tree."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return  # load_yaml says what is wrong
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, child in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise HierarchyInvalid(
                        f"{path.name}: line {line}: the same key stands at line {seen[key.value]}; join the two"
                    )
                seen[key.value] = line
                nodes.append(child)
