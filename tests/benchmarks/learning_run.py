"""Train federated, alone and pooled on frozen examples: `python -m tests.benchmarks.learning_run SPEC` (.venv-fl).

No Airflow and no masking: what TensorFlow Federated gives each agency, averaged as the coordinator would. The spec has
`model` (a ModelSpec), `rounds`, `weight_cap`, and `agencies`: name -> folder with examples/fit and examples/test.
Leaves predictions/<agency>.npz beside the spec: federated, local_only and pooled, all after as many passes and steps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from fl_tasks.contracts.data import fit_examples, held_back_examples
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import Tensors, save_tensors
from fl_tasks.learning import predict, server
from fl_tasks.learning.client import LocalTraining
from fl_tasks.learning.examples import Examples, open_examples, open_inputs


def main(path: Path) -> None:
    spec = json.loads(path.read_text())
    model = ModelSpec.model_validate_json(json.dumps(spec["model"]))
    folders = {name: Path(folder) for name, folder in spec["agencies"].items()}
    fit = {name: open_examples(fit_examples(folder), model) for name, folder in folders.items()}
    training = LocalTraining(model)
    start, state = server.initial(model)
    epochs = spec["rounds"] * model.learning.local_epochs
    together = federated(model, training, fit, (start, state), spec["rounds"], spec["weight_cap"])
    everything = Examples(*(np.concatenate([getattr(one, part) for one in fit.values()]) for part in ("x", "y")))
    # Steps over a batch of all agencies' at once: what the mean of their updates stands for.
    wide = model.learning.model_copy(update={"batch_size": model.learning.batch_size * len(fit)})
    at_once = LocalTraining(model.model_copy(update={"learning": wide}))
    pooled = at_once.trained(start, at_once.run(start, everything, epochs=epochs, seed=1))
    for number, (name, folder) in enumerate(folders.items()):
        alone = training.trained(start, training.run(start, fit[name], epochs=epochs, seed=number))
        x = open_inputs(held_back_examples(folder), model)
        models = {"federated": together, "local_only": alone, "pooled": pooled}
        predictions: Tensors = {kind: predict.predict(model, weights, x) for kind, weights in models.items()}
        save_tensors(path.parent / "predictions" / f"{name}.npz", predictions)


def federated(
    model: ModelSpec,
    training: LocalTraining,
    fit: dict[str, Examples],
    start: tuple[Tensors, Tensors],
    rounds: int,
    weight_cap: int | None,
) -> Tensors:
    """Return the weights after all rounds: local training at each agency, weighted mean, server step."""
    weights, state = start
    for round_ in range(1, rounds + 1):
        updates = [
            training.run(weights, examples, epochs=model.learning.local_epochs, seed=1000 * round_ + number)
            for number, examples in enumerate(fit.values())
        ]
        counts = np.array([min(update.examples, weight_cap or update.examples) for update in updates], dtype=np.float64)
        shares = counts / counts.sum()
        mean = {
            name: sum(share * update.delta[name] for share, update in zip(shares, updates, strict=True)).astype("f4")
            for name in weights
        }
        weights, state = server.step(model, weights, state, mean)
    return weights


if __name__ == "__main__":
    main(Path(sys.argv[1]))
