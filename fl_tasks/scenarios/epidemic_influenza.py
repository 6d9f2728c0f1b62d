"""epidemic_influenza: American states forecast admissions with influenza, 1 to 4 weeks ahead, with quantiles.

Examples: the last weeks, each as a function of the admissions by 100,000 inhabitants, and sine and cosine of the time
of year; 4 weeks ahead, which is what FluSight asks for. A state has one series; the country's total is no agency.
Data: FluSight's target file dealt out by state (split_real), or made-up states with the same columns and flaws
(generate).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fl_tasks.contracts.config import LearningConfig
from fl_tasks.scenarios import quantile_forecaster
from fl_tasks.scenarios.epidemic_files import Region, deal_out
from fl_tasks.scenarios.epidemic_generator import american_states
from fl_tasks.scenarios.forecast_metrics import metrics, persistence, pool, pool_scaled, profile
from fl_tasks.scenarios.forecaster import shapes
from fl_tasks.scenarios.hand_out import Files
from fl_tasks.scenarios.quantile_forecaster import loss
from fl_tasks.scenarios.quantile_metrics import quantile_metrics, with_quantiles
from fl_tasks.scenarios.real_data import epidemic_folder

__all__ = [
    "DEMO_INTERVAL_END",
    "DEMO_ROUNDS",
    "REGIONS",
    "build_model",
    "generate",
    "loss",
    "metrics",
    "persistence",
    "pool",
    "pool_scaled",
    "profile",
    "quantile_metrics",
    "shapes",
    "split_real",
    "with_quantiles",
]

DEMO_INTERVAL_END = "2026-07-01"
"""End of the last month that the real file holds; the generated data lie in the same years."""

DEMO_ROUNDS = 5

_FILE = "influenza_hosp_us_states_weekly.csv.gz"

REGIONS = {
    "health_alaska": Region("Alaska", 740_133),
    "health_arizona": Region("Arizona", 7_582_384),
    "health_california": Region("California", 39_431_263),
    "health_colorado": Region("Colorado", 5_957_493),
    "health_delaware": Region("Delaware", 1_051_917),
    "health_district_of_columbia": Region("District of Columbia", 702_250),
    "health_georgia": Region("Georgia", 11_180_878),
    "health_hawaii": Region("Hawaii", 1_446_146),
    "health_illinois": Region("Illinois", 12_710_158),
    "health_indiana": Region("Indiana", 6_924_275),
    "health_kansas": Region("Kansas", 2_970_606),
    "health_kentucky": Region("Kentucky", 4_588_372),
    "health_maine": Region("Maine", 1_405_012),
    "health_maryland": Region("Maryland", 6_263_220),
    "health_michigan": Region("Michigan", 10_140_459),
    "health_minnesota": Region("Minnesota", 5_793_151),
    "health_missouri": Region("Missouri", 6_245_466),
    "health_montana": Region("Montana", 1_137_233),
    "health_nevada": Region("Nevada", 3_267_467),
    "health_new_hampshire": Region("New Hampshire", 1_409_032),
    "health_new_mexico": Region("New Mexico", 2_130_256),
    "health_new_york": Region("New York", 19_867_248),
    "health_north_dakota": Region("North Dakota", 796_568),
    "health_ohio": Region("Ohio", 11_883_304),
    "health_oregon": Region("Oregon", 4_272_371),
    "health_pennsylvania": Region("Pennsylvania", 13_078_751),
    "health_south_carolina": Region("South Carolina", 5_478_831),
    "health_south_dakota": Region("South Dakota", 924_669),
    "health_texas": Region("Texas", 31_290_831),
    "health_utah": Region("Utah", 3_503_613),
    "health_virginia": Region("Virginia", 8_811_195),
    "health_washington": Region("Washington", 7_958_180),
    "health_wisconsin": Region("Wisconsin", 5_960_975),
    "health_wyoming": Region("Wyoming", 587_618),
}
"""Every state that the real file holds, with the inhabitants that it says."""


def build_model(
    learning: LearningConfig,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    *,
    quantiles: tuple[float, ...] = (),
) -> Any:  # noqa: ANN401 - a Keras model, see quantile_forecaster.KerasModel
    """Return the quantile forecaster whose median is the last week's value, corrected."""
    return quantile_forecaster.build_model(learning, input_shape, output_shape, quantiles=quantiles, season=1)


def generate(seed: int) -> Files:
    """Return made-up admissions of every state; the same seed gives the same bytes."""
    return american_states(seed, REGIONS)


def split_real(data: Path) -> Files:
    """Return each state's own rows of the file, as they are; arguments and errors as in `epidemic`."""
    return deal_out(epidemic_folder(data) / _FILE, "location_name", REGIONS)
