"""Frozen examples: the same bytes each time, private, and named by one hash."""

from __future__ import annotations

import numpy as np
import pytest

from fl_tasks.contracts.data import (
    Prepared,
    RowCounts,
    fit_examples,
    held_back_examples,
    prepared_path,
    validation_examples,
)
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.series_config import RateConfig
from fl_tasks.data.examples import examples_sha256, freeze
from fl_tasks.data.windows import Windows
from tests.data.examples import config, series


def frozen(folder, grid, *, hold=False):
    rows = RowCounts(rows_in=len(grid.times), rows_out=len(grid.times), quarantined=0, merged=0)
    return freeze(folder, grid, Windows(grid, config(), hold_validation=hold), config(), rows, unit="mph")


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def grid():
    return series(range(200), np.random.default_rng(1).uniform(1, 70, (200, 3)))


def test_frozen_examples_are_z_scored_float32_and_the_same_bytes_each_time(tmp_path, grid):
    first = frozen(tmp_path, grid)
    content = files_of(tmp_path)
    assert first == frozen(tmp_path, grid) == Prepared.model_validate_json(prepared_path(tmp_path).read_bytes())
    assert content == files_of(tmp_path)
    fit = {fit_examples(tmp_path) / f"{name}.npy" for name in ("x", "y")}
    test = {held_back_examples(tmp_path) / f"{name}.npy" for name in ("x", "y", "season", "hour")}
    assert set(content) == fit | test | {prepared_path(tmp_path)}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in content)
    x, y = (np.load(fit_examples(tmp_path) / name) for name in ("x.npy", "y.npy"))
    assert (x.dtype, x.shape) == (np.dtype(np.float32), (first.fit_windows, 4, 3))
    assert (y.dtype, y.shape) == (np.dtype(np.float32), (first.fit_windows, 2))
    np.testing.assert_allclose(x[0, :, 0] * first.std + first.mean, grid.values[:4, 0], rtol=1e-5)
    np.testing.assert_allclose(y[0] * first.std + first.mean, grid.values[4:6, 0], rtol=1e-5)
    season, hour = (np.load(held_back_examples(tmp_path) / name) for name in ("season.npy", "hour.npy"))
    assert (season.dtype, season.shape) == (np.dtype(np.float32), (first.test_windows, 2))
    assert (hour.dtype, hour.shape) == (np.dtype(np.int8), (first.test_windows,))
    assert (first.unit, first.validation_windows) == ("mph", 0)
    assert first.sha256 == examples_sha256(tmp_path)


def test_validation_is_frozen_by_itself_where_it_is_held_back(tmp_path, grid):
    whole, held = frozen(tmp_path / "whole", grid), frozen(tmp_path / "held", grid, hold=True)
    assert not validation_examples(tmp_path / "whole").exists()
    counts = [len(np.load(part(tmp_path / "held") / "x.npy")) for part in (fit_examples, validation_examples)]
    assert counts == [held.fit_windows, held.validation_windows] == [3 * 135, 3 * 19]
    assert held.test_windows == whole.test_windows
    # All are scaled by the fit part, which is another one here.
    assert (held.mean, held.std) == (grid.values[:140].mean(), grid.values[:140].std())
    y = np.load(validation_examples(tmp_path / "held") / "y.npy")
    np.testing.assert_allclose(y[0] * held.std + held.mean, grid.values[140:142, 0], rtol=1e-5)


@pytest.mark.parametrize("name", ["fit/y", "validation/x", "test/season", "test/hour"])
def test_the_record_changes_with_every_example_file(tmp_path, grid, name):
    first = frozen(tmp_path, grid, hold=True)
    path = tmp_path / "examples" / f"{name}.npy"
    array = np.load(path, mmap_mode="r+")
    array.flat[-1] += 1
    array.flush()
    assert examples_sha256(tmp_path) != first.sha256


def test_with_quantiles_the_fit_part_holds_the_seasonal_forecast_too_and_the_record_the_population(tmp_path, grid):
    settings = config(
        quantiles=(0.1, 0.5, 0.9), season_steps=7, rate=RateConfig(function="log1p", unit="vehicles/h", inhabitants=10)
    )
    rows = RowCounts(rows_in=200, rows_out=200, quarantined=0, merged=0)
    windows = Windows(grid, settings, hold_validation=False)
    found = freeze(tmp_path, grid, windows, settings, rows, unit="vehicles/h", population=40)
    assert (found.mean, found.std, found.population) == (0.0, 1.0, 40)
    assert (found.level, found.spread) == pytest.approx((grid.values[:160].mean(), grid.values[:160].std()))
    y, season = (np.load(fit_examples(tmp_path) / f"{name}.npy") for name in ("y", "season"))
    assert season.shape == y.shape == (found.fit_windows, 2)
    np.testing.assert_allclose(y[0], np.log1p(grid.values[4:6, 0] / 4), rtol=1e-6)
    np.testing.assert_allclose(season[10], np.log1p(grid.values[7:9, 0] / 4), rtol=1e-6)
    with pytest.raises(ConfigError, match="field population"):
        freeze(tmp_path / "other", grid, windows, settings, rows, unit="vehicles/h")
