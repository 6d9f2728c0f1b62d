"""The residual forecaster of the traffic scenarios."""

import numpy as np
import pytest

from fl_tasks.contracts.config import LearningConfig, OptimizerConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.scenarios import forecaster


def learning(model, seed=1):
    optimizer = OptimizerConfig(name="sgd", learning_rate=0.1)
    return LearningConfig(
        model=model,
        units=4,
        local_epochs=1,
        batch_size=8,
        client_optimizer=optimizer,
        server_optimizer=optimizer,
        seed=seed,
    )


@pytest.mark.parametrize("model", ["gru", "mlp"])
def test_the_forecast_is_the_last_value_plus_a_correction(model):
    built = forecaster.build_model(learning(model))
    x = np.random.default_rng(0).normal(size=(5, 12, 3)).astype(np.float32)
    assert not np.allclose(built(x), np.repeat(x[:, -1, :1], 3, axis=1))
    *_, kernel, bias = built.trainable_weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(built(x), x[:, -1, :1] + [1.0, 2.0, 3.0], rtol=1e-6)


@pytest.mark.parametrize("model", ["gru", "mlp"])
def test_the_seed_decides_every_initial_weight(model):
    one, same, other = (forecaster.build_model(learning(model, seed)).get_weights() for seed in (1, 1, 2**31 - 1))
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert (first == third).all() == (not first.any())


@pytest.mark.parametrize(("inputs", "outputs"), [((12,), (3,)), ((12, 3), (3, 1))])
def test_shapes_that_are_no_series_are_refused(inputs, outputs):
    with pytest.raises(ConfigError, match="steps, features"):
        forecaster.build_model(learning("mlp"), inputs, outputs)
