"""Forecasts on disk: one row a series and step at the target's time, the owner's alone, and a picture that is one."""

from __future__ import annotations

import stat
import warnings
from dataclasses import replace

import numpy as np
import pytest

from fl_tasks.data.forecast_files import Forecast, draw_forecast, forecast_path, picture_path, write_forecast
from fl_tasks.data.series import Series

pd = pytest.importorskip("pandas")
image = pytest.importorskip("matplotlib.image")

STEP = np.timedelta64(60, "m")
NAMES = ("plain", "西安 <1>", r"$\road_1$", "d", "e", "f", "g")


def forecast(count: int = 2) -> Forecast:
    start = np.datetime64("2018-06-30T23:00", "us")
    return Forecast(
        names=NAMES[:count],
        ends=np.array([start - i * STEP for i in range(count)]),
        values=np.arange(3.0 * count).reshape(count, 3) + 0.25,
        step_minutes=60,
        unit="vehicles/h",
        version=4,
        model_sha256="ab" * 32,
    )


def grid(count: int) -> Series:
    times = np.datetime64("2018-06-28T00:00", "us") + np.arange(72) * STEP
    return Series(times, NAMES[:count], np.random.default_rng(3).uniform(0, 9, (72, count)))


def test_a_row_is_one_series_and_step_at_the_time_that_it_foretells(tmp_path):
    write_forecast(tmp_path / "forecast.parquet", forecast())
    table = pd.read_parquet(tmp_path / "forecast.parquet")
    assert list(table.columns) == [
        *("timestamp", "series", "horizon_step", "forecast", "unit", "model_version", "model_sha256")
    ]
    assert [str(time) for time in table.timestamp] == [
        *("2018-07-01 00:00:00", "2018-07-01 01:00:00", "2018-07-01 02:00:00"),
        *("2018-06-30 23:00:00", "2018-07-01 00:00:00", "2018-07-01 01:00:00"),
    ]
    assert list(table.series) == ["plain"] * 3 + ["西安 <1>"] * 3
    assert list(table.horizon_step) == [1, 2, 3, 1, 2, 3]
    assert list(table.forecast) == [0.25, 1.25, 2.25, 3.25, 4.25, 5.25]
    assert set(table.unit) == {"vehicles/h"}
    assert set(table.model_version) == {4}
    assert set(table.model_sha256) == {"ab" * 32}


def test_the_same_forecast_is_the_same_bytes_and_the_owners_alone(tmp_path):
    paths = [path(tmp_path / "agency", "traffic", run) for path in (forecast_path, picture_path) for run in ("a", "b")]
    for path in paths[:2]:
        write_forecast(path, forecast())
    for path in paths[2:]:
        draw_forecast(path, grid(2), forecast())
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[2].read_bytes() == paths[3].read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_picture_is_one_whatever_the_series_are_called(tmp_path, count):
    path = tmp_path / "forecast.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing letter is named in a warning, and a series' name is data
        draw_forecast(path, grid(count), forecast(count))
    pixels = image.imread(path)
    assert pixels.shape[0] >= 270
    assert pixels[..., :3].std() > 0.05


def drawn(path, name: str) -> bytes:
    one = replace(forecast(1), names=(name,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_forecast(path, replace(grid(1), names=(name,)), one)
    return path.read_bytes()


def test_where_no_chinese_font_is_installed_a_series_gets_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr("fl_tasks.data.forecast_files._CHINESE_FONTS", ())
    assert drawn(tmp_path / "a.png", "西安") == drawn(tmp_path / "b.png", "series 1")


def test_a_letter_that_no_font_has_is_not_named_in_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("fl_tasks.data.forecast_files._fonts", lambda: ["DejaVu Sans", "DejaVu Serif"])
    drawn(tmp_path / "a.png", "\U00013000")  # an Egyptian hieroglyph


def with_levels(count: int = 2) -> Forecast:
    plain = forecast(count)
    return replace(
        plain, quantiles={0.1: plain.values - 1, 0.5: plain.values, 0.9: plain.values + 2}, step_minutes=1440
    )


def test_each_level_has_a_column_of_its_own_beside_the_median(tmp_path):
    write_forecast(tmp_path / "forecast.parquet", with_levels())
    table = pd.read_parquet(tmp_path / "forecast.parquet")
    assert list(table.columns[3:8]) == ["forecast", "quantile_0.1", "quantile_0.5", "quantile_0.9", "unit"]
    assert (table["quantile_0.5"] == table.forecast).all()
    assert list(table["quantile_0.1"]) == [-0.75, 0.25, 1.25, 2.25, 3.25, 4.25]
    assert list(table["quantile_0.9"] - table.forecast) == [2.0] * 6


def test_levels_are_bands_in_the_picture(tmp_path):
    times = np.datetime64("2018-03-01T00:00", "us") + np.arange(122) * np.timedelta64(24, "h")
    days = Series(times, NAMES[:1], np.random.default_rng(3).uniform(0, 9, (122, 1)))
    ends = times[-1:]
    tinted = []
    for one in (with_levels(1), replace(with_levels(1), quantiles={})):
        draw_forecast(tmp_path / "forecast.png", days, replace(one, ends=ends))
        red, green, blue = np.moveaxis(image.imread(tmp_path / "forecast.png")[..., :3], -1, 0)
        tinted.append(int(((red > 0.9) & (green > 0.8) & (green < 0.93) & (blue < green)).sum()))
    assert tinted[0] > 1000 + 2 * tinted[1]
