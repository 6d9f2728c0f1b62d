"""epidemic: regions of Italy forecast their new cases of the next 7 and 14 days, with quantiles.

Examples: the last days, each as a function of the cases by 100,000 inhabitants, and sine and cosine of the weekday;
14 days ahead. A region has one series. What is learned together is how a wave grows, bends and fades, and how Sundays
look; errors are given in cases of each region.
Data: the Civil Protection's daily file dealt out by region (split_real), or made-up regions with the same columns and
flaws (generate).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fl_tasks.contracts.config import LearningConfig
from fl_tasks.scenarios import quantile_forecaster
from fl_tasks.scenarios.epidemic_files import Region, deal_out
from fl_tasks.scenarios.epidemic_generator import italian_regions
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

DEMO_INTERVAL_END = "2023-01-01"
"""End of the last month that the real file holds; the generated data lie in the same years."""

DEMO_ROUNDS = 10

_WEEK = 7
_FILE = "covid19_italy_regions_daily.csv.gz"

REGIONS = {
    "abruzzo": Region("Abruzzo", 1_293_941),
    "basilicata": Region("Basilicata", 553_254),
    "bolzano": Region("P.A. Bolzano", 532_644),
    "calabria": Region("Calabria", 1_894_110),
    "campania": Region("Campania", 5_712_143),
    "emilia_romagna": Region("Emilia-Romagna", 4_464_119),
    "friuli_venezia_giulia": Region("Friuli Venezia Giulia", 1_206_216),
    "lazio": Region("Lazio", 5_755_700),
    "liguria": Region("Liguria", 1_524_826),
    "marche": Region("Marche", 1_512_672),
    "molise": Region("Molise", 300_516),
    "piemonte": Region("Piemonte", 4_311_217),
    "puglia": Region("Puglia", 3_953_305),
    "toscana": Region("Toscana", 3_692_555),
    "trento": Region("P.A. Trento", 545_425),
    "valle_d_aosta": Region("Valle d'Aosta", 125_034),
}
"""Every region that the real file holds; Trento and Bolzano, which form one by law, report as two."""


def build_model(
    learning: LearningConfig,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    *,
    quantiles: tuple[float, ...] = (),
) -> Any:  # noqa: ANN401 - a Keras model, see quantile_forecaster.KerasModel
    """Return the quantile forecaster whose median repeats the last week, corrected."""
    return quantile_forecaster.build_model(learning, input_shape, output_shape, quantiles=quantiles, season=_WEEK)


def generate(seed: int) -> Files:
    """Return made-up counts of every region; the same seed gives the same bytes."""
    return italian_regions(seed, REGIONS)


def split_real(data: Path) -> Files:
    """Return each region's own rows of the daily file, as they are.

    Args:
        data: A folder with `epidemic/`, or with its files themselves.

    Raises:
        InputError: If the folder, the file or a region's rows are missing.
    """
    return deal_out(epidemic_folder(data) / _FILE, "denominazione_regione", REGIONS)
