"""Reading an agency's CSV strictly: every complaint names the file, the line and the column, never the value."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import math
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

from fl_tasks.contracts.errors import InputError

MISSING = frozenset({"", "NA", "NaN", "nan", "null"})
"""Cells that say: no value."""


class CsvTable:
    """One CSV file (.csv, or gzip as .csv.gz; UTF-8 with or without a byte-order mark) with a header row.

    Attributes:
        name: How messages call the file.
        columns: The header's cells, distinct and not empty.
    """

    def __init__(self, path: Path, *, name: str | None = None, needs: Sequence[str] = ()) -> None:
        """Read and check the header.

        Args:
            path: The file.
            name: How messages call it; by default its path.
            needs: Columns that must be there.

        Raises:
            InputError: If the file is missing, unreadable or empty, or the header lacks a needed column, or holds
                an empty or a repeated one.
        """
        self._path = path
        self.name = name or str(path)
        with closing(self._lines()) as lines:
            _, header = next(lines, (0, None))
        if header is None:
            raise InputError(f"{self.name}: the file is empty; a header row and at least one row are needed")
        self.columns = tuple(cell.strip() for cell in header)
        # First, so that a file without a header is not answered by quoting its first row as column names.
        for column in needs:
            if column not in self.columns:
                raise InputError(f"{self.name}: line 1: there is no column {column!r}; the header must name it")
        if "" in self.columns:
            raise InputError(f"{self.name}: line 1: column {self.columns.index('') + 1} has no name; name every column")
        repeated = sorted({column for column in self.columns if self.columns.count(column) > 1})
        if repeated:
            raise InputError(f"{self.name}: line 1: column {repeated[0]!r} is named twice; keep one of them")

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line from 1, cells) of every row that is not blank.

        Raises:
            InputError: If a row has more or fewer cells than the header, or the file cannot be read on.
        """
        lines = self._lines()
        next(lines)
        for line, cells in lines:
            if len(cells) != len(self.columns):
                raise InputError(
                    f"{self.name}: line {line}: {len(cells)} cells, the header has {len(self.columns)}; "
                    "the row is damaged or cut off"
                )
            yield line, cells

    def numbers(self, line: int, columns: Sequence[str], cells: Sequence[str]) -> list[float]:
        """Return the cells of one row as finite numbers, NaN where there is no value.

        Args:
            line: Of the row, for the message.
            columns: Their columns' names.
            cells: Their text.

        Raises:
            InputError: If a cell is no number or not finite; the message names the line and the column.
        """
        try:
            values = [math.nan if cell in MISSING else float(cell) for cell in cells]
        except ValueError:
            values = []
        # float() takes 1_000 for a number; no agency's system writes that, a damaged one may.
        if not values or math.inf in values or -math.inf in values or "_" in "".join(cells):
            for column, cell in zip(columns, cells, strict=True):
                self._check_number(line, column, cell)
            values = [math.nan if cell.strip() in MISSING else float(cell) for cell in cells]
        return values

    def moment(self, line: int, column: str, cell: str) -> dt.datetime:
        """Return a cell as local wall time.

        Raises:
            InputError: If it is no ISO 8601 date and time, or carries a UTC offset.
        """
        try:
            value = dt.datetime.fromisoformat(cell.strip())
        except ValueError as error:
            raise InputError(
                f"{self.name}: line {line}: column {column!r} is no date and time; "
                "local wall time like 2018-06-01 00:05:00 is needed"
            ) from error
        if value.tzinfo is not None:
            raise InputError(
                f"{self.name}: line {line}: column {column!r} carries a UTC offset; "
                "local wall time of the scenario's zone is needed, without an offset"
            )
        return value

    def _check_number(self, line: int, column: str, cell: str) -> None:
        if cell.strip() in MISSING:
            return
        try:
            number = math.nan if "_" in cell else float(cell)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise InputError(f"{self.name}: line {line}: column {column!r} is not a number; leave it empty if missing")
        if math.isinf(number):
            raise InputError(f"{self.name}: line {line}: column {column!r} is infinite; leave it empty if missing")

    def _lines(self) -> Generator[tuple[int, list[str]], None, None]:
        try:
            with self._open() as file:
                reader = csv.reader(file, strict=True)
                for cells in reader:
                    if cells:
                        yield reader.line_num, cells
        except FileNotFoundError as error:
            raise InputError(f"{self.name}: there is no such file; put the data there") from error
        except IsADirectoryError as error:
            raise InputError(f"{self.name}: a folder, but a CSV file is needed") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self.name}: not UTF-8 text; save the file as UTF-8") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{self.name}: not a whole gzip file ({type(error).__name__}); copy it again") from error
        except csv.Error as error:
            raise InputError(f"{self.name}: not a CSV file ({error}); separate cells by commas") from error

    def _open(self) -> IO[str]:
        if self._path.suffix == ".gz":
            return gzip.open(self._path, "rt", encoding="utf-8-sig", newline="")
        return self._path.open(encoding="utf-8-sig", newline="")
