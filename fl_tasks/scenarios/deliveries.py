"""Real or made-up rows as each agency delivers them: in its own names, codes, units and encoding.

Offices that keep the same records call them differently. The agencies' YAMLs undo what is done here; both kinds of
data go this way, so that one YAML fits both.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from fl_tasks.contracts.errors import InputError
from fl_tasks.data.csv_table import CsvTable

Cells = Mapping[str, Sequence[str]]
"""Column -> the cells of all rows."""


@dataclass(frozen=True)
class Delivery:
    """How one agency writes its table.

    Attributes:
        names: Column -> what the agency calls it, where it has a name of its own.
        codes: Column -> value -> what the agency writes for it.
        factors: Column -> what its numbers are multiplied by, because the agency's unit is another.
        encoding: Of the file.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    factors: Mapping[str, int] = field(default_factory=dict)
    encoding: Literal["utf-8", "gb18030"] = "utf-8"


def written(cells: Cells, delivery: Delivery) -> bytes:
    """Return a table as an agency's gzip CSV, without a time stamp: the same bytes for the same cells."""
    columns = []
    for name, values in cells.items():
        codes, factor = delivery.codes.get(name, {}), delivery.factors.get(name)
        texts = [codes.get(value, value) for value in values]
        columns.append(texts if factor is None else [_times(text, factor) for text in texts])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([delivery.names.get(name, name) for name in cells])
    writer.writerows(zip(*columns, strict=True))
    return gzip.compress(text.getvalue().encode(delivery.encoding), compresslevel=6, mtime=0)


def read_cells(path: Path, needs: Sequence[str]) -> dict[str, list[str]]:
    """Read a CSV file whole.

    Args:
        path: The file.
        needs: Columns that it must have.

    Raises:
        InputError: If the file is missing, malformed, empty or has not a column; with file, line and column.
    """
    table = CsvTable(path, needs=needs)
    rows = [cells for _, cells in table.rows()]
    if not rows:
        raise InputError(f"{table.name}: only a header, no row; at least one row is needed")
    return {name: list(column) for name, column in zip(table.columns, zip(*rows, strict=True), strict=True)}


def chosen(cells: Cells, rows: Sequence[int]) -> dict[str, list[str]]:
    """Return some rows of a table, in the order given."""
    return {name: [values[row] for row in rows] for name, values in cells.items()}


def runs(cells: Cells, columns: Sequence[str]) -> list[str]:
    """Number neighbouring rows that are alike in some columns, from 1: members of one household that stand together.

    Rows of two households that happen to be neighbours and alike get one number; those of one never get two.
    """
    numbers, before, number = [], None, 0
    for here in zip(*(cells[column] for column in columns), strict=True):
        number += here != before
        before = here
        numbers.append(str(number))
    return numbers


def halves(rows: Sequence[int], households: Sequence[str]) -> tuple[list[int], list[int]]:
    """Cut rows in the middle, without cutting a household.

    Args:
        rows: Places in the table, in the file's order.
        households: Of every row of the table.
    """
    middle = len(rows) // 2
    while 0 < middle < len(rows) and households[rows[middle]] == households[rows[middle - 1]]:
        middle += 1
    return list(rows[:middle]), list(rows[middle:])


def _times(text: str, factor: int) -> str:
    """Multiply in decimals, so that nothing is rounded; an empty cell stays empty."""
    return f"{Decimal(text) * factor:f}" if text else ""
