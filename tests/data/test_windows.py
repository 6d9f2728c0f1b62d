"""Windows: never across a gap, split by time, in a fixed order, scaled by the fit part alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.contracts.data import RowCounts, fit_examples, held_back_examples, prepared_path
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.examples import examples_sha256, freeze
from fl_tasks.data.windows import FEATURES, Scale, Windows
from tests.data.examples import config, series

NAN = np.nan
PLAIN = Scale(0.0, 1.0)


def cut(grid, settings_, part, scale=PLAIN):
    """Make one part's examples."""
    windows = Windows(grid, settings_)
    count = windows.fit_count if part == "fit" else windows.test_count
    x = np.empty((count, settings_.input_steps, FEATURES), dtype=np.float32)
    y = np.empty((count, settings_.target_steps), dtype=np.float32)
    (windows.fill_fit if part == "fit" else windows.fill_test)(x, y, scale)
    return x, y


def expected(grid, settings_, part):
    """The same by the plainest loops: an independent oracle."""
    inputs, targets = settings_.input_steps, settings_.target_steps
    boundary = len(grid.times) * 8 // 10
    found = []
    for name in range(grid.values.shape[1]):
        for start in range(len(grid.times) - inputs - targets + 1):
            window = grid.values[start : start + inputs + targets, name]
            inside = start + inputs + targets <= boundary if part == "fit" else start + inputs >= boundary
            if inside and not np.isnan(window).any():
                found.append(window)
    return np.array(found, dtype=np.float32).reshape(len(found), inputs + targets)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.4]))
def test_windows_are_those_of_the_plain_loops_in_the_same_order(length, names, seed, missing):
    draw = np.random.default_rng(seed)
    values = draw.uniform(1, 70, (length, names))
    values[draw.random((length, names)) < missing] = NAN
    grid, settings_ = series(range(length), values), config()
    for part in ("fit", "test"):
        x, y = cut(grid, settings_, part)
        np.testing.assert_array_equal(np.concatenate([x[:, :, 0], y], axis=1), expected(grid, settings_, part))


def test_the_boundary_is_eight_tenths_of_the_steps_for_every_length():
    for length in range(1, 400):
        assert Windows(series(range(length), np.ones(length)), config()).boundary == length * 8 // 10


def test_targets_of_test_windows_all_lie_in_the_test_part_and_no_fit_window_reaches_into_it():
    grid, settings_ = series(range(100), np.arange(100.0) + 1), config()
    fit_x, fit_y = cut(grid, settings_, "fit")
    test_x, test_y = cut(grid, settings_, "test")
    assert max(fit_x[:, :, 0].max(), fit_y.max()) == 80.0  # the last value before step 80
    assert test_y.min() == 81.0
    assert test_x[:, :, 0].min() == 77.0  # four inputs before the boundary
    assert test_y.max() == 100.0


def test_time_of_day_is_sine_and_cosine_of_each_input_step():
    x, _ = cut(series(range(72, 100), np.ones(28)), config(), "fit")
    np.testing.assert_allclose(x[0, 0, 1:], [1.0, 0.0], atol=1e-6)  # step 72 is 06:00
    angle = 2 * np.pi * (72 + np.arange(4)) / 288
    np.testing.assert_allclose(x[0, :, 1:], np.stack([np.sin(angle), np.cos(angle)], axis=1), atol=1e-6)


def test_the_scale_is_that_of_the_fit_part_alone():
    values = np.concatenate([np.tile([40.0, 60.0], 40), np.full(20, 1e6)])
    values[3] = NAN
    scale = Windows(series(range(100), values), config()).scale()
    known = values[:80][~np.isnan(values[:80])]
    assert scale == Scale(known.mean(), known.std())


@pytest.mark.parametrize("value", [NAN, 50.0])
def test_values_that_cannot_be_scaled_are_rejected(value):
    with pytest.raises(DataRejected, match="cannot be scaled"):
        Windows(series(range(50), np.full(50, value)), config()).scale()


def frozen(folder, grid):
    rows = RowCounts(rows_in=len(grid.times), rows_out=len(grid.times), quarantined=0, merged=0)
    return freeze(folder, grid, Windows(grid, config()), config(), rows)


def test_frozen_examples_are_z_scored_float32_and_the_same_bytes_each_time(tmp_path):
    draw = np.random.default_rng(1)
    grid = series(range(200), draw.uniform(1, 70, (200, 3)))
    first = frozen(tmp_path, grid)
    content = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert first == frozen(tmp_path, grid)
    assert content == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(content) == {
        folder(tmp_path) / name for folder in (fit_examples, held_back_examples) for name in ("x.npy", "y.npy")
    } | {prepared_path(tmp_path)}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in content)
    x, y = (np.load(fit_examples(tmp_path) / name) for name in ("x.npy", "y.npy"))
    assert (x.dtype, x.shape, y.dtype, y.shape) == (
        np.dtype(np.float32),
        (first.fit_windows, 4, 3),
        np.dtype(np.float32),
        (first.fit_windows, 2),
    )
    np.testing.assert_allclose(x[0, :, 0] * first.std + first.mean, grid.values[:4, 0], rtol=1e-5)
    np.testing.assert_allclose(y[0] * first.std + first.mean, grid.values[4:6, 0], rtol=1e-5)
    assert first.sha256 == examples_sha256(tmp_path)


def test_the_record_changes_with_the_examples(tmp_path):
    draw = np.random.default_rng(1)
    values = draw.uniform(1, 70, (200, 1))
    first = frozen(tmp_path / "a", series(range(200), values))
    values[-1] += 1.0
    assert first.sha256 != frozen(tmp_path / "b", series(range(200), values)).sha256
