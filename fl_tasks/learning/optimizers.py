"""TensorFlow Federated's own optimizers, by the names of the configuration."""

from __future__ import annotations

from fl_tasks.contracts.config import OptimizerConfig
from fl_tasks.learning.runtime import Optimizer, tff


def build_optimizer(config: OptimizerConfig) -> Optimizer:
    """Return the `tff.learning.optimizers.Optimizer` of a configuration, other settings at TFF's defaults.

    Source: Reddi et al. 2021, Adaptive Federated Optimization, https://arxiv.org/abs/2003.00295
    """
    builders = {
        "sgd": tff.learning.optimizers.build_sgdm,
        "adam": tff.learning.optimizers.build_adam,
        "yogi": tff.learning.optimizers.build_yogi,
    }
    return builders[config.name](learning_rate=config.learning_rate)
