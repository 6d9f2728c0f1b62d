"""epidemic_china: provinces of China forecast their new cases of the next 7 and 14 days, with quantiles.

As `epidemic`; the counts come as running totals, nearly half of the days add none, and a few places have had nearly all
cases. Its YAMLs lie in docs/examples/epidemic_china. Data: the JHU CSSE's file dealt out by province without the row
Unknown (split_real), or made-up provinces with the same columns and flaws (generate).
"""

from __future__ import annotations

from pathlib import Path

from fl_tasks.scenarios.epidemic import build_model
from fl_tasks.scenarios.epidemic_files import Region, deal_out
from fl_tasks.scenarios.epidemic_generator import chinese_provinces
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

DEMO_INTERVAL_END = "2022-10-01"
"""End of the last month that the real file holds; the generated data lie in the same years."""

DEMO_ROUNDS = 10

_FILE = "covid19_jhu_china_provinces_daily.csv.gz"

REGIONS = {
    "hubei": Region("Hubei", 57_752_557),
    "anhui": Region("Anhui", 61_027_171),
    "beijing": Region("Beijing", 21_893_095),
    "chongqing": Region("Chongqing", 32_054_159),
    "fujian": Region("Fujian", 41_540_086),
    "gansu": Region("Gansu", 25_019_831),
    "guangdong": Region("Guangdong", 126_012_510),
    "guangxi": Region("Guangxi", 50_126_804),
    "guizhou": Region("Guizhou", 38_562_148),
    "hainan": Region("Hainan", 10_081_232),
    "hebei": Region("Hebei", 74_610_235),
    "heilongjiang": Region("Heilongjiang", 31_850_088),
    "henan": Region("Henan", 99_365_519),
    "hong_kong": Region("Hong Kong", 7_474_200),
    "hunan": Region("Hunan", 66_444_864),
    "inner_mongolia": Region("Inner Mongolia", 24_049_155),
    "jiangsu": Region("Jiangsu", 84_748_016),
    "jiangxi": Region("Jiangxi", 45_188_635),
    "jilin": Region("Jilin", 24_073_453),
    "liaoning": Region("Liaoning", 42_591_407),
    "macau": Region("Macau", 683_218),
    "ningxia": Region("Ningxia", 7_202_654),
    "qinghai": Region("Qinghai", 5_923_957),
    "shaanxi": Region("Shaanxi", 39_528_999),
    "shandong": Region("Shandong", 101_527_453),
    "shanghai": Region("Shanghai", 24_870_895),
    "shanxi": Region("Shanxi", 34_915_616),
    "sichuan": Region("Sichuan", 83_674_866),
    "tianjin": Region("Tianjin", 13_866_009),
    "tibet": Region("Tibet", 3_648_100),
    "xinjiang": Region("Xinjiang", 25_852_345),
    "yunnan": Region("Yunnan", 47_209_277),
    "zhejiang": Region("Zhejiang", 64_567_588),
}
"""Inhabitants by the censuses of 2020 and 2021. The file's Unknown is no province."""


def generate(seed: int) -> Files:
    """Return made-up running totals of every province; the same seed gives the same bytes."""
    return chinese_provinces(seed, REGIONS)


def split_real(data: Path) -> Files:
    """Return each province's own rows of the file, as they are; arguments and errors as in `epidemic`."""
    return deal_out(epidemic_folder(data) / _FILE, "province", REGIONS)
