"""The quantile forecaster of the epidemic scenarios, and a training and a prediction job with quantiles."""

import json

import numpy as np
import pytest

from fl_tasks.contracts.config import LearningConfig, OptimizerConfig
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.learning.__main__ import main
from fl_tasks.learning.runtime import tf
from fl_tasks.scenarios import quantile_forecaster

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def learning(model="mlp", seed=1):
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


def build(seed=1, season=7, inputs=(10, 3), outputs=(14,), model="mlp", quantiles=LEVELS):
    return quantile_forecaster.build_model(learning(model, seed), inputs, outputs, quantiles=quantiles, season=season)


def windows(n=6):
    return np.random.default_rng(0).uniform(0, 5, size=(n, 10, 3)).astype(np.float32)


def test_an_untrained_forecast_is_nearly_the_last_season_again():
    x = windows()
    for season in (1, 7):
        median = build(season=season)(x).numpy()[..., 2]
        repeated = np.tile(x[:, -season:, 0], (1, 14))[:, :14]
        np.testing.assert_allclose(median, repeated, atol=0.3)


def test_levels_never_cross_whatever_the_weights_are():
    built = build()
    draw = np.random.default_rng(3)
    for variable in built.trainable_weights:
        variable.assign(draw.normal(0, 3, variable.shape))
    found = built(windows()).numpy()
    assert found.shape == (6, 14, 5)
    assert (np.diff(found, axis=-1) >= 0).all()
    assert np.abs(np.diff(found, axis=-1)).max() > 1


def test_a_wave_of_another_height_looks_alike_but_for_its_level():
    built, x = build(), windows()
    kernel = built.trainable_weights[0]
    changed = kernel.numpy()
    changed[10] = 0.0  # the row of the level
    kernel.assign(changed)
    higher = x.copy()
    higher[:, :, 0] += 100.0
    np.testing.assert_allclose(built(higher), built(x).numpy() + 100.0, rtol=1e-4)


def test_the_loss_is_half_the_weighted_interval_score():
    draw = np.random.default_rng(2)
    y, forecast = draw.normal(size=(8, 14)), np.sort(draw.normal(size=(8, 14, 5)), axis=-1)
    found = quantile_forecaster.loss(LEVELS)(tf.constant(y, tf.float32), tf.constant(forecast, tf.float32))
    total = 0.5 * np.abs(y - forecast[..., 2])
    for k in (0, 1):
        alpha, low, high = 2 * LEVELS[k], forecast[..., k], forecast[..., -1 - k]
        total += alpha / 2 * (high - low) + np.maximum(low - y, 0) + np.maximum(y - high, 0)
    assert float(found) == pytest.approx((total / 2.5).mean() / 2, rel=1e-5)


def test_the_seed_decides_every_initial_weight():
    one, same, other = (build(seed).get_weights() for seed in (1, 1, 2**31 - 1))
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert (first == third).all() == (len(set(first.ravel())) == 1)  # biases start at one value


@pytest.mark.parametrize(
    "changed",
    [{"inputs": (10,)}, {"outputs": (3, 1)}, {"season": 11}, {"quantiles": ()}, {"model": "gru"}],
)
def test_what_does_not_fit_is_refused(changed):
    with pytest.raises(ConfigError):
        build(**changed)


def test_a_training_job_lowers_the_pinball_loss_and_a_prediction_has_an_axis_for_the_levels(tmp_path):
    draw = np.random.default_rng(4)
    level = draw.uniform(1, 3, (200, 1))
    values = (level + 0.3 * np.arange(24) / 24 + draw.normal(0, 0.1, (200, 24))).astype(np.float32)
    for part, rows in (("fit", slice(0, 160)), ("test", slice(160, 200))):
        (tmp_path / part).mkdir()
        np.save(tmp_path / part / "x.npy", np.stack([values[rows, :10]] * 3, axis=2))
        np.save(tmp_path / part / "y.npy", values[rows, 10:])
    model = {
        "scenario": "epidemic",
        "learning": {
            **learning().model_dump(mode="json"),
            "local_epochs": 5,
            "client_optimizer": {"name": "adam", "learning_rate": 0.01},
        },
        "input_shape": [10, 3],
        "output_shape": [14],
        "quantiles": list(LEVELS),
    }
    paths = {name: str(tmp_path / name) for name in ("fit", "test", "w.npz", "s.npz", "d.npz", "p.npz")}
    jobs = {
        "init": {"weights_out": paths["w.npz"], "state_out": paths["s.npz"]},
        "train": {
            "weights": paths["w.npz"],
            "examples": paths["fit"],
            "validation_examples": paths["test"],
            "shuffle_seed": 1,
            "delta_out": paths["d.npz"],
        },
        "predict": {
            "weights": {"federated": paths["w.npz"]},
            "local_only": {
                "initial_weights": paths["w.npz"],
                "examples": paths["fit"],
                "epochs": 10,
                "shuffle_seed": 1,
            },
            "examples": paths["test"],
            "predictions_out": paths["p.npz"],
        },
    }
    for kind, fields in jobs.items():
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps({"job": {"kind": kind, "model": model, **fields}}))
        assert main([str(path)]) == 0
    y = np.load(tmp_path / "test" / "y.npy")
    with np.load(tmp_path / "p.npz") as found:
        losses = {}
        for name in ("federated", "local_only"):
            assert found[name].shape == (40, 14, 5)
            error = y[..., None] - found[name]
            losses[name] = np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1) * error).mean()
    assert losses["local_only"] < 0.7 * losses["federated"]
    validation = json.loads((tmp_path / "train.json.result.json").read_text())["validation_loss"]
    assert validation == pytest.approx(losses["federated"], rel=1e-4)
