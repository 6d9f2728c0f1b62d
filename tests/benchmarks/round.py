"""One retraining beside the same rounds as a bare TensorFlow Federated script and in Flower's simulation.

Ours runs first: from the start of its process to the report, under Airflow, with everything between. The others get
the examples that it left with the agencies, the same Keras model, optimizers, passes, batch size and rounds, and only
train; their imports are included as ours are. Columns and rules: docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fl_airflow.federation import found_federation, hand_out_data, prepare_airflow
from fl_airflow.installation import FEDERATION

from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.data import fit_examples, held_back_examples
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.paths import Home
from fl_tasks.stages.model_state import model_spec
from tests.benchmarks.peers import environment
from tests.benchmarks.round_measure import REPOSITORY, measured
from tests.benchmarks.round_retraining import retrain

SCENARIO = "traffic_districts"
ROUNDS = 10
REAL = REPOSITORY.parent / "shared" / "data"
LEARNING_PYTHON = REPOSITORY / ".venv-fl" / "bin" / "python"
MOST_SECONDS = 900.0
"""What one system may take."""
MOST_APART = 0.05
"""Share by which held-out errors may differ; beyond it, different work was compared."""
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
Say = Callable[[str], None]


def rows(say: Say, *, rounds: int = ROUNDS, peers: bool = True) -> Iterator[dict]:
    """Measure ours and the peers one after another, in one row.

    Raises:
        MeasurementFailed: If one of them failed.
        AssertionError: If their models are not equally good.
    """
    data = _data()
    config, agencies = load_federation(FEDERATION).scenarios[SCENARIO], _agencies()
    python = environment("flower_round", say) if peers else None
    with tempfile.TemporaryDirectory(prefix="bench-round-") as name:
        folder = Path(name)
        home = folder / "home"
        hand_out_data(SCENARIO, home, data)
        found_federation(SCENARIO, home)
        prepare_airflow(home)
        say(f"bench: ours, {len(agencies)} agencies, {rounds} rounds")
        ours = retrain(Home(home), folder / "ours", config, rounds=rounds, seconds=MOST_SECONDS)
        runs = ours.runs(agencies)
        fit = {agency: fit_examples(run) for agency, run in runs.items()}
        model, weights, costs = model_spec(config), {"ours": ours.weights}, {}
        for system, argv in _peers(python).items():
            say(f"bench: {system}")
            weights[system] = folder / system / "weights.npz"
            costs[system] = _trained(argv, folder / system, model, rounds, fit, weights[system])
        rmse = _rmse(folder, model, weights, {agency: held_back_examples(run) for agency, run in runs.items()})
        for system in costs:
            assert abs(rmse[system] / rmse["ours"] - 1.0) <= MOST_APART, f"held-out errors are far apart: {rmse}"
        yield {
            "work": {
                "agencies": len(agencies),
                "rounds": rounds,
                "parameters": ours.parameters,
                "rows": sum(len(np.load(path / "x.npy", mmap_mode="r")) for path in fit.values()),
                "engine": "embedded Airflow, masked",
                "data": "generated" if data is None else "real",
            },
            "ours": {**ours.cost, "fixed": ours.fixed_cost(agencies, rounds), "rmse": rmse["ours"]},
            "peer": {
                f"{system}_{figure}": value
                for system, cost in costs.items()
                for figure, value in {**cost, "rmse": rmse[system]}.items()
            },
            "ratio": {f"vs_{system}": cost["wall"] / ours.cost["wall"] for system, cost in costs.items()},
            "limit_ratio": {},
        }


def _data() -> Path | None:
    """Folder of the real data: `make bench NAME=round DATA=folder`, or where they lie beside the repository."""
    if given := os.environ.get("DATA"):
        return Path(given)
    return REAL if REAL.is_dir() else None


def _agencies() -> list[str]:
    return [agency.agency for agency in load_federation(FEDERATION).members(SCENARIO)]


def _peers(flower: Path | None) -> dict[str, list[str | Path]]:
    """System -> its command, without the spec."""
    found: dict[str, list[str | Path]] = {"tff": [LEARNING_PYTHON, "-m", "tests.benchmarks.round_tff"]}
    if flower is not None:
        found["flower"] = [flower, "-m", "tests.benchmarks.peers.flower_round"]
    return found


def _trained(
    argv: list[str | Path], folder: Path, model: ModelSpec, rounds: int, fit: dict[str, Path], weights: Path
) -> dict[str, float]:
    spec = {
        "model": model.model_dump(mode="json"),
        "rounds": rounds,
        "agencies": {agency: str(path) for agency, path in fit.items()},
        "weights_out": str(weights),
    }
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec))
    quiet = {**QUIET, "FLWR_HOME": str(folder / "flwr")}
    return measured([*argv, folder / "spec.json"], folder, seconds=MOST_SECONDS, env=quiet)


def _rmse(folder: Path, model: ModelSpec, weights: dict[str, Path], held_back: dict[str, Path]) -> dict[str, float]:
    spec = {
        "model": model.model_dump(mode="json"),
        "weights": {system: str(path) for system, path in weights.items()},
        "agencies": {agency: str(path) for agency, path in held_back.items()},
    }
    (folder / "judge.json").write_text(json.dumps(spec))
    argv = [LEARNING_PYTHON, "-m", "tests.benchmarks.round_judge", folder / "judge.json"]
    done = subprocess.run(argv, cwd=REPOSITORY, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)
