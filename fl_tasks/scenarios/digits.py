"""digits: four offices learn to read handwritten digits, the classic first example of learning from pictures.

Examples: a picture of 28 x 28 pixels from 0 to 1, resized from 8 x 8; ten classes. Data: the 1,797 digits that come
with scikit-learn (UCI, Optical Recognition of Handwritten Digits), dealt out to the offices in turn. There is no other
data set: a folder that a user names is not read.
"""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from fl_tasks.scenarios.class_metrics import majority, metrics, pool, pool_scaled, probabilities
from fl_tasks.scenarios.classifier import build_model, loss, shapes
from fl_tasks.scenarios.hand_out import Files

__all__ = [
    "DEMO_INTERVAL_END",
    "DEMO_ROUNDS",
    "OFFICES",
    "build_model",
    "generate",
    "loss",
    "majority",
    "metrics",
    "pool",
    "pool_scaled",
    "probabilities",
    "shapes",
    "split_real",
]

DEMO_INTERVAL_END = "2024-07-01"
"""The day after the offices' snapshot."""

DEMO_ROUNDS = 3

OFFICES = ("office_east", "office_north", "office_south", "office_west")

FILE = "incoming/digits.csv.gz"
"""Where an office's pictures go, relative to its agency's folder."""

_SIDE = 8


def generate(seed: int) -> Files:
    """Return the offices' files; the seed decides nothing, as nothing is drawn."""
    return _offices()


def split_real(data: Path) -> Files:
    """Return the same files as generate, whatever folder is named."""
    return _offices()


def _offices() -> Files:
    """Deal the pictures out: office -> its one file, CSV, gzip without a time stamp (the same bytes each time).

    Columns: image (its number, from 0), digit, and the pixels row by row, whole numbers from 0 (white) to 16.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # noqa: PLC0415

    pictures, digits = load_digits(return_X_y=True)
    pixels = [f"pixel_{row}_{column}" for row in range(_SIDE) for column in range(_SIDE)]
    files: Files = {}
    for first, office in enumerate(OFFICES):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "digit", *pixels])
        for number in range(first, len(digits), len(OFFICES)):
            writer.writerow([number, digits[number], *(int(value) for value in pictures[number])])
        files[office] = {FILE: gzip.compress(text.getvalue().encode(), mtime=0)}
    return files
