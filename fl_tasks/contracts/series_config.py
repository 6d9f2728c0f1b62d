"""A scenario that forecasts series: sampling, what the model sees, horizons, the split by time, the limits."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fl_tasks.contracts.base import Contract

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Cycle = Literal["day", "week", "year"]


class SplitConfig(Contract):
    """Parts of an agency's own span of time, in this order."""

    train: Fraction
    validation: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _whole(self) -> SplitConfig:
        total = self.train + self.validation + self.test
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, got {total:.6f}")
        return self


class QualityConfig(Contract):
    """Limits of the data checks; an agency beyond one of them is left out of the run, where no warning is said."""

    min_nonzero: int = Field(
        default=0, ge=0, description="Values of the fit part other than zero that an agency must have."
    )
    min_completeness: Fraction = Field(description="Share of expected values that must be present.")
    min_series: int = Field(ge=1, description="Series (sensors) that an agency must have.")
    min_windows: int = Field(ge=1, description="Training windows that an agency must have.")
    max_quarantined: Fraction = Field(description="Share of raw rows that may be rejected.")
    max_psi: float = Field(
        default=0.25,
        gt=0.0,
        description="Population stability index against the last accepted month; above it is a warning.",
    )
    max_age_days: int = Field(
        default=7,
        ge=0,
        le=366,
        description="Days before the interval's end at which the newest row may lie. Older is a warning where a model "
        "is trained; where one is used, no forecast is made.",
    )


class SharedScale(Contract):
    """One scale of the model's values for all agencies, fixed before any data are seen: (value - mean) / std.

    Where all measure the same thing, a change of ten then is the same to the model at each of them.
    """

    unit: str = Field(description="Unit of mean and std; an agency's own unit converts within the dimension.")
    mean: float
    std: float = Field(gt=0.0)


class RateConfig(Contract):
    """What the model sees of a count: a function of its rate by inhabitants, the same at every agency.

    A region of ten million and one of a hundred thousand so look alike, and a wave's peak does not drown its start.
    Each agency's source says how many inhabitants its counts are of.
    """

    function: Literal["log1p", "sqrt"] = Field(description="log(1 + rate), or the rate's square root.")
    unit: str = Field(description="Unit of the rate's count, like cases/day; an agency's own unit converts.")
    inhabitants: int = Field(default=100_000, ge=1, description="The rate is of so many.")


class SeriesConfig(Contract):
    """A time-series scenario's data: sampling, window, horizons, split. Units and ranges are each agency's."""

    kind: Literal["series"] = "series"
    step_minutes: int = Field(ge=1, le=10_080, description="Sampling step of the model, minutes; a week at most.")
    min_coverage: Fraction = Field(
        default=1.0, description="Share of a step's readings that must be there, where data come more often."
    )
    input_steps: int = Field(ge=1, le=1000, description="Steps that the model sees.")
    calendar: tuple[Cycle, ...] = Field(
        default=("day",), description="Cycles that the model sees, each as sine and cosine of the step's time."
    )
    scale: SharedScale | None = Field(
        default=None, description="Without it, each agency's values are scaled by its own mean and standard deviation."
    )
    series_levels: bool = Field(
        default=False, description="Whether the model sees each series' own mean and standard deviation, scaled."
    )
    rate: RateConfig | None = Field(default=None, description="Instead of `scale`: the values are counts of people.")
    season_steps: int | None = Field(
        default=None, ge=1, le=1000, description="Steps after which the seasonal-naive forecast repeats; a day without."
    )
    quantiles: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field(
        default=(),
        description="Levels that the model forecasts, ascending, in pairs around 0.5; none: one value, the mean.",
    )
    horizons: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(
        min_length=1, description="Name of each horizon and its length in steps."
    )
    split: SplitConfig
    quality: QualityConfig

    @field_validator("quantiles")
    @classmethod
    def _paired(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        pairs = zip(levels, reversed(levels), strict=True)
        rising = all(low < high for low, high in itertools.pairwise(levels))
        if levels and (len(levels) < 3 or not rising or any(abs(one + other - 1.0) > 1e-9 for one, other in pairs)):
            raise ValueError("quantiles must ascend and pair up around 0.5, like [0.1, 0.5, 0.9]")
        if levels and len(levels) % 2 == 0:
            raise ValueError("quantiles must hold the median, 0.5")
        return levels

    @model_validator(mode="after")
    def _one_scale(self) -> SeriesConfig:
        if self.rate is not None and (self.scale is not None or self.series_levels):
            raise ValueError("rate is one scale for all agencies already: leave out scale and series_levels")
        return self

    @property
    def target_steps(self) -> int:
        """Steps that the model predicts: the longest horizon."""
        return max(self.horizons.values())

    @property
    def features(self) -> int:
        """Features of one step: the scaled value, sine and cosine of each cycle, the series' two levels."""
        return 1 + 2 * len(self.calendar) + 2 * self.series_levels
