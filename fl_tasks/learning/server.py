"""The coordinator's part of learning: the initial model, and one server step on the weighted mean delta.

The step is TensorFlow Federated's own optimizer, called eagerly: new weights = next(state, weights, mean delta).
Its state is kept as named arrays, e.g. yogi/004: the optimizer, and the place in TFF's own flat order.

Source: Reddi et al. 2021, Adaptive Federated Optimization, https://arxiv.org/abs/2003.00295
"""

from __future__ import annotations

import numpy as np

from fl_tasks.contracts.errors import LearningFailed
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import MalformedTensors, Tensors
from fl_tasks.learning.model import build_keras_model, named, ordered, tensors_of, weight_names
from fl_tasks.learning.optimizers import build_optimizer
from fl_tasks.learning.runtime import KerasModel, OptimizerState, tf


def initial(spec: ModelSpec) -> tuple[Tensors, Tensors]:
    """Return the model of round 0 and the server optimizer's initial state; the same bytes for the same seed."""
    keras_model = build_keras_model(spec)
    return tensors_of(keras_model), _saved(spec, _fresh_state(spec, keras_model))


def step(spec: ModelSpec, weights: Tensors, state: Tensors, delta: Tensors) -> tuple[Tensors, Tensors]:
    """Apply one round's mean delta to the model.

    Args:
        spec: The model; its server optimizer is used.
        weights: Model of the round before.
        state: Optimizer state of the round before.
        delta: Weighted mean of the agencies' deltas (initial minus trained), in the names of the weights.

    Returns:
        Weights and optimizer state of this round.

    Raises:
        MalformedTensors: If the arrays are not the model's, or the state is another optimizer's.
        LearningFailed: If the new weights are not finite.
    """
    keras_model = build_keras_model(spec)
    new_state, new_weights = build_optimizer(spec.learning.server_optimizer).next(
        _restored(spec, state, _fresh_state(spec, keras_model)),
        ordered(weights, keras_model, source="weights"),
        ordered(delta, keras_model, source="mean delta"),
    )
    result = named(weight_names(keras_model), new_weights)
    if not all(np.isfinite(array).all() for array in result.values()):
        raise LearningFailed(
            f"scenario {spec.scenario}: the server step gave weights that are not finite; "
            "lower the server optimizer's learning_rate"
        )
    return result, _saved(spec, new_state)


def _fresh_state(spec: ModelSpec, keras_model: KerasModel) -> OptimizerState:
    """Return the optimizer's initial state with every leaf a tensor, as TFF's own server keeps it."""
    specs = [tf.TensorSpec(variable.shape, variable.dtype) for variable in keras_model.trainable_weights]
    return tf.nest.map_structure(
        tf.convert_to_tensor, build_optimizer(spec.learning.server_optimizer).initialize(specs)
    )


def _saved(spec: ModelSpec, state: OptimizerState) -> Tensors:
    name = spec.learning.server_optimizer.name
    return {f"{name}/{index:03d}": np.asarray(leaf) for index, leaf in enumerate(tf.nest.flatten(state))}


def _restored(spec: ModelSpec, saved: Tensors, fresh: OptimizerState) -> OptimizerState:
    """Return a saved state in the structure of a fresh one; raises MalformedTensors.

    Learning rate and the like come from the configuration, their one place, and not from the file.
    """
    expected = _saved(spec, fresh)
    if {name: (array.shape, array.dtype) for name, array in saved.items()} != {
        name: (array.shape, array.dtype) for name, array in expected.items()
    }:
        raise MalformedTensors(
            f"server state: holds {sorted(saved)}, {spec.learning.server_optimizer.name} needs {sorted(expected)} "
            "with the model's shapes; a run keeps the server optimizer that it started with"
        )
    state = tf.nest.pack_sequence_as(fresh, [tf.constant(saved[name]) for name in sorted(expected)])
    optimizer = build_optimizer(spec.learning.server_optimizer)
    return optimizer.set_hparams(state, optimizer.get_hparams(fresh))
