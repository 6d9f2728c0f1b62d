"""The quantile forecaster: what a network adds to the last season, and how far the levels lie around it.

The Keras model of the epidemic scenarios. TensorFlow is imported inside the functions, so that a scenario can be read
where there is no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from fl_tasks.contracts.config import LearningConfig
from fl_tasks.contracts.errors import ConfigError

# TensorFlow comes without types, and is not installed where types are checked: these names are for readers.
KerasModel: TypeAlias = Any
KerasLoss: TypeAlias = Any
KerasTensor: TypeAlias = Any

# One seed for each weight that starts at random; biases start at fixed values.
_SEEDS = 3
# Small, so that an untrained model is near the naive forecast; softplus(-3) is a gap of 0.05 between two levels.
_FIRST_WEIGHTS, _FIRST_GAP = 0.01, -3.0


def build_model(
    learning: LearningConfig,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    *,
    quantiles: Sequence[float],
    season: int,
) -> KerasModel:
    """Return an uncompiled Keras model: median = the last season again + correction; levels = median + gaps.

    The hidden layer, Dense(units, relu), sees each value less the level, which is the mean of the last season, the
    level itself, and the calendar of the last step: so what one region learns of a wave holds for another, whatever
    its height. Gaps between neighbouring levels are softplus, summed from the median outwards: levels never cross.

    Args:
        learning: `model` (mlp), `units` and `seed` are read. The same seed gives the same initial weights, to the bit.
        input_shape: (steps, features) of one example; feature 0 is the forecast value.
        output_shape: (steps ahead,) of one example's truth.
        quantiles: The levels, ascending, the median in the middle.
        season: Steps of a season, at most the example's: 1 forecasts from the last value alone.

    Returns:
        A model of (n, steps, features) that gives (n, steps ahead, levels).

    Raises:
        ConfigError: If the shapes are not those of a series, there are no quantiles, or the model is not mlp.
    """
    if len(input_shape) != 2 or len(output_shape) != 1 or not 1 <= season <= input_shape[0]:
        raise ConfigError(
            f"a forecaster needs examples of shape (steps, features), with a season of {season} steps in them, and "
            f"targets of shape (steps,), got {input_shape} and {output_shape}; check input_steps of the scenario"
        )
    if not quantiles or learning.model != "mlp":
        raise ConfigError(
            f"fields data.quantiles and learning.model: got {len(quantiles)} levels and {learning.model!r}; this "
            "scenario needs quantiles and the model mlp"
        )
    import tensorflow as tf  # noqa: PLC0415

    # Seeds for the initializers only: a global seed would also fix whatever else draws in this process.
    seeds = [int(seed) for seed in np.random.SeedSequence(learning.seed).generate_state(_SEEDS) >> 1]
    ahead, middle = output_shape[0], len(quantiles) // 2
    window = tf.keras.Input(shape=input_shape, name="window")
    values = window[:, :, 0]
    last = values[:, -season:]
    level = tf.reduce_mean(last, axis=1, keepdims=True)
    seen = tf.concat([values - level, level, window[:, -1, 1:]], axis=1)
    hidden = tf.keras.layers.Dense(
        learning.units,
        activation="relu",
        kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seeds[0]),
        name="hidden",
    )(seen)
    correction = tf.keras.layers.Dense(ahead, kernel_initializer=_small(seeds[1]), name="correction")(hidden)
    gaps = tf.keras.layers.Dense(
        ahead * (len(quantiles) - 1),
        kernel_initializer=_small(seeds[2]),
        bias_initializer=tf.keras.initializers.Constant(_FIRST_GAP),
        name="gaps",
    )(hidden)
    gaps = tf.reshape(tf.math.softplus(gaps), [-1, ahead, len(quantiles) - 1])
    below = tf.cumsum(gaps[:, :, :middle], axis=2, reverse=True)
    above = tf.cumsum(gaps[:, :, middle:], axis=2)
    median = (tf.tile(last, [1, -(-ahead // season)])[:, :ahead] + correction)[:, :, None]
    return tf.keras.Model(window, tf.concat([median - below, median, median + above], axis=2), name="forecaster")


def loss(quantiles: Sequence[float]) -> KerasLoss:
    """Return the training loss: the pinball loss, mean over steps and levels; half the weighted interval score.

    In the model's scale. Source: Koenker and Bassett 1978, https://doi.org/10.2307/1913643
    """
    import tensorflow as tf  # noqa: PLC0415

    class PinballLoss(tf.keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
            levels = tf.constant(list(quantiles), y_pred.dtype)
            error = y_true[:, :, None] - y_pred
            return tf.reduce_mean(tf.maximum(levels * error, (levels - 1.0) * error), axis=[1, 2])

    return PinballLoss(name="pinball_loss")


def _small(seed: int) -> Any:  # noqa: ANN401 - a Keras initializer, see KerasModel
    import tensorflow as tf  # noqa: PLC0415

    return tf.keras.initializers.RandomNormal(stddev=_FIRST_WEIGHTS, seed=seed)
