"""Train in one of several ways and say how long it took: `python -m tests.benchmarks.training_run JSON` (.venv-fl)."""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

from fl_tasks.contracts.config import LearningConfig, OptimizerConfig
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.learning import client
from fl_tasks.learning.examples import Examples
from fl_tasks.learning.model import tensors_of
from fl_tasks.learning.runtime import tf, tff
from fl_tasks.scenarios import forecaster


def main(told: dict) -> None:
    learning = LearningConfig(
        model="gru",
        units=64,
        local_epochs=1,
        batch_size=told.get("batch", 256),
        client_optimizer=OptimizerConfig(name="adam", learning_rate=0.01),
        server_optimizer=OptimizerConfig(name="sgd", learning_rate=1.0),
        seed=7,
    )
    spec = ModelSpec(scenario="traffic_districts", input_shape=(12, 3), output_shape=(12,), learning=learning)
    forecaster._MOST_UNROLLED = told.get("unrolled", forecaster._MOST_UNROLLED)
    if "threads" in told:
        tf.config.threading.set_intra_op_parallelism_threads(told["threads"])
    if "loop" in told:
        build = client.model_delta_client_work.build_model_delta_update_with_tff_optimizer
        loop = tff.learning.LoopImplementation[told["loop"]]
        client.model_delta_client_work.build_model_delta_update_with_tff_optimizer = lambda *arguments, **named: build(
            *arguments, **{**named, "loop_implementation": loop}
        )
    training = client.LocalTraining(spec)
    weights = tensors_of(training.keras_model)
    noise = np.random.Generator(np.random.Philox(1))
    shapes = ((told["windows"], 12, 3), (told["windows"], 12))
    examples = Examples(*(noise.standard_normal(shape, dtype=np.float32) for shape in shapes))
    seconds = []
    for number in range(told["passes"]):
        began = time.monotonic()
        training.run(weights, examples, epochs=1, seed=number)
        seconds.append(time.monotonic() - began)
    print(json.dumps({"first_pass": round(seconds[0], 3), "pass": round(statistics.median(seconds[1:]), 3)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
