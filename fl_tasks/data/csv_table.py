"""Reading an agency's CSV strictly: every problem names the file, the line and the column, never the value."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import gzip
import math
import zlib
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np

from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.data.clock import Clock, WrongTime, iso_time
from fl_tasks.data.long_table import Labels, widen
from fl_tasks.data.series import Series
from fl_tasks.data.table import Layout, Problems, Read, of_own, plan

MISSING = frozenset({"", "NA", "NaN", "nan", "null"})
"""Cells that say: no value."""


class CsvTable:
    """One CSV file (.csv, or gzip as .csv.gz), with or without a byte-order mark, with a header row.

    It is read row by row; only the row at hand is in memory.

    Attributes:
        name: How messages call the file.
        columns: The header's cells, distinct and not empty.
    """

    def __init__(
        self, path: Path, *, name: str | None = None, needs: Sequence[str] = (), encoding: str = "utf-8"
    ) -> None:
        """Read and check the header.

        Args:
            path: The file.
            name: How messages call it; by default its path.
            needs: Columns that must be there.
            encoding: Of its text: one in which a line ends with the byte 10, and nothing else holds it.

        Raises:
            InputError: If the file is missing, unreadable or empty, or the header lacks a needed column, or holds
                an empty or a repeated one.
        """
        self._path = path
        self._encoding = encoding
        self.name = name or str(path)
        with closing(self._lines()) as lines:
            _, header = next(lines, (0, None))
        if header is None:
            raise InputError(f"{self.name}: the file is empty; a header row and at least one row are needed")
        # UTF-8's own mark is read over; others leave it as a character.
        self.columns = tuple(cell.removeprefix("\ufeff").strip() for cell in header)
        # First, so that a file without a header is not answered by quoting its first row as column names.
        for column in needs:
            if column not in self.columns:
                raise InputError(f"{self.name}: line 1: there is no column {column!r}; the header must name it")
        if "" in self.columns:
            raise InputError(f"{self.name}: line 1: column {self.columns.index('') + 1} has no name; name every column")
        repeated = sorted({column for column in self.columns if self.columns.count(column) > 1})
        if repeated:
            first, second = [at for at, column in enumerate(self.columns, 1) if column == repeated[0]][:2]
            raise InputError(
                f"{self.name}: line 1: column {repeated[0]!r} is named twice, as {first} and {second} from the left; "
                "keep one of them"
            )

    def rows(self, problems: Problems | None = None) -> Iterator[tuple[int, list[str]]]:
        """Yield (line from 1, cells) of every row that is not blank.

        Args:
            problems: Where a row goes that has more or fewer cells than the header; by default it is raised.

        Raises:
            InputError: If the file cannot be read on.
        """
        problems = problems or Problems()
        lines = self._lines()
        next(lines)
        for line, cells in lines:
            if len(cells) != len(self.columns):
                problems.add(
                    InputError(
                        f"{self.name}: line {line}: {len(cells)} cells, the header has {len(self.columns)}; "
                        "the row is damaged or cut off"
                    )
                )
                continue
            yield line, cells

    def numbers(
        self, line: int, columns: Sequence[str], cells: Sequence[str], problems: Problems | None = None
    ) -> list[float]:
        """Return the cells of one row as finite numbers, NaN where there is no value.

        Args:
            line: Of the row, for the message.
            columns: Their columns' names.
            cells: Their text.
            problems: Where a cell goes that is no number or not finite; by default it is raised. Reported, it
                counts as no value.
        """
        try:
            values = [math.nan if cell in MISSING else float(cell) for cell in cells]
        except ValueError:
            values = []
        # float() takes 1_000 for a number; no agency's system writes that, a damaged one may.
        if not values or math.inf in values or -math.inf in values or "_" in "".join(cells):
            problems = problems or Problems()
            values = [self._number(line, *pair, problems) for pair in zip(columns, cells, strict=True)]
        return values

    def moment(self, line: int, column: str, cell: str) -> dt.datetime:
        """Return a cell as local wall time.

        Raises:
            InputError: If it is no ISO 8601 date and time, or carries a UTC offset.
        """
        try:
            return iso_time(cell.strip())
        except WrongTime as error:
            raise InputError(f"{self.name}: line {line}: column {column!r} {error}") from None

    def _number(self, line: int, column: str, cell: str, problems: Problems) -> float:
        if cell.strip() in MISSING:
            return math.nan
        try:
            number = math.nan if "_" in cell else float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            wrong = "is not a number" if math.isnan(number) else "is infinite"
            problems.add(InputError(f"{self.name}: line {line}: column {column!r} {wrong}; leave it empty if missing"))
            return math.nan
        return number

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
        except UnicodeDecodeError:
            raise self._undecodable() from None  # the codec's own message quotes the byte
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{self.name}: not a whole gzip file ({type(error).__name__}); copy it again") from error
        except csv.Error as error:
            raise InputError(f"{self.name}: not a CSV file ({error}); separate cells by commas") from error

    def _open(self) -> IO[str]:
        encoding = "utf-8-sig" if self._encoding == "utf-8" else self._encoding
        if self._path.suffix.lower() == ".gz":
            return gzip.open(self._path, "rt", encoding=encoding, newline="")
        return self._path.open(encoding=encoding, newline="")

    def _undecodable(self) -> InputError:
        """Say where the first byte stands that is not of the encoding."""
        zipped = self._path.suffix.lower() == ".gz"
        with gzip.open(self._path, "rb") if zipped else self._path.open("rb") as file:
            line, byte = _first_wrong_byte(file.read, self._encoding)
        known = self._encoding.upper()
        other = "declare its encoding, gb18030" if self._encoding == "utf-8" else "correct encoding in the declaration"
        unpacked = " of the unpacked file" if zipped else ""
        return InputError(
            f"{self.name}: line {line}: not {known} text at byte {byte}{unpacked}, counted from 1; save the file as "
            f"{known}, or {other}"
        )


def _first_wrong_byte(read: Callable[[int], bytes], encoding: str) -> tuple[int, int]:
    """Return line and byte, both counted from 1, of the first byte of a file that does not decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    before = lines = 0
    while True:
        block = read(1 << 16)
        # Of a character that the last block cut off, its bytes come again in front of this one.
        pending = decoder.getstate()[0]
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            inside = error.start - len(pending)
            return lines + block[: max(inside, 0)].count(b"\n") + 1, before + inside + 1
        before += len(block)
        lines += block.count(b"\n")
        if not block:  # exchanged since it was read: now all of it decodes
            return lines + 1, before + 1


def read_csv(path: Path, name: str, source: SourceConfig, clock: Clock, problems: Problems) -> Read:
    """Read the rows of one file that the clock covers, in the file's order.

    Every row's time and width are checked, the numbers only of the rows that are read: an old row that no run
    reads any more does not stop this one.

    Args:
        path: A .csv or .csv.gz file.
        name: How messages call it.
        source: Which columns are what.
        clock: What a time is, and the span.
        problems: Where problems of single rows go.

    Raises:
        InputError: If the file is missing, empty or malformed; with file, line and column, never a value.
    """
    table = CsvTable(path, name=name, needs=(source.time.column,), encoding=source.encoding)
    layout = plan(table.columns, source, f"{name}: line 1")
    position = {column: at for at, column in enumerate(table.columns)}
    at = position[layout.time]
    values_of = _picker([position[column] for column in layout.values])
    kept: dict[str, list[str]] = {column: [] for column in layout.identifiers}
    marks = [(position[column], texts) for column, texts in kept.items()]
    labels = None if layout.label is None else Labels(layout.label, problems)
    label_at = -1 if layout.label is None else position[layout.label]
    label_of: list[str] = []
    times: list[dt.datetime] = []
    values = array("d")
    empty = True
    for line, cells in _own_rows(table, layout, problems):
        empty = False
        label: str | None = None
        if labels is not None:
            label = labels.add(cells[label_at], f"{name}: line {line}")
            if label is None:
                continue
        try:
            time = clock.text(cells[at])
        except WrongTime as error:
            problems.add(InputError(f"{name}: line {line}: column {layout.time!r} {error}"))
            continue
        if clock.covers(time):
            values.extend(table.numbers(line, layout.values, values_of(cells), problems))
            times.append(time)
            for index, texts in marks:
                texts.append(cells[index].strip())
            if label is not None:
                label_of.append(label)
    if empty:
        problems.add(InputError(f"{name}: only a header, no row{of_own(layout)}; at least one row is needed"))
    shaped = np.frombuffer(values, dtype=np.float64).reshape(len(times), len(layout.names))
    series = Series(np.array(times, dtype="datetime64[us]"), layout.names, shaped, kept)
    return Read(series, layout.values) if labels is None else widen(series, label_of, labels, source, name)


def _own_rows(table: CsvTable, layout: Layout, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Return the rows that the declaration chooses."""
    rows = table.rows(problems)
    if not layout.only:
        return rows
    choice = [(table.columns.index(column), texts) for column, texts in layout.only.items()]
    return (row for row in rows if all(row[1][at].strip() in texts for at, texts in choice))


def _picker(indices: list[int]) -> Callable[[list[str]], Sequence[str]]:
    """Return what takes the cells at some positions out of a row; neighbours are cut out at once, which is fast."""
    if indices == list(range(indices[0], indices[0] + len(indices))):
        return itemgetter(slice(indices[0], indices[0] + len(indices)))
    return itemgetter(*indices)
