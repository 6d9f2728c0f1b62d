"""Train federated, alone and pooled on examples of tables: `python -m tests.benchmarks.learning_tables_run F`.

In the learning environment; no Airflow and no masking. F/jobs.json is a list of {"name", "model" (a ModelSpec),
"rounds", "weight_cap"}; a job's examples lie in F/<name>/<agency>/{fit,judged}/{x,y}.npy. Leaves
F/<name>/predictions.npz: `<agency>/<way>`, logits of the judged rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import Tensors, save_tensors
from fl_tasks.learning import server
from fl_tasks.learning.client import LocalTraining
from fl_tasks.learning.examples import Examples, open_examples, open_inputs
from fl_tasks.learning.predict import predict
from tests.benchmarks.learning_run import federated


def main(folder: Path) -> None:
    traced: dict[str, LocalTraining] = {}
    for job in json.loads((folder / "jobs.json").read_text()):
        key = json.dumps(job["model"], sort_keys=True)
        model = ModelSpec.model_validate_json(key)
        # Tracing takes longer than training: splits of one scenario share it.
        if key not in traced:
            traced[key] = LocalTraining(model)
        one_job(folder / job["name"], model, traced[key], job["rounds"], job["weight_cap"])


def one_job(folder: Path, model: ModelSpec, training: LocalTraining, rounds: int, weight_cap: int | None) -> None:
    agencies = sorted(path for path in folder.iterdir() if path.is_dir())
    fit = {agency.name: open_examples(agency / "fit", model) for agency in agencies}
    start, state = server.initial(model)
    epochs = rounds * model.learning.local_epochs
    together = federated(model, training, fit, (start, state), rounds, weight_cap)
    everything = Examples(*(np.concatenate([getattr(one, part) for one in fit.values()]) for part in ("x", "y")))
    pooled = training.trained(start, training.run(start, everything, epochs=epochs, seed=1))
    judged = {agency.name: open_inputs(agency / "judged", model) for agency in agencies}
    rows = np.cumsum([len(x) for x in judged.values()])[:-1]
    predictions: Tensors = {}
    for way, weights in {"federated": together, "pooled": pooled}.items():
        logits = np.split(predict(model, weights, np.concatenate(list(judged.values()))), rows)
        predictions |= {f"{agency}/{way}": part for agency, part in zip(judged, logits, strict=True)}
    for number, (agency, x) in enumerate(judged.items()):
        alone = training.trained(start, training.run(start, fit[agency], epochs=epochs, seed=number))
        predictions[f"{agency}/local_only"] = predict(model, alone, x)
    save_tensors(folder / "predictions.npz", predictions)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
