"""Dealing the rows of a file about many regions out to the regions, each of which has its own rows alone."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fl_tasks.contracts.errors import InputError
from fl_tasks.data.csv_table import CsvTable
from fl_tasks.scenarios.hand_out import Files

FILE = "incoming/counts.csv.gz"
"""Where a region's counts go, relative to its agency's folder."""


@dataclass(frozen=True)
class Region:
    """A region that is an agency.

    Attributes:
        name: What the real file calls it.
        population: Inhabitants.
    """

    name: str
    population: int


def deal_out(path: Path, column: str, regions: Mapping[str, Region]) -> Files:
    """Return each region's own rows of a file, as they are; rows of nobody's region are left out.

    Args:
        path: A CSV file, one row a region and time.
        column: Names the region.
        regions: Agency -> its region.

    Raises:
        InputError: If the file is missing or malformed, or holds no row of a region.
    """
    table = CsvTable(path, needs=(column,))
    at = table.columns.index(column)
    rows: dict[str, list[list[str]]] = {region.name: [] for region in regions.values()}
    for _, cells in table.rows():
        if cells[at] in rows:
            rows[cells[at]].append(cells)
    for agency, region in regions.items():
        if not rows[region.name]:
            raise InputError(f"{table.name}: column {column!r}: no row is of {region.name}, which {agency} needs")
    return {agency: {FILE: written(table.columns, rows[region.name])} for agency, region in regions.items()}


def written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as gzip CSV without a time stamp: the same bytes for the same rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0)
