"""A retraining of ours as a whole program, measured: what the benchmarks `round` and `growth` have in common."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from fl_tasks import scenarios
from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.jobs import JobResult
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.tensors import load_tensors
from fl_tasks.stages.model_state import FINAL_WEIGHTS
from tests.benchmarks.round_measure import measured


@dataclass(frozen=True)
class Retraining:
    """One that is over.

    Attributes:
        cost: wall, cpu, peak_pss.
        home: Its installation.
        run_id: Its name.
    """

    cost: dict[str, float]
    home: Home
    run_id: str

    def runs(self, agencies: Iterable[str]) -> dict[str, Path]:
        """Agency -> its folder of this run."""
        return {agency: self.home.agency_run(agency, self.run_id) for agency in agencies}

    @property
    def weights(self) -> Path:
        """The final model."""
        return self.home.exchange(self.run_id) / FINAL_WEIGHTS

    @property
    def parameters(self) -> int:
        """Of the final model."""
        return sum(int(array.size) for array in load_tensors(self.weights).values())

    def fixed_cost(self, agencies: Iterable[str], rounds: int) -> float | None:
        """Seconds of an agency-round in which nothing was trained: the median of the rounds after the first.

        A round is from one model's publication to the next. Of it goes the time on the clock in which at least one
        agency's training call was at work; what is left is shared by the agencies. None if there is one round only.
        """
        runs = self.runs(agencies)
        folder = self.home.coordinator_run(self.run_id) / "rounds"
        found = []
        for round_ in range(2, rounds + 1):
            start, end = (float((folder / f"{number}.started").read_bytes()) for number in (round_, round_ + 1))
            trained = _covered([_training(run, round_) for run in runs.values()])
            found.append((end - start - trained) / len(runs))
        return statistics.median(found) if found else None


def _training(run: Path, round_: int) -> tuple[float, float]:
    """When an agency's training call began and ended: it writes its result at its end, with how long it worked."""
    path = run / "jobs" / f"train-{round_}" / "job.json.result.json"
    end = path.stat().st_mtime
    return end - JobResult.model_validate_json(path.read_bytes()).seconds_work, end


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of some spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def retrain(
    home: Home, folder: Path, config: ScenarioConfig, *, rounds: int, seconds: float, dags: Path | None = None
) -> Retraining:
    """Run one retraining of a federation that is founded, and measure it.

    Args:
        home: The installation.
        folder: For files of the measurement.
        config: Of the scenario.
        rounds: Federated rounds.
        seconds: It may take.
        dags: Folder of another federation than the repository's.

    Raises:
        MeasurementFailed: If it was red, or took too long.
    """
    end = dt.datetime.fromisoformat(scenarios.load(config.scenario).DEMO_INTERVAL_END)
    spec = {
        "scenario": config.scenario,
        "home": str(home.root),
        "interval_end": end.replace(tzinfo=ZoneInfo(config.schedule.timezone)).isoformat(),
        "rounds": rounds,
        "dags": None if dags is None else str(dags),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    argv = [sys.executable, "-m", "tests.benchmarks.round_ours", folder / "spec.json"]
    cost = measured(argv, folder, seconds=seconds)
    return Retraining(cost, home, json.loads((folder / "run.json").read_text())["run_id"])
