"""digits: scikit-learn's pictures, each at exactly one of four offices, the same bytes whatever is asked for."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.paths import Home
from fl_tasks.scenarios import digits
from fl_tasks.scenarios.hand_out import hand_out

FEDERATION = Path(__file__).parents[2] / "dags" / "federation"


def rows_of(files, office):
    text = gzip.decompress(files[office][digits.FILE]).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_every_picture_is_at_exactly_one_office():
    pictures, truth = load_digits(return_X_y=True)
    files = digits.generate(seed=7)
    assert tuple(files) == digits.OFFICES
    seen = []
    for office in digits.OFFICES:
        rows = rows_of(files, office)
        assert len(rows) in (449, 450)
        for row in rows:
            number = int(row.pop("image"))
            seen.append(number)
            assert int(row.pop("digit")) == truth[number]
            np.testing.assert_array_equal([int(value) for value in row.values()], pictures[number])
    assert sorted(seen) == list(range(1797))


def test_the_files_are_the_same_bytes_for_any_seed_and_folder(tmp_path):
    assert digits.generate(seed=1) == digits.generate(seed=2) == digits.split_real(tmp_path / "nowhere")


def test_every_office_has_every_digit():
    files = digits.generate(seed=7)
    for office in digits.OFFICES:
        counts = np.bincount([int(row["digit"]) for row in rows_of(files, office)], minlength=10)
        assert counts.min() >= 30


def test_the_declared_pixels_are_those_of_the_files_in_the_files_order(tmp_path):
    federation = load_federation(FEDERATION)
    config = federation.scenarios["digits"].table
    assert [agency.agency for agency in federation.members("digits")] == sorted(digits.OFFICES)
    files = digits.generate(seed=7)
    hand_out("digits", files, Home(tmp_path), FEDERATION)
    header = list(rows_of(files, digits.OFFICES[0])[0])
    assert [column.column for column in config.columns] == header
    assert [column.column for column in config.of("feature")] == header[2:]
    assert digits.shapes(config) == ((28, 28, 1), (10,))
