"""The residual forecaster: what a network adds to the last value seen, for series on a fixed step.

The Keras model of the traffic scenarios. TensorFlow is imported inside the functions, so that a scenario can
be read where there is no TensorFlow.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from fl_tasks.contracts.config import LearningConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.series_config import SeriesConfig

# TensorFlow comes without types, and is not installed where types are checked: these names are for readers.
KerasModel: TypeAlias = Any
KerasLoss: TypeAlias = Any
KerasTensor: TypeAlias = Any

# One seed for each weight that starts at random; biases start at zero.
_SEEDS = 3

# Steps that are laid out one after another instead of looped over: a third faster. Longer windows loop, since every
# step laid out costs time at tracing and memory.
_MOST_UNROLLED = 24


def shapes(config: SeriesConfig) -> tuple[tuple[int, int], tuple[int]]:
    """Return the shapes of one example's x and y: (input steps, features) and (target steps,)."""
    return (config.input_steps, config.features), (config.target_steps,)


def build_model(
    learning: LearningConfig, input_shape: tuple[int, ...] = (12, 3), output_shape: tuple[int, ...] = (3,)
) -> KerasModel:
    """Return an uncompiled Keras model: forecast = last value of feature 0 + correction, for every step ahead.

    The correction is Dense(GRU(units)(x)) for `gru`, Dense(Dense(units, relu)(flat x)) for `mlp`. An untrained
    model is therefore near persistence, which is the baseline that it has to beat.

    Args:
        learning: `model`, `units` and `seed` are read. The same seed gives the same initial weights, to the bit.
        input_shape: (steps, features) of one example; feature 0 is the forecast value, scaled.
        output_shape: (steps ahead,) of one example, scaled like feature 0.

    Raises:
        ConfigError: If the shapes are not those of a series.
    """
    if len(input_shape) != 2 or len(output_shape) != 1:
        raise ConfigError(
            f"a forecaster needs examples of shape (steps, features) and targets of shape (steps,), "
            f"got {input_shape} and {output_shape}; check input_shape and output_shape of the job"
        )
    import tensorflow as tf  # noqa: PLC0415

    # Seeds for the initializers only: a global seed would also fix whatever else draws in this process.
    seeds = [int(seed) for seed in np.random.SeedSequence(learning.seed).generate_state(_SEEDS) >> 1]
    inputs = tf.keras.Input(shape=input_shape, name="window")
    if learning.model == "gru":
        hidden = tf.keras.layers.GRU(
            learning.units,
            kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seeds[0]),
            recurrent_initializer=tf.keras.initializers.Orthogonal(seed=seeds[1]),
            unroll=input_shape[0] <= _MOST_UNROLLED,
            name="gru",
        )(inputs)
    else:
        hidden = tf.keras.layers.Dense(
            learning.units,
            activation="relu",
            kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seeds[0]),
            name="hidden",
        )(tf.keras.layers.Flatten(name="flat")(inputs))
    correction = tf.keras.layers.Dense(
        output_shape[0],
        kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seeds[2]),
        name="correction",
    )(hidden)
    return tf.keras.Model(inputs, inputs[:, -1, 0:1] + correction, name="forecaster")


def loss() -> KerasLoss:
    """Return the training loss: squared error of each step ahead over its distance, averaged.

    The variance of what happens next grows about linearly with the distance. Unweighted, the far steps would take
    nearly all of the loss, and the near ones, which can be forecast best, would be learned last.
    In squares of the model's scale; weights 1/1, 1/2, ... scaled to mean 1.
    """
    import tensorflow as tf  # noqa: PLC0415

    class DistanceWeightedError(tf.keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
            weights = 1.0 / tf.range(1, y_pred.shape[-1] + 1, dtype=y_pred.dtype)
            return tf.reduce_mean(tf.square(y_pred - y_true) * weights / tf.reduce_mean(weights), axis=-1)

    return DistanceWeightedError(name="distance_weighted_error")
