"""Two ways through the same federated training: TFF's public algorithm, and this package agency by agency.

`oracle_rounds` and `our_rounds` return the weights after each round; `our_rounds` takes the mean as a
function, so that a masked mean can stand where the plain one does.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fl_tasks.contracts.config import LearningConfig, OptimizerConfig
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.learning import server
from fl_tasks.learning.client import LocalTraining, LocalUpdate
from fl_tasks.learning.examples import Examples, batches
from fl_tasks.learning.model import build_keras_model, build_tff_model, named, ordered, weight_names
from fl_tasks.learning.runtime import Dataset, Optimizer, tf, tff

ROUNDS = 3
BATCH = 8
# Unequal, and each with a partial last batch of 8: 5, 4 and 3 examples.
SIZES = (37, 20, 11)
STEPS, FEATURES, AHEAD = 6, 3, 2
SIDE, CLASSES = 7, 4
# Adam's first step is rate * g / (|g| + epsilon): where g is near epsilon, a rounding of float32 in g becomes an error
# proportional to the rate. With 0.01 one element of the recurrent kernel is off by 1.04e-6 after three rounds.
RATES = {"sgd": 0.1, "adam": 0.005, "yogi": 0.02}

Mean = Callable[[list[LocalUpdate]], Tensors]


@dataclass(frozen=True)
class Case:
    model: str
    client: str
    server: str
    local_epochs: int = 1

    def __str__(self) -> str:
        return f"{self.model}-{self.client}-{self.server}-{self.local_epochs}"

    @property
    def pictures(self) -> bool:
        return self.model == "cnn"

    @property
    def spec(self) -> ModelSpec:
        meaning = (
            {
                "scenario": "classifier",
                "input_shape": (SIDE, SIDE, 1),
                "output_shape": (CLASSES,),
            }
            if self.pictures
            else {
                "scenario": "forecaster",
                "input_shape": (STEPS, FEATURES),
                "output_shape": (AHEAD,),
                "step_minutes": 5,
                "calendar": ("day",),
            }
        )
        return ModelSpec(
            learning=LearningConfig(
                model=self.model,
                units=5,
                local_epochs=self.local_epochs,
                batch_size=BATCH,
                client_optimizer=OptimizerConfig(name=self.client, learning_rate=RATES[self.client]),
                server_optimizer=OptimizerConfig(
                    name=self.server, learning_rate=1.0 if self.server == "sgd" else RATES[self.server]
                ),
                seed=3,
            ),
            **meaning,
        )


@functools.cache
def agencies(*, pictures: bool = False) -> tuple[Examples, ...]:
    """Return three agencies' examples, each around a mean of its own; pictures of classes, more of one at each."""
    draw = np.random.default_rng(11)
    if pictures:
        classes = [draw.choice(CLASSES, size, p=np.roll([0.7, 0.1, 0.1, 0.1], i)) for i, size in enumerate(SIZES)]
        return tuple(
            Examples(
                draw.normal(found[:, None, None, None] / CLASSES, 1, (len(found), SIDE, SIDE, 1)).astype(np.float32),
                np.eye(CLASSES, dtype=np.float32)[found],
            )
            for found in classes
        )
    return tuple(
        Examples(
            draw.normal(index - 1, 1, (size, STEPS, FEATURES)).astype(np.float32),
            draw.normal(index - 1, 1, (size, AHEAD)).astype(np.float32),
        )
        for index, size in enumerate(SIZES)
    )


def shuffle_seed(round_index: int, agency: int) -> int:
    return 100 * round_index + agency


def plain_mean(updates: list[LocalUpdate]) -> Tensors:
    """Return the mean of the deltas, weighted by examples."""
    total = sum(update.examples for update in updates)
    return {
        name: (sum(update.examples * update.delta[name].astype(np.float64) for update in updates) / total).astype(
            np.float32
        )
        for name in updates[0].delta
    }


def our_rounds(case: Case, mean: Mean = plain_mean) -> list[Tensors]:
    """Return the weights after each round: local training of each agency, mean, server step."""
    weights, state = server.initial(case.spec)
    training = LocalTraining(case.spec)
    result = []
    for round_index in range(1, ROUNDS + 1):
        updates = [
            training.run(weights, examples, epochs=case.local_epochs, seed=shuffle_seed(round_index, index))
            for index, examples in enumerate(agencies(pictures=case.pictures))
        ]
        weights, state = server.step(case.spec, weights, state, mean(updates))
        result.append(weights)
    return result


@functools.cache
def oracle_rounds(case: Case) -> list[Tensors]:
    """Return the weights after each round of `tff.learning.algorithms.build_weighted_fed_avg`."""
    spec = case.spec
    process = tff.learning.algorithms.build_weighted_fed_avg(
        lambda: build_tff_model(spec, build_keras_model(spec)),
        client_optimizer_fn=_tffs_optimizer(spec.learning.client_optimizer),
        server_optimizer_fn=_tffs_optimizer(spec.learning.server_optimizer),
    )
    keras_model = build_keras_model(spec)
    initial, _ = server.initial(spec)
    state = process.set_model_weights(
        process.initialize(),
        tff.learning.models.ModelWeights(ordered(initial, keras_model, source="initial"), []),
    )
    result = []
    for round_index in range(1, ROUNDS + 1):
        data = [
            _dataset(examples, epochs=case.local_epochs, seed=shuffle_seed(round_index, index))
            for index, examples in enumerate(agencies(pictures=case.pictures))
        ]
        state = process.next(state, data).state
        result.append(named(weight_names(keras_model), process.get_model_weights(state).trainable))
    return result


def _tffs_optimizer(config: OptimizerConfig) -> Optimizer:
    match config.name:
        case "sgd":
            return tff.learning.optimizers.build_sgdm(config.learning_rate)
        case "adam":
            return tff.learning.optimizers.build_adam(config.learning_rate)
        case "yogi":
            return tff.learning.optimizers.build_yogi(config.learning_rate)


def _dataset(examples: Examples, *, epochs: int, seed: int) -> Dataset:
    """Return the same batches as a dataset that TFF can send to its executor, which a generator is not."""
    order = list(batches(examples, size=BATCH, epochs=epochs, seed=seed).as_numpy_iterator())
    per_epoch = len(order) // epochs
    passes = []
    for start in range(0, len(order), per_epoch):
        x, y = (np.concatenate(parts) for parts in zip(*order[start : start + per_epoch], strict=True))
        passes.append(tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH))
    return functools.reduce(lambda left, right: left.concatenate(right), passes)
