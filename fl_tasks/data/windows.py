"""Cutting a grid of series into examples: windows that never cross a gap, split by time, in a fixed order.

::

    grid     0 ................................ boundary ................ T
    fit      [inputs|targets] wholly before the boundary
    test                          [inputs may reach back|targets all after it]

A window that has targets on both sides belongs to neither part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.config import SeriesConfig
from fl_tasks.contracts.errors import DataRejected
from fl_tasks.data.series import Series

FEATURES = 3
"""Of one step: the z-scored value, sine and cosine of the time of day."""

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the values of the fit part, all series of the agency together."""

    mean: float
    std: float


class Windows:
    """The examples of one agency, cut lazily from its grid.

    Attributes:
        boundary: First step of the test part: the first train + validation share of the grid's T steps lies
            before it, rounded down.
    """

    def __init__(self, grid: Series, config: SeriesConfig) -> None:
        """Find the windows that are there; no example is made yet.

        Args:
            grid: One row a step, without a hole; a gap is a row of NaN.
            config: Window, horizons and split.
        """
        self._grid = grid
        self._inputs = config.input_steps
        self._targets = config.target_steps
        share = config.split.train + config.split.validation
        # 0.7 + 0.1 is a little less than 0.8 in binary: without rounding, a whole step would be lost.
        self.boundary = math.floor(round(len(grid.times) * share, 6))
        self._fit = self._starts(lambda start: start + self._inputs + self._targets <= self.boundary)
        self._test = self._starts(lambda start: start + self._inputs >= self.boundary)

    @property
    def fit_count(self) -> int:
        """Windows that lie wholly in the fit part, over all series."""
        return int(self._fit.sum())

    @property
    def test_count(self) -> int:
        """Windows whose targets all lie in the test part, over all series."""
        return int(self._test.sum())

    def scale(self) -> Scale:
        """Return mean and standard deviation of the values present in the fit part.

        Raises:
            DataRejected: If fewer than two different values are there.
        """
        values = self._grid.values[: self.boundary]
        values = values[np.isfinite(values)]
        std = float(values.std()) if values.size else 0.0
        if not std > 0.0:
            raise DataRejected(
                "the values of the fit part are all missing or all the same, so that they cannot be scaled; "
                "check the sensors and the scenario's range"
            )
        return Scale(float(values.mean()), std)

    def fill_fit(self, x: NDArray[np.float32], y: NDArray[np.float32], scale: Scale) -> None:
        """Write the fit examples: x of shape (fit_count, input_steps, FEATURES), y of (fit_count, target_steps).

        The order is: series by series as in the file, each by time.
        """
        self._fill(self._fit, x, y, scale)

    def fill_test(self, x: NDArray[np.float32], y: NDArray[np.float32], scale: Scale) -> None:
        """Write the test examples, as fill_fit does."""
        self._fill(self._test, x, y, scale)

    def _starts(self, inside: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return which (start, series) give a window without a missing value, among the starts inside a part."""
        length = self._inputs + self._targets
        missing = np.zeros((len(self._grid.times) + 1, len(self._grid.names)), dtype=np.int64)
        np.cumsum(np.isnan(self._grid.values), axis=0, out=missing[1:])
        whole: NDArray[np.bool_] = missing[length:] == missing[:-length]
        return whole & inside(np.arange(len(whole)))[:, None]

    def _fill(self, starts: NDArray[np.bool_], x: NDArray[np.float32], y: NDArray[np.float32], scale: Scale) -> None:
        if not starts.any():  # the grid may be shorter than a window
            return
        angle = 2.0 * np.pi * ((self._grid.times - self._grid.times.astype("datetime64[D]")) / _DAY)
        clock = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
        clock_windows = np.lib.stride_tricks.sliding_window_view(clock, self._inputs, axis=0).swapaxes(1, 2)
        done = 0
        for index in range(len(self._grid.names)):
            chosen = np.flatnonzero(starts[:, index])
            series = ((self._grid.values[:, index] - scale.mean) / scale.std).astype(np.float32)
            windows = np.lib.stride_tricks.sliding_window_view(series, self._inputs + self._targets)
            until = done + len(chosen)
            x[done:until, :, 0] = windows[chosen, : self._inputs]
            x[done:until, :, 1:] = clock_windows[chosen]
            y[done:until] = windows[chosen, self._inputs :]
            done = until
