"""Held-out errors of several systems' models: `python -m tests.benchmarks.round_judge SPEC` (.venv-fl) prints JSON.

SPEC is JSON: model (a ModelSpec), weights (system -> npz of arrays whose names sort in Keras' order), agencies (name ->
folder with x.npy and y.npy). The answer is system -> RMSE over all agencies' held-out examples, scaled.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.learning.examples import open_examples
from fl_tasks.learning.model import build_keras_model, named, weight_names
from fl_tasks.learning.predict import predict


def main(path: Path) -> None:
    spec = json.loads(path.read_text())
    model = ModelSpec.model_validate_json(json.dumps(spec["model"]))
    names = weight_names(build_keras_model(model))
    examples = [open_examples(Path(folder), model) for folder in spec["agencies"].values()]
    found = {}
    for system, weights in spec["weights"].items():
        with np.load(weights) as arrays:
            tensors = named(names, [arrays[name] for name in sorted(arrays)])
        squares = [np.square(predict(model, tensors, one.x) - one.y, dtype=np.float64) for one in examples]
        found[system] = math.sqrt(sum(one.sum() for one in squares) / sum(one.size for one in squares))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
