"""The client of `flower_round`: one agency's training by Keras, in a process of Ray that serves several agencies.

A module of its own, so that Ray's processes import it and keep the compiled model from one call to the next. That is
kinder to Flower than its examples, which build and trace the model anew for every client and round.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_tasks import scenarios
from fl_tasks.contracts.jobs import ModelSpec

SPEC = "BENCH_ROUND_SPEC"
"""Set to the path of the spec."""
OPTIMIZERS = {"sgd": tf.keras.optimizers.SGD, "adam": tf.keras.optimizers.Adam}

app = ClientApp()


@cache
def spec() -> dict:
    """What is asked for; as in round_tff."""
    return json.loads(Path(os.environ[SPEC]).read_text())


@cache
def compiled() -> tuple[tf.keras.Model, list[np.ndarray]]:
    """The model with its optimizer, and the optimizer's fresh state."""
    model = ModelSpec.model_validate_json(json.dumps(spec()["model"]))
    learning, scenario = model.learning, scenarios.load(model.scenario)
    keras_model = scenario.build_model(learning, model.input_shape, model.output_shape)
    optimizer = OPTIMIZERS[learning.client_optimizer.name](learning.client_optimizer.learning_rate)
    optimizer.build(keras_model.trainable_variables)
    keras_model.compile(optimizer=optimizer, loss=scenario.loss())
    return keras_model, [variable.numpy() for variable in optimizer.variables]


@cache
def examples(agency: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of one agency."""
    folder = Path(list(spec()["agencies"].values())[agency])
    return np.load(folder / "x.npy"), np.load(folder / "y.npy")


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train from the round's weights with a fresh optimizer."""
    keras_model, fresh = compiled()
    learning = spec()["model"]["learning"]
    agency = int(context.node_config["partition-id"])
    tf.keras.utils.set_random_seed(1000 * int(message.content["config"]["server-round"]) + agency)
    keras_model.set_weights(message.content["arrays"].to_numpy_ndarrays())
    for variable, value in zip(keras_model.optimizer.variables, fresh, strict=True):
        variable.assign(value)
    x, y = examples(agency)
    keras_model.fit(x, y, epochs=learning["local_epochs"], batch_size=learning["batch_size"], verbose=0)
    content = {
        "arrays": ArrayRecord(keras_model.get_weights()),
        "metrics": MetricRecord({"num-examples": len(x)}),
    }
    return Message(content=RecordDict(content), reply_to=message)
