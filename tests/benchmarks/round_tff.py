"""The same rounds as one bare TensorFlow Federated script: `python -m tests.benchmarks.round_tff SPEC` (.venv-fl).

Its public algorithm, its executor, its own optimizers and its settings as they come. Nothing of ours but the Keras
model's builder and loss. SPEC is JSON: model (a ModelSpec), rounds, agencies (name -> folder with x.npy and y.npy),
weights_out (an npz of arrays in Keras' order).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fl_tasks import scenarios
from fl_tasks.contracts.jobs import ModelSpec

BUILDERS = {
    "sgd": tff.learning.optimizers.build_sgdm,
    "adam": tff.learning.optimizers.build_adam,
    "yogi": tff.learning.optimizers.build_yogi,
}


def main(path: Path) -> None:
    spec = json.loads(path.read_text())
    model = ModelSpec.model_validate_json(json.dumps(spec["model"]))
    learning, scenario = model.learning, scenarios.load(model.scenario)
    data = []
    for folder in spec["agencies"].values():
        x, y = np.load(Path(folder) / "x.npy"), np.load(Path(folder) / "y.npy")
        data.append((len(x), tf.data.Dataset.from_tensor_slices((x, y))))

    # Outside of model_fn: TFF calls it in a graph of its own, where a dataset cannot be read.
    input_spec = data[0][1].batch(learning.batch_size).element_spec

    def model_fn() -> tff.learning.models.VariableModel:
        return tff.learning.models.from_keras_model(
            scenario.build_model(learning, model.input_shape, model.output_shape),
            loss=scenario.loss(),
            input_spec=input_spec,
        )

    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn,
        client_optimizer_fn=BUILDERS[learning.client_optimizer.name](learning.client_optimizer.learning_rate),
        server_optimizer_fn=BUILDERS[learning.server_optimizer.name](learning.server_optimizer.learning_rate),
    )
    state = process.initialize()
    for round_ in range(1, spec["rounds"] + 1):
        clients = [
            examples.shuffle(count, seed=1000 * round_ + number)
            .batch(learning.batch_size)
            .repeat(learning.local_epochs)
            for number, (count, examples) in enumerate(data)
        ]
        state = process.next(state, clients).state
    np.savez(spec["weights_out"], *process.get_model_weights(state).trainable)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
