"""Series between stages: written whole, read back the same, without importing pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fl_tasks.contracts.errors import MissingInput
from fl_tasks.data.series import REASON, Series, read_series, write_series
from tests.data.examples import series, steps


def test_series_come_back_as_they_were_written(tmp_path):
    before = series([0, 1.25, 7], [[1.5, np.nan], [0.0, -2.0], [3.0, 4.0]])
    write_series(tmp_path / "deep" / "raw.parquet", before)
    after = read_series(tmp_path / "deep" / "raw.parquet")
    np.testing.assert_array_equal(after.times, before.times)
    np.testing.assert_array_equal(after.values, before.values)
    assert after.names == before.names


def test_no_row_is_a_file_too_and_reasons_stand_beside_the_rows(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    none = Series(steps(), ("a",), np.empty((0, 1)))
    write_series(tmp_path / "none.parquet", none, reasons=[])
    assert parquet.ParquetFile(tmp_path / "none.parquet").read().num_rows == 0
    write_series(tmp_path / "two.parquet", series([0, 1], [1.0, 2.0]), reasons=["off_grid", "人"])
    assert parquet.ParquetFile(tmp_path / "two.parquet").read().column(REASON).to_pylist() == ["off_grid", "人"]


def test_identifiers_come_back_as_text_and_stay_with_the_rows_that_are_chosen(tmp_path):
    plates = {"plate": ["京A12345", "", "x"], "card": ["1", "2", "3"]}
    before = Series(steps(0, 1, 2), ("a",), np.array([[1.0], [2.0], [3.0]]), plates)
    write_series(tmp_path / "raw.parquet", before)
    after = read_series(tmp_path / "raw.parquet")
    assert (after.names, after.identifiers) == (("a",), plates)
    assert after.rows(np.array([True, False, True])).identifiers == {"plate": ["京A12345", "x"], "card": ["1", "3"]}
    write_series(tmp_path / "quarantine.parquet", before, reasons=["r"] * 3)
    assert read_series(tmp_path / "quarantine.parquet").identifiers == plates


def test_a_file_that_is_not_there_yet_is_worth_a_retry(tmp_path):
    with pytest.raises(MissingInput, match=r"raw\.parquet of this run is not there yet"):
        read_series(tmp_path / "raw.parquet")


def test_reading_and_writing_does_not_import_pandas(tmp_path):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from fl_tasks.data.series import Series, read_series, write_series\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "write_series(path, Series(np.array(['2012-03-01'], 'M8[us]'), ('a',), np.array([[1.0]])), reasons=None)\n"
        "read_series(path)\n"
        "write_series(path, Series(np.array(['2012-03-01'], 'M8[us]'), ('a',), np.array([[1.0]])), reasons=['x'])\n"
        "assert 'pandas' not in sys.modules, 'pandas was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.parquet")], check=True, timeout=60)
