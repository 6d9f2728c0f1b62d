"""Cutting a grid of series into examples: windows that never cross a gap, split by time, in a fixed order.

::

    grid        0 ............... v ............... b ............... T
    train       [inputs|targets] wholly before v
    validation            [inputs may reach back|targets all in v..b]
    test                                    [inputs may reach back|targets all after b]

A window whose targets lie on both sides of a boundary belongs to neither part. Where the rounds may stop early the
validation part is held back and the fit part is train alone; else the fit part is everything wholly before b.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import DataRejected
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.data.series import Series
from fl_tasks.data.value_scale import Scale

Part = Literal["fit", "validation", "test"]

_DAY = np.timedelta64(1, "D")
_WEEK = np.timedelta64(7, "D")
_YEAR = np.timedelta64(8766, "h")  # 365.25 days
_A_MONDAY = np.datetime64("1970-01-05T00:00", "us")


class Windows:
    """The examples of one agency, cut lazily from its grid.

    Attributes:
        parts: Those that the run uses, in order of time.
        fit_end: First step after the fit part.
        boundary: First step of the test part: the train + validation share of the grid's T steps lies before it,
            rounded down.
    """

    def __init__(self, grid: Series, config: SeriesConfig, *, hold_validation: bool) -> None:
        """Find the windows that are there; no example is made yet.

        Args:
            grid: One row a step, without a hole; a gap is a row of NaN.
            config: Window, horizons and split.
            hold_validation: Whether the validation part is kept out of the fit part, because early stop looks at it.
        """
        self._grid = grid
        self._config = config
        self.parts: tuple[Part, ...] = ("fit", "validation", "test") if hold_validation else ("fit", "test")
        split, steps = config.split, len(grid.times)
        # 0.7 + 0.1 is a little less than 0.8 in binary: without rounding, a whole step would be lost.
        self.boundary = math.floor(round(steps * (split.train + split.validation), 6))
        self.fit_end = math.floor(round(steps * split.train, 6)) if hold_validation else self.boundary
        inputs, targets = config.input_steps, config.target_steps
        whole = _whole(grid, inputs + targets)
        first = np.arange(len(whole)) + inputs  # step of a window's first target
        after = first + targets
        self._starts: dict[Part, NDArray[np.bool_]] = {
            "fit": whole & (after <= self.fit_end)[:, None],
            "validation": whole & ((first >= self.fit_end) & (after <= self.boundary))[:, None],
            "test": whole & (first >= self.boundary)[:, None],
        }

    def count(self, part: Part) -> int:
        """Windows of a part, over all series; validation has none where it is not held back."""
        return int(self._starts[part].sum())

    def nonzero(self) -> int:
        """Values of the fit part that are neither missing nor zero, over all series."""
        values = self._grid.values[: self.fit_end]
        return int((np.isfinite(values) & (values != 0.0)).sum())

    def own_scale(self) -> Scale:
        """Return mean and standard deviation of the values present in the fit part, all series together.

        Raises:
            DataRejected: If fewer than two different values are there.
        """
        values = self._grid.values[: self.fit_end]
        values = values[np.isfinite(values)]
        std = float(values.std()) if values.size else 0.0
        if not std > 0.0:
            raise DataRejected(
                "the values of the fit part are all missing or all the same, so that they cannot be scaled; "
                "check the sensors and the source's range"
            )
        return Scale(float(values.mean()), std)

    def fill(self, part: Part, x: NDArray[np.float32], y: NDArray[np.float32], scale: Scale) -> None:
        """Write a part's examples: x of shape (n, input_steps, features), y of (n, target_steps), scaled.

        The order is: series by series as in the file, each by time.
        """
        inputs, targets = self._config.input_steps, self._config.target_steps
        starts = self._starts[part]
        if not starts.any():  # the grid may be shorter than a window
            return
        clock = np.lib.stride_tricks.sliding_window_view(calendar(self._grid.times, self._config), inputs, axis=0)
        clock = clock.swapaxes(1, 2)
        until_levels = 1 + 2 * len(self._config.calendar)
        levels = _levels(self._grid.values[: self.fit_end], scale)
        done = 0
        for index in range(len(self._grid.names)):
            chosen = np.flatnonzero(starts[:, index])
            series = _scaled(self._grid.values[:, index], scale)
            windows = np.lib.stride_tricks.sliding_window_view(series, inputs + targets)
            until = done + len(chosen)
            x[done:until, :, 0] = windows[chosen, :inputs]
            x[done:until, :, 1:until_levels] = clock[chosen]
            if self._config.series_levels:
                x[done:until, :, until_levels:] = levels[index]
            y[done:until] = windows[chosen, inputs:]
            done = until

    def fill_season(self, part: Part, season: NDArray[np.float32], scale: Scale) -> None:
        """Write a part's seasonal-naive forecast, in fill's order.

        Args:
            part: Which one.
            season: Shape (n, target_steps): the scaled value of the target's time one season before, read from the
                grid. A target more than a season ahead takes the newest one before its forecast was made. Where that
                value is missing, the window's last value stands (persistence). Without season_steps a season is a day.
            scale: As for fill.
        """
        inputs, targets = self._config.input_steps, self._config.target_steps
        day, rest = divmod(24 * 60, self._config.step_minutes)
        length, rest = (day, rest) if self._config.season_steps is None else (self._config.season_steps, 0)
        length = max(1, length)
        ahead = np.arange(1, targets + 1)
        back = length * -(-ahead // length)  # whole seasons, at least as long as the target lies ahead
        done = 0
        for index in range(len(self._grid.names)):
            chosen = np.flatnonzero(self._starts[part][:, index])
            series = _scaled(self._grid.values[:, index], scale)
            before = chosen[:, None] + (inputs - 1 + ahead - back)
            # A step that does not divide a day has no reading at the same time of another day.
            known = (before >= 0) & (rest == 0)
            found = np.where(known, series[np.where(known, before, 0)], np.nan)
            until = done + len(chosen)
            last = series[chosen + inputs - 1]
            season[done:until] = np.where(np.isnan(found), last[:, None], found)
            done = until

    def fill_hour(self, hour: NDArray[np.int8]) -> None:
        """Write the hour of the day, 0..23, in which the last target of each test window begins, shape (n,)."""
        targets_end = self._config.input_steps + self._config.target_steps
        hours = _hours(self._grid.times)
        starts = [np.flatnonzero(column) for column in self._starts["test"].T]
        hour[:] = np.concatenate([hours[chosen + targets_end - 1] for chosen in starts])


class Latest(NamedTuple):
    """The newest window of each series that has one: what a forecast starts from.

    Attributes:
        x: Shape (s, input_steps, features), float32, scaled.
        names: s names of series, in the file's order.
        ends: Shape (s,), the time of each window's last step.
    """

    x: NDArray[np.float32]
    names: tuple[str, ...]
    ends: NDArray[np.datetime64]


def latest_windows(grid: Series, config: SeriesConfig, scale: Scale) -> Latest:
    """Return, for each series, its newest whole window that ends at most a day, or a longer step, before the grid.

    A series without such a window is left out: a forecast from older values would be none.

    Args:
        grid: One row a step, without a hole; a gap is a row of NaN.
        config: Window, calendar and levels; a series' levels are those of all its values in the grid.
        scale: Of the model's values at this agency.
    """
    inputs = config.input_steps
    whole = _whole(grid, inputs)
    ends = grid.times[inputs - 1 :]
    longest = max(_DAY, np.timedelta64(config.step_minutes, "m"))
    whole &= (ends >= grid.times[-1] - longest)[:, None]
    chosen = np.flatnonzero(whole.any(axis=0))
    starts = np.array([np.flatnonzero(whole[:, index])[-1] for index in chosen], dtype=np.int64)
    x = np.empty((len(chosen), inputs, config.features), dtype=np.float32)
    clock = calendar(grid.times, config)
    until_levels = 1 + clock.shape[1]
    levels = _levels(grid.values, scale)
    for row, (index, start) in enumerate(zip(chosen, starts, strict=True)):
        x[row, :, 0] = _scaled(grid.values[start : start + inputs, index], scale)
        x[row, :, 1:until_levels] = clock[start : start + inputs]
        if config.series_levels:
            x[row, :, until_levels:] = levels[index]
    return Latest(x, tuple(grid.names[index] for index in chosen), ends[starts])


def calendar(times: NDArray[np.datetime64], config: SeriesConfig) -> NDArray[np.float32]:
    """Return sine and cosine of each cycle of config.calendar, in its order, shape (T, 2 * cycles).

    A day begins at midnight, a week on Monday, a year on 1 January.
    """
    times = times.astype("datetime64[us]")
    shares = {
        "day": (times - times.astype("datetime64[D]")) / _DAY,
        "week": (times - _A_MONDAY) / _WEEK % 1.0,
        "year": (times - times.astype("datetime64[Y]")) / _YEAR,
    }
    angles = [2.0 * np.pi * shares[cycle] for cycle in config.calendar]
    columns = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.empty((len(times), 0), dtype=np.float32)


def _whole(grid: Series, length: int) -> NDArray[np.bool_]:
    """Return which (start, series) begin `length` steps without a missing value, shape (T - length + 1 or 0, S)."""
    missing = np.zeros((len(grid.times) + 1, len(grid.names)), dtype=np.int64)
    np.cumsum(np.isnan(grid.values), axis=0, out=missing[1:])
    return np.asarray(missing[length:] == missing[:-length], dtype=np.bool_)


def _levels(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float32]:
    """Return scaled mean and standard deviation of each column, shape (S, 2); those of all for one without values."""
    present = values[np.isfinite(values)]
    levels = np.tile((present.mean(), present.std()) if present.size else (scale.mean, 0.0), (values.shape[1], 1))
    for index, column in enumerate(values.T):
        own = column[np.isfinite(column)]
        if own.size:
            levels[index] = own.mean(), own.std()
    return np.asarray((levels - (scale.mean, 0.0)) / scale.std, dtype=np.float32)


def _scaled(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float32]:
    return scale.forward(values).astype(np.float32)


def _hours(times: NDArray[np.datetime64]) -> NDArray[np.int8]:
    return np.asarray((times - times.astype("datetime64[D]")) // np.timedelta64(1, "h"), dtype=np.int8)
