"""One agency's local training: TensorFlow Federated's client update of federated averaging, called directly.

    weights (round r-1) --+
                          |-> TFF client update: epochs x batches -> trained
    examples, seed -------+                                            |
                                     delta = weights - trained <-------+

Called as a function, and not through TFF's executor, it runs in this process only. tests/parity holds it, the
weighted mean and the server step to `tff.learning.algorithms.build_weighted_fed_avg`.

Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from tensorflow_federated.python.learning.templates import model_delta_client_work

from fl_tasks.contracts.errors import LearningFailed
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.tensors import Tensors
from fl_tasks.learning.examples import Examples, batches
from fl_tasks.learning.model import build_keras_model, build_tff_model, named, ordered, weight_names
from fl_tasks.learning.optimizers import build_optimizer
from fl_tasks.learning.runtime import tff


@dataclass(frozen=True)
class LocalUpdate:
    """What training on one agency's examples gave; it stays at the agency.

    Attributes:
        delta: Initial minus trained weights, float32, in the names of the weights: a gradient to the server.
        examples: Examples, counted once. TFF weighs by examples x epochs; as all agencies do as many epochs,
            the weighted mean is the same.
        loss: Mean over the examples of all passes, each at the weights before its batch's step.
    """

    delta: Tensors
    examples: int
    loss: float


def local_training(spec: ModelSpec) -> LocalTraining:
    """Return the local training of a model; a process keeps what it has traced for the last few models."""
    return _traced(spec.model_dump_json())


@lru_cache(maxsize=4)
def _traced(spec: str) -> LocalTraining:
    return LocalTraining(ModelSpec.model_validate_json(spec))


class LocalTraining:
    """A model and its client update, traced at the first call and used for any number of agencies."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._optimizer = build_optimizer(spec.learning.client_optimizer)
        self.keras_model = build_keras_model(spec)
        self._model = build_tff_model(spec, self.keras_model)
        self._update = model_delta_client_work.build_model_delta_update_with_tff_optimizer(
            lambda: self._model,
            weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
            # Half the time of DATASET_REDUCE with the GRU of traffic_districts: `make bench NAME=training`.
            loop_implementation=tff.learning.LoopImplementation.DATASET_ITERATOR,
        )

    def run(self, weights: Tensors, examples: Examples, *, epochs: int, seed: int) -> LocalUpdate:
        """Train from given weights with a fresh optimizer state.

        Args:
            weights: The model to start from; not changed.
            examples: The agency's examples.
            epochs: Passes over them, from 1; one continuous optimizer state.
            seed: Decides the order of the examples. The same arguments give the same bytes.

        Raises:
            MalformedTensors: If the weights are not the model's.
            LearningFailed: If the delta or the loss is not finite. TFF would send zeros with weight 0 instead.
        """
        start = tff.learning.models.ModelWeights(ordered(weights, self.keras_model, source="weights"), [])
        data = batches(examples, size=self._spec.learning.batch_size, epochs=epochs, seed=seed)
        # Keras' metrics go on counting from the last call otherwise.
        self._model.reset_metrics()
        result, metrics = self._update(self._optimizer, start, data)
        total, count = (float(value) for value in metrics["loss"])
        loss = total / count if count else math.nan
        if float(result.update_weight) == 0.0 or not math.isfinite(loss):
            raise LearningFailed(
                f"scenario {self._spec.scenario}: training diverged, the model delta or the loss is not finite; "
                "lower the client optimizer's learning_rate, or check the examples for values that are not finite"
            )
        return LocalUpdate(named(weight_names(self.keras_model), result.update), len(examples), loss)

    def trained(self, weights: Tensors, update: LocalUpdate) -> Tensors:
        """Return the weights that a local training ended with."""
        return {name: np.subtract(weights[name], update.delta[name]) for name in weights}
