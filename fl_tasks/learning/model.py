"""From a model specification to TensorFlow Federated's model, and between its weights and named arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_tasks import scenarios
from fl_tasks.contracts.errors import LearningFailed
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import MalformedTensors, Tensors
from fl_tasks.learning.runtime import KerasLoss, KerasModel, TensorFlowValue, VariableModel, tf, tff


def build_keras_model(spec: ModelSpec) -> KerasModel:
    """Return the scenario's Keras model with its initial weights.

    Raises:
        LearningFailed: If it has weights that training does not change: they would never be shared.
    """
    scenario = scenarios.load(spec.scenario)
    model = scenario.build_model(spec.learning, spec.input_shape, spec.output_shape, **_levels(spec))
    if model.non_trainable_weights:
        raise LearningFailed(
            f"scenario {spec.scenario}: the model has {len(model.non_trainable_weights)} non-trainable weights, which "
            "no agency shares; use layers without them (group instead of batch normalization)"
        )
    return model


def build_loss(spec: ModelSpec) -> KerasLoss:
    """Return the scenario's training loss, of y and of the model's predictions, mean over a batch."""
    return scenarios.load(spec.scenario).loss(**_levels(spec))


def _levels(spec: ModelSpec) -> dict[str, tuple[float, ...]]:
    """Return what a scenario with quantiles is told beside the shapes."""
    return {"quantiles": spec.quantiles} if spec.quantiles else {}


def build_tff_model(spec: ModelSpec, keras_model: KerasModel) -> VariableModel:
    """Return a `tff.learning.models.VariableModel` around a Keras model, for batches of any size."""
    return tff.learning.models.from_keras_model(
        keras_model,
        loss=build_loss(spec),
        input_spec=(
            tf.TensorSpec((None, *spec.input_shape), tf.float32),
            tf.TensorSpec((None, *spec.output_shape), tf.float32),
        ),
    )


def weight_names(keras_model: KerasModel) -> list[str]:
    """Return the names of the weights, e.g. 000/gru/kernel: their sorted order is Keras' order.

    Only the layer's own name and the weight's are used: Keras numbers what lies between by how many models
    the process has built before.
    """
    paths = (variable.name.split(":")[0].split("/") for variable in keras_model.trainable_weights)
    return [f"{index:03d}/{path[0]}/{path[-1]}" for index, path in enumerate(paths)]


def tensors_of(keras_model: KerasModel) -> Tensors:
    """Return a copy of the weights as named float32 arrays."""
    return named(weight_names(keras_model), keras_model.trainable_weights)


def named(names: list[str], values: Sequence[TensorFlowValue]) -> Tensors:
    """Return values in Keras' order (variables, tensors or arrays) as named float32 arrays."""
    return {name: np.array(value, dtype=np.float32) for name, value in zip(names, values, strict=True)}


def ordered(tensors: Tensors, keras_model: KerasModel, *, source: str) -> list[TensorFlowValue]:
    """Return named arrays as constants in Keras' order.

    Args:
        tensors: Weights, or values parallel to weights.
        keras_model: Whose weights they must fit.
        source: Where they came from, for the message.

    Raises:
        MalformedTensors: If a name, shape or dtype is not the model's, or a value is not finite.
    """
    names = weight_names(keras_model)
    if sorted(tensors) != sorted(names):
        raise MalformedTensors(f"{source}: holds {sorted(tensors)}, the model needs {names}")
    for name, variable in zip(names, keras_model.trainable_weights, strict=True):
        array, shape = tensors[name], tuple(variable.shape)
        if array.shape != shape or array.dtype != np.float32:
            raise MalformedTensors(
                f"{source}: {name} is {array.dtype} of shape {array.shape}, the model needs float32 of shape {shape}"
            )
        if not np.isfinite(array).all():
            raise MalformedTensors(f"{source}: {name} holds values that are not finite")
    return [tf.constant(tensors[name]) for name in names]
