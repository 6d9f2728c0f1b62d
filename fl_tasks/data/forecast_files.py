"""An agency's forecasts as it uses them: a Parquet table and a picture, in its own folder and its own units.

pyarrow and matplotlib are imported where a file is made, so that importing a stage costs nothing.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import write_atomic
from fl_tasks.data.series import TIME, Series

PICTURED = 6
"""Series that the picture shows: the first ones of the file that have a forecast."""

_DAY = np.timedelta64(1, "D")
# Fonts with Chinese letters, by what systems come with; the picture takes the first that is installed.
_CHINESE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "SimHei")


@dataclass(frozen=True)
class Forecast:
    """The next steps of s series, each from its own newest complete window.

    Attributes:
        names: s names of series.
        ends: Shape (s,), time of the last step that the model saw, local wall time.
        values: Shape (s, steps), float64, in the unit: step 1 is one step after the end. With quantiles the median.
        quantiles: Level, in (0, 1), ascending -> values of the same shape.
        step_minutes: Minutes between steps.
        unit: Of the values.
        version: Registry version of the model.
        model_sha256: Hash of the model.
    """

    names: tuple[str, ...]
    ends: NDArray[np.datetime64]
    values: NDArray[np.float64]
    step_minutes: int
    unit: str
    version: int
    model_sha256: str
    quantiles: Mapping[float, NDArray[np.float64]] = field(default_factory=dict)

    def times(self) -> NDArray[np.datetime64]:
        """Return when each forecast value holds, shape (s, steps), local wall time, datetime64[us]."""
        ahead = np.arange(1, self.values.shape[1] + 1) * np.timedelta64(self.step_minutes, "m")
        times: NDArray[np.datetime64] = np.add(self.ends.astype("datetime64[us]")[:, None], ahead[None, :])
        return times


def forecast_path(folder: Path, scenario: str, run_id: str) -> Path:
    """Where the forecasts of a run lie below an agency's folder."""
    return folder / "forecasts" / scenario / run_id / "forecast.parquet"


def picture_path(folder: Path, scenario: str, run_id: str) -> Path:
    """Where the picture of a run's forecasts lies, beside the table."""
    return forecast_path(folder, scenario, run_id).with_suffix(".png")


def write_forecast(path: Path, forecast: Forecast) -> None:
    """Write one row a series and step, atomically, readable by the owner only; the same forecast, the same bytes.

    Columns: timestamp (of the target), series, horizon_step (from 1), forecast, then quantile_<level> of each level,
    unit, model_version, model_sha256.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    series, steps = forecast.values.shape
    rows = series * steps
    columns = {
        TIME: pa.array(forecast.times().ravel(), pa.timestamp("us")),
        "series": pa.array([name for name in forecast.names for _ in range(steps)], pa.string()),
        "horizon_step": pa.array(np.tile(np.arange(1, steps + 1, dtype=np.int32), series), pa.int32()),
        "forecast": pa.array(forecast.values.ravel(), pa.float64()),
        **{
            f"quantile_{level:g}": pa.array(values.ravel(), pa.float64())
            for level, values in forecast.quantiles.items()
        },
        "unit": pa.array([forecast.unit] * rows, pa.string()),
        "model_version": pa.array([forecast.version] * rows, pa.int32()),
        "model_sha256": pa.array([forecast.model_sha256] * rows, pa.string()),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)  # type: ignore[no-untyped-call]
    write_atomic(path, sink.getvalue().to_pybytes())


def draw_forecast(path: Path, grid: Series, forecast: Forecast) -> None:
    """Write a picture of the last time and the forecast of the first PICTURED series, as write_forecast writes.

    The last day is shown, or, where steps are a day or longer, as much as four forecasts. Quantiles are bands.

    Args:
        path: A .png file.
        grid: What the forecast started from, in the same unit.
        forecast: At least one series.
    """
    # The agg canvas alone: no window system is asked for, and no state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = min(PICTURED, len(forecast.names))
    columns = min(3, shown)
    lines = -(-shown // columns)
    figure = Figure(figsize=(4.2 * columns, 2.7 * lines), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    fonts = _fonts()
    times = forecast.times()
    step = np.timedelta64(forecast.step_minutes, "m")
    past = _DAY if step < _DAY else 4 * forecast.values.shape[1] * step
    for row in range(shown):
        axes = figure.add_subplot(lines, columns, row + 1)
        values = grid.values[:, grid.names.index(forecast.names[row])]
        end = forecast.ends[row]
        recent = grid.times > end - past
        axes.plot(grid.times[recent], values[recent], color="#0072b2", label="measured")
        start = values[grid.times == end]
        axes.plot(
            np.concatenate([[end], times[row]]),
            np.concatenate([start, forecast.values[row]]),
            color="#d55e00",
            linestyle="--",
            marker=".",
            label="forecast",
        )
        for low, high in _bands(forecast, row):
            axes.fill_between(times[row], low, high, color="#d55e00", alpha=0.15, linewidth=0)
        # A name is text, never mathematics; letters that no font has would be named in a warning.
        axes.set_title(_title(forecast.names[row], row, fonts), fontsize=10, fontfamily=fonts, parse_math=False)
        axes.set_ylabel(forecast.unit, fontsize=8)
        axes.tick_params(labelsize=8)
        locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.xaxis.get_offset_text().set_fontsize(8)
        axes.grid(color="#d8dee4", linewidth=0.6)
        if row == 0:
            axes.legend(fontsize=8)
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        canvas.print_png(target)  # type: ignore[no-untyped-call]
    write_atomic(path, target.getvalue())


def _bands(forecast: Forecast, row: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return low and high of each central interval of a series, the widest first."""
    levels = sorted(forecast.quantiles)
    pairs = zip(levels[: len(levels) // 2], reversed(levels), strict=False)
    return [(forecast.quantiles[low][row], forecast.quantiles[high][row]) for low, high in pairs]


def _fonts() -> list[str]:
    from matplotlib.font_manager import get_font_names  # noqa: PLC0415

    installed = set(get_font_names())
    return ["DejaVu Sans", *(font for font in _CHINESE_FONTS if font in installed)][:2]


def _title(name: str, row: int, fonts: list[str]) -> str:
    """Return a series' name, or its number where the letters would be boxes."""
    return name if name.isascii() or len(fonts) > 1 else f"series {row + 1}"
