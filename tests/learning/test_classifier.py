"""The classifiers of the table scenarios: their layers, their loss, and examples that no model takes."""

import numpy as np
import pytest

from fl_tasks.contracts.config import LearningConfig, OptimizerConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.scenarios import classifier

SHAPES = {"logistic": (5,), "mlp": (5,), "cnn": (6, 6, 1)}
UNITS = {"logistic": 1, "mlp": 4, "cnn": 4}
CLASSES = (3,)


def learning(model, seed=1, units=None):
    optimizer = OptimizerConfig(name="sgd", learning_rate=0.1)
    return LearningConfig(
        model=model,
        units=units or UNITS.get(model, 4),
        local_epochs=1,
        batch_size=8,
        client_optimizer=optimizer,
        server_optimizer=optimizer,
        seed=seed,
    )


def built(model, seed=1):
    return classifier.build_model(learning(model, seed), SHAPES[model], CLASSES)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(9, *shape)).astype(np.float32)


def with_biases(model):
    """A model whose biases are not zero, so that leaving one out shows."""
    made = built(model)
    for variable in made.trainable_weights[1::2]:
        variable.assign(np.linspace(-1.0, 1.0, variable.shape[0]))
    return made, [variable.numpy() for variable in made.trainable_weights]


def test_logistic_gives_the_logits_of_a_linear_regression():
    made, (kernel, bias) = with_biases("logistic")
    x = drawn((5,))
    np.testing.assert_allclose(made(x), x @ kernel + bias, atol=1e-6)


def test_mlp_has_one_hidden_layer_of_units():
    made, (kernel, bias, last, end) = with_biases("mlp")
    x = drawn((5,))
    np.testing.assert_allclose(made(x), np.maximum(x @ kernel + bias, 0.0) @ last + end, atol=1e-6)
    assert kernel.shape == (5, 4)


def test_cnn_looks_at_three_by_three_pixels_with_each_filter():
    made, (kernel, bias, last, end) = with_biases("cnn")
    x = drawn((6, 6, 1))
    windows = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), axis=(1, 2))
    filtered = np.maximum(np.einsum("nhwij,ijf->nhwf", windows, kernel[:, :, 0]) + bias, 0.0)
    np.testing.assert_allclose(made(x), filtered.reshape(9, -1) @ last + end, atol=1e-5)


def test_the_classic_first_example_has_its_layers():
    made = classifier.build_model(learning("cnn", units=32), (28, 28, 1), (10,))
    assert [variable.shape.as_list() for variable in made.trainable_weights] == [
        *([3, 3, 1, 32], [32]),
        *([26 * 26 * 32, 10], [10]),
    ]


@pytest.mark.parametrize("model", SHAPES)
def test_the_seed_decides_every_initial_weight(model):
    one, same, other = (built(model, seed).get_weights() for seed in (1, 1, 2**31 - 1))
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert (first == third).all() == (not first.any())


def test_two_layers_of_one_shape_do_not_start_alike():
    first, _, last, _ = classifier.build_model(learning("mlp", units=3), (3,), (3,)).get_weights()
    assert first.shape == last.shape
    assert not np.isclose(first, last).any()


def test_the_loss_is_the_mean_surprise_in_nats_of_the_true_class():
    logits = drawn(CLASSES)
    y = np.eye(3, dtype=np.float32)[np.arange(9) % 3]
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log((chance * y).sum(axis=1)).mean()
    assert float(classifier.loss()(y, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [
        ("logistic", (5, 2), (3,)),
        ("mlp", (6, 6, 1), (3,)),
        ("cnn", (5,), (3,)),
        ("mlp", (5,), (3, 1)),
        ("gru", (5,), (3,)),
    ],
)
def test_examples_that_the_model_does_not_take_are_refused(model, inputs, outputs):
    with pytest.raises(ConfigError, match=f"{model} does not classify"):
        classifier.build_model(learning(model), inputs, outputs)


def test_a_hidden_layer_of_a_logistic_regression_is_refused():
    with pytest.raises(ConfigError, match="needs 1"):
        classifier.build_model(learning("logistic", units=16), (5,), (3,))


def table(**changes):
    columns = [{"column": "age", "role": "feature", "kind": "numeric", "minimum": 0.0, "maximum": 120.0}]
    columns.append({"column": "poor", "role": "target", "values": ["no", "yes"]})
    return TableConfig.model_validate(
        {
            "kind": "table",
            "columns": tuple(columns),
            "classes": ("no", "yes"),
            "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
            "quality": {"min_rows": 1, "min_completeness": 0.0, "max_quarantined": 1.0},
            **changes,
        },
        strict=False,
    )


def test_records_have_the_features_that_the_survey_agreed_on():
    assert classifier.shapes(table(), Preparation(features=("age", "sex=f", "sex=m"))) == ((3,), (2,))
    with pytest.raises(ConfigError, match="no preparation"):
        classifier.shapes(table())


def test_pictures_have_one_channel_of_the_side_that_the_model_sees():
    config = table(image={"height": 1, "width": 1, "side": 28, "maximum": 16.0})
    assert classifier.shapes(config) == ((28, 28, 1), (2,))
