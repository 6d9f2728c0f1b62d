"""The classifiers of table scenarios: records by a logistic regression or a small network, pictures by a convolution.

The Keras models give logits, one a class. TensorFlow is imported inside the functions, so that a scenario can be read
where there is no TensorFlow.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from fl_tasks.contracts.config import LearningConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.table_config import TableConfig

# TensorFlow comes without types, and is not installed where types are checked: these names are for readers.
KerasModel: TypeAlias = Any
KerasLoss: TypeAlias = Any

# One seed for each kernel; biases start at zero.
_SEEDS = 2


def shapes(config: TableConfig, preparation: Preparation | None = None) -> tuple[tuple[int, ...], tuple[int]]:
    """Return the shapes of one example's x and y: the features, or (side, side, 1) of a picture, and (classes,).

    Args:
        config: Of the scenario.
        preparation: What the survey of a run ended with; it names the features. Pictures need none.

    Raises:
        ConfigError: If the scenario's features are agreed on in a survey, and there is none.
    """
    outputs = (len(config.classes),)
    if config.image is not None:
        return (config.image.side, config.image.side, 1), outputs
    if preparation is None:
        raise ConfigError(
            "the features of a table are those that its survey agreed on, and there is no preparation: "
            "run the survey's stages before this one"
        )
    return (len(preparation.features),), outputs


def build_model(learning: LearningConfig, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> KerasModel:
    """Return an uncompiled Keras model from one example's x to its logits.

    | model | layers |
    |---|---|
    | logistic | Dense(classes) |
    | mlp | Dense(units, relu), Dense(classes) |
    | cnn | Conv2D(units, 3 x 3, relu), Flatten, Dense(classes) |

    Args:
        learning: `model`, `units` and `seed` are read. The same seed gives the same initial weights, to the bit.
        input_shape: (features,) of a record, (height, width, channels) of a picture.
        output_shape: (classes,).

    Raises:
        ConfigError: If the model is none for such examples.
    """
    dimensions = {"logistic": 1, "mlp": 1, "cnn": 3}.get(learning.model)
    if len(input_shape) != dimensions or len(output_shape) != 1:
        raise ConfigError(
            f"field learning.model: {learning.model} does not classify examples of shape {input_shape} into "
            f"{output_shape}; logistic and mlp take records (features,), cnn takes pictures (height, width, channels), "
            "all give (classes,)"
        )
    if learning.model == "logistic" and learning.units != 1:
        raise ConfigError(f"field learning.units: got {learning.units}; logistic has no hidden layer, and needs 1")
    import tensorflow as tf  # noqa: PLC0415

    # Seeds for the initializers only: a global seed would also fix whatever else draws in this process.
    first, last = (int(seed) for seed in np.random.SeedSequence(learning.seed).generate_state(_SEEDS) >> 1)
    inputs = hidden = tf.keras.Input(shape=input_shape, name="example")
    kernel = tf.keras.initializers.GlorotUniform(seed=first)
    if learning.model == "mlp":
        hidden = tf.keras.layers.Dense(learning.units, activation="relu", kernel_initializer=kernel, name="hidden")(
            hidden
        )
    elif learning.model == "cnn":
        hidden = tf.keras.layers.Conv2D(
            learning.units, 3, activation="relu", kernel_initializer=kernel, name="filters"
        )(hidden)
        hidden = tf.keras.layers.Flatten(name="flat")(hidden)
    logits = tf.keras.layers.Dense(
        output_shape[0], kernel_initializer=tf.keras.initializers.GlorotUniform(seed=last), name="logits"
    )(hidden)
    return tf.keras.Model(inputs, logits, name="classifier")


def loss() -> KerasLoss:
    """Return the training loss: cross-entropy of one-hot classes, from logits, in nats."""
    import tensorflow as tf  # noqa: PLC0415

    return tf.keras.losses.CategoricalCrossentropy(from_logits=True, name="cross_entropy")
