"""The classifiers of records: learned together, by each agency alone, and from all rows in one place.

One row a scenario with its privacy, and one without generalization: means over several splits of the mean over the
agencies of their AUC on held-back rows. `gain_of_pooled` under ours is the share of the pooled model's gain over the
majority's guess (AUC 0.5) that the federated one reaches; `ratio` is ours / theirs, as a larger AUC is better.
Only on the real data beside the repository: what is made up says nothing of what can be learned.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from fl_tasks import scenarios
from fl_tasks.contracts.config import LearningConfig, load_scenario
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import Tensors, load_tensors
from fl_tasks.data.tables.examples import save_array
from fl_tasks.scenarios.class_metrics import metrics, probabilities
from tests.benchmarks.learning_examples import FEDERATION, Delivered, Prepared, delivered, levels_of, prepared

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data"
SPLITS = {"welfare": 5, "welfare_unemployment": 20, "medical": 5, "medical_medicaid": 5}
"""Scenario -> splits that its figures are means over: more where the parts that are judged are small."""
WAYS = ("federated", "local_only", "pooled")
BASELINE = 0.5
"""AUC of whoever gives everybody the same odds."""
Say = Callable[[str], None]


def rows(say: Say, splits: Mapping[str, int] | None = None) -> Iterator[dict]:
    """Measure every scenario, or only some of them.

    Args:
        say: Gets what happens.
        splits: Scenario -> number of splits; SPLITS by default.
    """
    if not (REAL / "welfare").is_dir():
        say(f"bench: no figures of tables, {REAL / 'welfare'} is not there")
        return
    for scenario, count in (splits or SPLITS).items():
        with tempfile.TemporaryDirectory(prefix="bench-learning-") as folder:
            agencies = delivered(scenario, scenarios.load(scenario).split_real(REAL), Path(folder) / "home")
            policy = load_scenario(FEDERATION, scenario).table.privacy
            for k, levels in ((policy.k, levels_of(agencies, scenario)), (None, None)):
                found = measured(scenario, agencies, levels, range(count), Path(folder) / f"k{k}")
                work = {"scenario": scenario, "agencies": len(agencies), "splits": count, "k": k}
                yield row(work, found)


def row(work: dict, found: Mapping[str, list[float]]) -> dict:
    """Return one row of the result.

    Args:
        work: What was measured.
        found: Way -> AUC of each split.
    """
    auc = {way: float(np.mean(found[way])) for way in WAYS}
    gains = np.array(found["pooled"]) - BASELINE
    share = float(np.mean(np.array(found["federated"]) - BASELINE) / gains.mean()) if gains.mean() > 0.0 else None
    return {
        "work": work,
        "ours": {
            "federated": auc["federated"],
            "deviation": float(np.std(found["federated"])),
            "gain_of_pooled": share,
        },
        "peer": {"local_only": auc["local_only"], "pooled": auc["pooled"], "majority": BASELINE},
        "ratio": {way: auc["federated"] / auc[way] for way in ("local_only", "pooled")},
        "limit_ratio": {},
    }


def measured(
    scenario: str,
    agencies: Mapping[str, Delivered],
    levels: tuple[int, ...] | None,
    seeds: range,
    folder: Path,
    *,
    learning: LearningConfig | None = None,
    rounds: int | None = None,
    judge: str = "test",
) -> dict[str, list[float]]:
    """Train on several splits, and judge.

    Args:
        scenario: Its model and hyper-parameters.
        agencies: Their rows.
        levels: Of the quasi-identifiers; None leaves all as it came.
        seeds: One split each.
        folder: For files.
        learning: Other hyper-parameters than the scenario's.
        rounds: Other than its demo's.
        judge: Part that is judged: `test` of a model that was fit on the rest, or `validation`, test left untouched.

    Returns:
        Way -> for each split the mean over the agencies of their AUC.
    """
    config = load_scenario(FEDERATION, scenario)
    jobs, splits = [], {}
    for seed in seeds:
        made = prepared(scenario, agencies, seed, levels)
        name = f"split{seed}"
        model = ModelSpec(
            scenario=scenario,
            learning=learning or config.learning,
            input_shape=(len(made.preparation.features),),
            output_shape=(len(config.table.classes),),
        )
        jobs.append(
            {
                "name": name,
                "model": model.model_dump(mode="json"),
                "rounds": rounds or scenarios.load(scenario).DEMO_ROUNDS,
                "weight_cap": config.learning.weight_cap,
            }
        )
        splits[name] = _save(made, folder / name, judge)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    argv = [REPOSITORY / ".venv-fl" / "bin" / "python", "-m", "tests.benchmarks.learning_tables_run", folder]
    subprocess.run(argv, cwd=REPOSITORY, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for name, truth in splits.items():
        predictions = load_tensors(folder / name / "predictions.npz")
        for way, auc in judged(truth, predictions, together=judge == "validation").items():
            found[way].append(auc)
    return found


def judged(truth: Mapping[str, np.ndarray], predictions: Tensors, *, together: bool = False) -> dict[str, float]:
    """Return the mean over the agencies of their AUC; an agency with too few rows of a class for one has none.

    Args:
        truth: Agency -> classes of the judged rows.
        predictions: `<agency>/<way>` -> logits.
        together: One AUC of all agencies' rows instead: their validation parts are too small for one each.
    """
    found = {}
    for way in WAYS:
        pairs = [(y, probabilities(predictions[f"{agency}/{way}"])) for agency, y in truth.items()]
        if together:
            pairs = [tuple(np.concatenate(side) for side in zip(*pairs, strict=True))]
        each = [metrics(y, chance, "target")["target"].auc for y, chance in pairs]
        found[way] = float(np.mean([auc for auc in each if auc is not None]))
    return found


def _save(made: Prepared, folder: Path, judge: str) -> dict[str, np.ndarray]:
    truth = {}
    for agency, parts in made.examples.items():
        fit = parts["fit"]
        if judge == "test":
            fit = tuple(np.concatenate([one, other]) for one, other in zip(fit, parts["validation"], strict=True))
        x, truth[agency] = parts[judge]
        for part, (examples, classes) in {"fit": fit, "judged": (x, truth[agency])}.items():
            save_array(folder / agency / part / "x.npy", examples)
            save_array(folder / agency / part / "y.npy", classes)
    return truth
