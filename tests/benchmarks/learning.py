"""What is learned together beside what each agency learns alone, what one would learn from all data, and the baselines.

One row a scenario, horizon and figure: the mean over the agencies of their scaled errors on held-back data, of the
federated model (ours) and of the others (peer). `ratio` is peer / ours; `gain_of_pooled` under ours is the share of the
pooled model's gain over the better baseline that the federated one reaches, null where pooled has none. The agencies'
data stages and the scenario's own examples, splits and metrics are used; there is no Airflow and no masking.
Real data where they lie beside the repository, else generated.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from fl_tasks import scenarios
from fl_tasks.contracts.config import ScenarioConfig, load_federation
from fl_tasks.contracts.data import Prepared, fit_examples, held_back_examples, prepared_path
from fl_tasks.contracts.errors import FLError
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.report import Horizons
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.tensors import load_tensors
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.stages.model_state import model_spec
from fl_tasks.stages.series import anonymize, ingest, standardize, validate
from fl_tasks.stages.series.judge import errors

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data"
FEDERATIONS = (REPOSITORY / "dags" / "federation", REPOSITORY / "docs" / "examples" / "epidemic_china")
_STAGES = {"ingest": ingest, "anonymize": anonymize, "standardize": standardize, "validate": validate}
_BASELINES = ("persistence", "seasonal_naive")
_FIGURES = ("scaled_mae", "scaled_rmse", "scaled_wis")


def rows(say: Callable[[str], None], only: tuple[str, ...] = (), data: Path | None = None) -> Iterator[dict]:
    """Measure every scenario that forecasts series, or only some of them.

    Args:
        say: Gets what happens.
        only: Names of scenarios.
        data: Folder of the real data; by default where it lies beside the repository, if it does.
    """
    data = data or (REAL if REAL.is_dir() else None)
    for federation in FEDERATIONS:
        for name, config in load_federation(federation).scenarios.items():
            if isinstance(config.data, SeriesConfig) and (not only or name in only):
                with tempfile.TemporaryDirectory(prefix="bench-learning-") as folder:
                    yield from _scenario(config, federation, Path(folder), data, say)


def _scenario(
    config: ScenarioConfig, federation: Path, home: Path, data: Path | None, say: Callable[[str], None]
) -> Iterator[dict]:
    module = scenarios.load(config.scenario)
    hand_out(config.scenario, module.generate(7) if data is None else module.split_real(data), Home(home), federation)
    runs: dict[str, Path] = {}
    for agency in load_federation(federation).members(config.scenario):
        try:
            runs[agency.agency] = _prepare(config, federation, home, agency.agency)
        except FLError as error:
            say(f"{config.scenario}: {agency.agency} is left out: {error}")
    spec = {
        "model": model_spec(config).model_dump(mode="json"),
        "rounds": module.DEMO_ROUNDS,
        "weight_cap": config.learning.weight_cap,
        "agencies": {agency: str(folder) for agency, folder in runs.items()},
    }
    (home / "spec.json").write_text(json.dumps(spec))
    argv = [REPOSITORY / ".venv-fl" / "bin" / "python", "-m", "tests.benchmarks.learning_run", home / "spec.json"]
    subprocess.run(argv, cwd=REPOSITORY, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = {
        agency: _errors(config.series, module, folder, home / "predictions" / f"{agency}.npz")
        for agency, folder in runs.items()
    }
    work = {"scenario": config.scenario, "data": "generated" if data is None else "real", "agencies": len(found)}
    yield from compare(work, found)


def _prepare(config: ScenarioConfig, federation: Path, home: Path, agency: str) -> Path:
    """Run an agency's data stages; return its folder of the run."""
    end = dt.datetime.fromisoformat(scenarios.load(config.scenario).DEMO_INTERVAL_END)
    zone = ZoneInfo(config.schedule.timezone)
    start = (end - dt.timedelta(days=1)).replace(day=1)
    for stage, module in _STAGES.items():
        spec = StageSpec(
            stage=stage,
            scenario=config.scenario,
            run_id=f"{config.scenario}__bench",
            data_interval=(start.replace(tzinfo=zone), end.replace(tzinfo=zone)),
            home=home,
            federation=federation,
            agency=agency,
        )
        module.run(spec)
    return spec.folder


def _errors(config: SeriesConfig, module, folder: Path, predictions: Path) -> dict[str, Horizons]:
    test = held_back_examples(folder)
    x, y, season = (np.load(test / f"{part}.npy", mmap_mode="r") for part in ("x", "y", "season"))
    naive = {"persistence": module.persistence(x, config.target_steps), "seasonal_naive": season}
    prepared = Prepared.model_validate_json(prepared_path(folder).read_bytes())
    return errors(module, config, prepared, fit_examples(folder), y, load_tensors(predictions), naive)


def compare(work: dict, found: dict[str, dict[str, Horizons]]) -> Iterator[dict]:
    """Yield a row a horizon and figure.

    Args:
        work: What was measured.
        found: Agency -> way of forecasting -> horizon -> metric.
    """
    ways = next(iter(found.values()))
    for horizon, metric in ways["federated"].items():
        for figure in _FIGURES:
            if getattr(metric, figure) is None:
                continue
            means = {
                way: float(np.mean([getattr(one[way][horizon], figure) for one in found.values()])) for way in ways
            }
            federated = means.pop("federated")
            best = min(means[way] for way in _BASELINES)
            gain = best - means["pooled"]
            yield {
                "work": {**work, "horizon": horizon, "figure": figure},
                "ours": {"federated": federated, "gain_of_pooled": (best - federated) / gain if gain > 0.0 else None},
                "peer": means,
                "ratio": {way: value / federated for way, value in means.items()},
                "limit_ratio": {},
            }
