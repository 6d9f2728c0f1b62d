"""traffic_districts: four districts of one city forecast the next 15 minutes of speed at every sensor.

Examples: 12 steps of 5 minutes, each the z-scored speed and sine and cosine of the time of day; 3 steps ahead.
Data: the Los Angeles loop detectors (split_real), or a generator of the same shape and flaws (generate).
"""

from __future__ import annotations

import gzip
from pathlib import Path

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import SeriesConfig, load_agency
from fl_tasks.contracts.errors import ConfigError, InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.data.windows import FEATURES
from fl_tasks.scenarios.forecast_metrics import metrics, persistence, pool
from fl_tasks.scenarios.forecaster import build_model, loss
from fl_tasks.scenarios.los_angeles import DISTRICTS, split_real
from fl_tasks.scenarios.traffic_generator import generate

__all__ = [
    "DISTRICTS",
    "SCENARIO",
    "build_model",
    "generate",
    "hand_out",
    "loss",
    "metrics",
    "persistence",
    "pool",
    "shapes",
    "split_real",
]

SCENARIO = "traffic_districts"


def shapes(config: SeriesConfig) -> tuple[tuple[int, int], tuple[int]]:
    """Return the shapes of one example's x and y: (input steps, features) and (target steps,)."""
    return (config.input_steps, FEATURES), (config.target_steps,)


def hand_out(files: dict[str, bytes], home: Home, federation: Path) -> None:
    """Give every agency its file, at the path that its YAML names; all are checked before one is written.

    Args:
        files: Agency -> gzip CSV, as `generate` and `split_real` return it.
        home: The installation.
        federation: The folder with agencies/.

    Raises:
        ConfigError: If an agency's YAML is wrong, or the agency has not joined this scenario, or its path does not
            end in .csv.gz.
        InputError: If a file is empty or no gzip.
    """
    targets: dict[str, Path] = {}
    for agency, content in files.items():
        source = load_agency(federation, agency).scenarios.get(SCENARIO)
        where = federation / "agencies" / f"{agency}.yaml"
        if source is None:
            raise ConfigError(f"{where}: field scenarios: {SCENARIO!r} is not there; add it with a path")
        if not source.path.endswith(".csv.gz"):
            raise ConfigError(f"{where}: field scenarios.{SCENARIO}.path: must end in .csv.gz to receive this data")
        _check_gzip(agency, content)
        targets[agency] = home.agency(agency) / source.path
    for agency, target in targets.items():
        home.agency(agency).mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(target, files[agency])


def _check_gzip(agency: str, content: bytes) -> None:
    try:
        empty = not gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise InputError(f"the file for {agency} is not a whole gzip file ({type(error).__name__})") from error
    if empty:
        raise InputError(f"the file for {agency} is empty; a header row and at least one row are needed")
