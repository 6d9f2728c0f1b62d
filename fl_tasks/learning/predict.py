"""Predictions on held-back examples: of the federated model, and of one trained on an agency's data alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.errors import LearningFailed
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.learning.client import local_training
from fl_tasks.learning.examples import Examples
from fl_tasks.learning.model import build_keras_model, build_loss, ordered
from fl_tasks.learning.runtime import KerasModel, TensorFlowValue, tf

# Examples predicted at once; every batch gives the same numbers, this bounds memory only.
_BATCH = 4096


def local_only(spec: ModelSpec, initial_weights: Tensors, fit: Examples, *, epochs: int, seed: int) -> Tensors:
    """Return the weights an agency reaches alone: the same start, client optimizer and number of passes.

    Args:
        spec: The model.
        initial_weights: The model of round 0.
        fit: The agency's own examples.
        epochs: Rounds x local epochs of the federated training; the optimizer's state is kept throughout.
        seed: Decides the order of the examples.

    Raises:
        MalformedTensors, LearningFailed: As LocalTraining.run.
    """
    training = local_training(spec)
    return training.trained(initial_weights, training.run(initial_weights, fit, epochs=epochs, seed=seed))


def mean_loss(spec: ModelSpec, weights: Tensors, examples: Examples) -> float:
    """Return the scenario's loss of a model, mean over examples that it was not trained on.

    Raises:
        MalformedTensors: If the weights are not the model's.
        LearningFailed: If the loss is not finite.
    """
    loss = build_loss(spec)
    predictions = predict(spec, weights, examples.x)
    # In parts, as the predictions are: the mean of the parts by their sizes is the mean of all.
    total = 0.0
    for start in range(0, len(examples), _BATCH):
        y = examples.y[start : start + _BATCH]
        total += float(loss(tf.constant(y), tf.constant(predictions[start : start + _BATCH]))) * len(y)
    mean = total / len(examples)
    if not math.isfinite(mean):
        raise LearningFailed(
            f"scenario {spec.scenario}: the validation loss is not finite; check the validation examples"
        )
    return mean


def predict(spec: ModelSpec, weights: Tensors, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a model's predictions for x, shape (n, *output_shape), with quantiles one more axis, in the scale of y.

    Raises:
        MalformedTensors: If the weights are not the model's.
        LearningFailed: If a prediction is not finite.
    """
    keras_model, forward = _forward(spec.model_dump_json())
    for variable, value in zip(
        keras_model.trainable_weights, ordered(weights, keras_model, source="weights"), strict=True
    ):
        variable.assign(value)
    parts = [forward(tf.constant(x[start : start + _BATCH])).numpy() for start in range(0, len(x), _BATCH)]
    result: NDArray[np.float32] = np.concatenate(parts)
    if not np.isfinite(result).all():
        raise LearningFailed(
            f"scenario {spec.scenario}: {int((~np.isfinite(result)).sum())} predictions are not finite; "
            "check the examples for values that are not finite"
        )
    return result


@lru_cache(maxsize=4)
def _forward(spec: str) -> tuple[KerasModel, Callable[[TensorFlowValue], TensorFlowValue]]:
    """Return a model and its traced prediction, which reads the model's weights as they are when it is called."""
    model = ModelSpec.model_validate_json(spec)
    keras_model = build_keras_model(model)
    forward = tf.function(
        lambda x: keras_model(x, training=False),
        input_signature=[tf.TensorSpec((None, *model.input_shape), tf.float32)],
    )
    return keras_model, forward
