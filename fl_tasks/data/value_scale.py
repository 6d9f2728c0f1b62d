"""How the model sees an agency's values: in standard deviations, or as a function of a rate by inhabitants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.units import conversion

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """A count as a function of its rate.

    Attributes:
        function: log(1 + rate), or the rate's square root.
        factor: What one of the agency's unit is of the rate's, over 0.
    """

    function: Literal["log1p", "sqrt"]
    factor: float


@dataclass(frozen=True)
class Scale:
    """What the model sees as 0 and how much is 1, in the agency's unit: (value - mean) / std, of a rate its function.

    With a rate, mean is 0 and std 1: the rate is scale enough, the same at every agency.
    """

    mean: float
    std: float
    rate: Rate | None = None

    def forward(self, values: Floats) -> Floats:
        """Return values of the agency's unit as the model sees them; NaN stays NaN, a rate's value is 0 or more."""
        if self.rate is None:
            return (values - self.mean) / self.std
        rates = values * self.rate.factor
        return np.log1p(rates) if self.rate.function == "log1p" else np.sqrt(rates)

    def inverse(self, seen: NDArray[np.generic]) -> Floats:
        """Return what the model sees or forecasts in the agency's unit; below a rate of zero there is none."""
        values = np.asarray(seen, dtype=np.float64)
        if self.rate is None:
            return values * self.std + self.mean
        positive = np.maximum(values, 0.0)
        rates = np.expm1(positive) if self.rate.function == "log1p" else np.square(positive)
        return np.asarray(rates / self.rate.factor, dtype=np.float64)


def model_scale(config: SeriesConfig, unit: str, own: Scale, population: int | None = None) -> Scale:
    """Return the scale of the model's values at an agency: the rate's or the shared one in its unit, else its own.

    Args:
        config: Of the scenario.
        unit: Of the agency's values.
        own: Of the agency's own values.
        population: Inhabitants that the agency's counts are of.

    Raises:
        ConfigError: If the shared scale or the rate is of another dimension than the agency's unit, or a rate is asked
            for and the population is not known.
    """
    if config.rate is not None:
        if population is None:
            raise ConfigError(
                f"field population: the scenario learns rates by {config.rate.inhabitants} inhabitants; "
                "say in the agency's YAML how many inhabitants its counts are of"
            )
        factor = conversion(unit, config.rate.unit) * config.rate.inhabitants / population
        return Scale(0.0, 1.0, Rate(config.rate.function, factor))
    if config.scale is None:
        return own
    factor = conversion(config.scale.unit, unit)
    return Scale(config.scale.mean * factor, config.scale.std * factor)
