"""What a scenario of series may say of quantiles and scales."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fl_tasks.contracts.series_config import RateConfig, SharedScale
from tests.data.examples import config

RATE = RateConfig(function="sqrt", unit="cases/day")


@pytest.mark.parametrize("levels", [(), (0.1, 0.5, 0.9), (0.025, 0.25, 0.5, 0.75, 0.975)])
def test_quantiles_in_pairs_around_the_median_are_accepted(levels):
    assert config(quantiles=levels).quantiles == levels


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((0.5,), "pair up"),
        ((0.1, 0.5, 0.8), "pair up"),
        ((0.9, 0.5, 0.1), "must ascend"),
        ((0.1, 0.1, 0.5, 0.9, 0.9), "must ascend"),
        ((0.1, 0.4, 0.6, 0.9), "the median"),
        ((0.0, 0.5, 1.0), "greater than 0"),
    ],
)
def test_other_quantiles_are_refused(levels, said):
    with pytest.raises(ValidationError, match=said):
        config(quantiles=levels)


@pytest.mark.parametrize(
    "other", [{"scale": SharedScale(unit="cases/day", mean=1.0, std=2.0)}, {"series_levels": True}]
)
def test_a_rate_is_the_only_scale(other):
    assert config(rate=RATE).rate == RATE
    with pytest.raises(ValidationError, match="leave out scale and series_levels"):
        config(rate=RATE, **other)
