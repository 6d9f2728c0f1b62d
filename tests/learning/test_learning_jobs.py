"""`python -m fl_tasks.learning job.json`: what each job leaves, and what it refuses."""

import json

import numpy as np
import pytest

from fl_tasks.contracts.jobs import JobResult, ModelSpec
from fl_tasks.contracts.tensors import load_tensors, save_tensors
from fl_tasks.learning.__main__ import main
from fl_tasks.learning.client import LocalTraining
from fl_tasks.learning.examples import open_examples


def do(desk, kind, **fields):
    return main([str(desk.job(kind, **fields))])


def spec(desk):
    return ModelSpec.model_validate_json(json.dumps(json.loads(desk.job("init").read_text())["job"]["model"]))


def by_hand(weights, x):
    """Return the MLP's forecast in numpy: last value + correction."""
    first, first_bias, last, last_bias = (weights[name] for name in sorted(weights))
    hidden = np.maximum(x.reshape(len(x), -1) @ first + first_bias, 0)
    return x[:, -1, :1] + hidden @ last + last_bias


def loss_by_hand(predictions, y):
    """Return the squared error of each of the three steps ahead over its distance, weights of mean 1."""
    weights = np.array([1.0, 1 / 2, 1 / 3]) / np.mean([1.0, 1 / 2, 1 / 3])
    return float(np.mean((predictions - y) ** 2 * weights))


def test_four_jobs_make_a_round_and_its_evaluation(desk):
    desk.examples("fit")
    test = desk.examples("test", count=7)
    assert [do(desk, kind) for kind in ("init", "train", "server", "predict")] == [0, 0, 0, 0]
    results = {kind: JobResult.model_validate(desk.result(kind)) for kind in ("init", "train", "server", "predict")}
    assert results["train"].examples == 21
    assert {result.parameters for result in results.values()} == {4 * 2 * 6 + 6 + 6 * 3 + 3}
    before, delta, after = (load_tensors(desk.folder / f"{name}.npz") for name in ("weights", "delta", "weights1"))
    assert list(before) == ["000/hidden/kernel", "001/hidden/bias", "002/correction/kernel", "003/correction/bias"]
    assert all((np.sign(before[name] - after[name]) == np.sign(delta[name])).all() for name in before)
    predictions = load_tensors(desk.folder / "predictions.npz")
    assert {array.dtype for array in predictions.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(predictions["federated"], by_hand(after, test["x"]), atol=1e-5)


def test_local_only_keeps_one_optimizer_state_over_all_its_passes(desk):
    desk.examples("fit")
    test = desk.examples("test", count=7)
    do(desk, "init")
    do(desk, "predict", weights={"federated": "weights.npz"})
    initial = load_tensors(desk.folder / "weights.npz")
    training = LocalTraining(spec(desk))
    once = training.run(initial, open_examples(desk.folder / "fit", spec(desk)), epochs=3, seed=9)
    local_only = load_tensors(desk.folder / "predictions.npz")["local_only"]
    np.testing.assert_allclose(local_only, by_hand(training.trained(initial, once), test["x"]), atol=1e-5)
    restarted = initial
    for _ in range(3):
        part = training.run(restarted, open_examples(desk.folder / "fit", spec(desk)), epochs=1, seed=9)
        restarted = training.trained(restarted, part)
    assert not np.allclose(local_only, by_hand(restarted, test["x"]), atol=1e-3)


def test_a_model_with_own_inputs_reads_those_and_every_other_one_the_examples(desk):
    desk.examples("fit")
    test, own = desk.examples("test", count=7), desk.examples("own", count=8)
    do(desk, "init")
    both = {"federated": "weights.npz", "champion": "weights.npz"}
    assert do(desk, "predict", weights=both, inputs={"champion": "own"}, local_only=None) == 0
    weights, predictions = (load_tensors(desk.folder / f"{name}.npz") for name in ("weights", "predictions"))
    np.testing.assert_allclose(predictions["federated"], by_hand(weights, test["x"]), atol=1e-5)
    np.testing.assert_allclose(predictions["champion"], by_hand(weights, own["x"]), atol=1e-5)


def test_loss_is_the_mean_over_examples_and_not_over_batches(desk):
    desk.learning = {"client_optimizer": {"name": "sgd", "learning_rate": 1e-9}, "local_epochs": 2}

    def last_example_is_far_off(arrays):
        arrays["y"][:5] += 10

    arrays = desk.examples("fit", change=last_example_is_far_off)
    do(desk, "init")
    assert do(desk, "train") == 0
    weights = load_tensors(desk.folder / "weights.npz")
    expected = loss_by_hand(by_hand(weights, arrays["x"]), arrays["y"])
    assert desk.result("train")["loss"] == pytest.approx(expected, rel=1e-4)
    assert desk.result("train")["examples"] == 21


def test_a_second_training_in_one_process_reports_its_own_loss(desk):
    desk.examples("fit")
    do(desk, "init")
    weights, examples = load_tensors(desk.folder / "weights.npz"), open_examples(desk.folder / "fit", spec(desk))
    training = LocalTraining(spec(desk))
    first = training.run(weights, examples, epochs=1, seed=1)
    second = training.run(training.trained(weights, first), examples, epochs=1, seed=1)
    alone = LocalTraining(spec(desk)).run(training.trained(weights, first), examples, epochs=1, seed=1)
    assert second.loss == alone.loss < first.loss


def refused(desk, capsys, code, kind="train", **fields):
    """Check that a job ends with exit code 10, a coded message and no result, and return the message."""
    capsys.readouterr()
    assert do(desk, kind, **fields) == 10
    error = capsys.readouterr().err
    assert error.startswith(f"{code}: ")
    assert not (desk.folder / f"{kind}.json.result.json").exists()
    return error


def plant(key, value):
    def change(arrays):
        arrays[key][3, ...] = value

    return change


@pytest.mark.parametrize("key", ["x", "y"])
def test_a_delta_that_is_not_finite_is_refused(desk, capsys, key):
    desk.examples("fit", change=plant(key, np.nan))
    do(desk, "init")
    assert "diverged" in refused(desk, capsys, "LearningFailed")
    assert not (desk.folder / "delta.npz").exists()


def test_a_loss_that_is_not_finite_is_refused_with_a_finite_delta(desk, capsys):
    desk.learning = {"client_optimizer": {"name": "sgd", "learning_rate": 1e-9}}
    # Its square is beyond float32, its gradient is not.
    desk.examples("fit", change=plant("y", 1e20))
    do(desk, "init")
    assert "diverged" in refused(desk, capsys, "LearningFailed")


def test_predictions_that_are_not_finite_are_refused(desk, capsys):
    desk.examples("fit")
    desk.examples("test", change=plant("x", np.inf))
    do(desk, "init")
    assert "the examples" in refused(desk, capsys, "LearningFailed", "predict", weights={"federated": "weights.npz"})
    assert not (desk.folder / "predictions.npz").exists()


def lose_a_target(arrays):
    arrays["y"] = arrays["y"][:-1]


def lose_a_feature(arrays):
    arrays["x"] = arrays["x"][..., :1]


def widen(arrays):
    arrays["x"] = arrays["x"].astype(np.float64)


def empty(arrays):
    arrays["x"], arrays["y"] = arrays["x"][:0], arrays["y"][:0]


@pytest.mark.parametrize("change", [lose_a_target, lose_a_feature, widen, empty])
def test_examples_that_do_not_fit_the_model_are_refused(desk, capsys, change):
    desk.examples("fit", change=change)
    do(desk, "init")
    assert "x.npy" in refused(desk, capsys, "InputError")


def test_examples_that_are_pickled_are_refused(desk, capsys):
    desk.examples("fit")
    do(desk, "init")
    np.save(desk.folder / "fit" / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused(desk, capsys, "InputError")


@pytest.mark.parametrize("missing", ["weights.npz", "fit/y.npy"])
def test_a_missing_file_is_named(desk, capsys, missing):
    desk.examples("fit")
    do(desk, "init")
    (desk.folder / missing).unlink()
    assert missing in refused(desk, capsys, "MissingInput")


def test_weights_of_another_model_are_refused(desk, capsys):
    desk.examples("fit")
    desk.learning = {"units": 7}
    do(desk, "init")
    desk.learning = {}
    assert "000/hidden/kernel" in refused(desk, capsys, "MalformedTensors")


def test_a_mean_delta_that_is_not_finite_is_refused(desk, capsys):
    do(desk, "init")
    delta = load_tensors(desk.folder / "weights.npz")
    delta["001/hidden/bias"][0] = np.nan
    save_tensors(desk.folder / "delta.npz", delta)
    assert "001/hidden/bias" in refused(desk, capsys, "MalformedTensors", "server")
    assert not (desk.folder / "weights1.npz").exists()


def test_the_state_of_another_server_optimizer_is_refused(desk, capsys):
    desk.examples("fit")
    do(desk, "init")
    do(desk, "train")
    # Adam's state has the same shapes as Yogi's.
    desk.learning = {"server_optimizer": {"name": "adam", "learning_rate": 0.05}}
    assert "adam needs" in refused(desk, capsys, "MalformedTensors", "server")


def test_the_server_takes_its_learning_rate_from_the_configuration_alone(desk):
    desk.examples("fit")
    do(desk, "init")
    do(desk, "train")
    do(desk, "server")
    state = load_tensors(desk.folder / "state.npz")
    rates = [name for name, array in state.items() if array.shape == () and np.isclose(array, 0.05)]
    assert len(rates) == 1
    save_tensors(desk.folder / "state.npz", state | {rates[0]: np.float32(9.0)})
    expected = desk.bytes("weights1.npz")
    do(desk, "server")
    assert desk.bytes("weights1.npz") == expected


def test_an_unknown_field_of_the_job_file_is_named_and_an_old_result_removed(desk, capsys):
    desk.examples("fit")
    do(desk, "init")
    do(desk, "train")
    assert desk.result("train")
    assert "examlpes" in refused(desk, capsys, "ConfigError", examlpes="fit")


def test_several_models_are_judged_on_one_set_of_examples_that_needs_no_targets(desk):
    desk.examples("fit")
    test = desk.examples("test", 9)
    (desk.folder / "test" / "y.npy").unlink()
    for kind in ("init", "train", "server"):
        do(desk, kind)
    weights = {"federated": "weights1.npz", "champion": "weights.npz"}
    do(desk, "predict", weights=weights, local_only=None)
    predictions = load_tensors(desk.folder / "predictions.npz")
    assert sorted(predictions) == ["champion", "federated"]
    for name, file in weights.items():
        expected = by_hand(load_tensors(desk.folder / file), test["x"])
        np.testing.assert_allclose(predictions[name], expected, atol=1e-5)


def test_the_validation_loss_is_that_of_the_model_before_training(desk):
    desk.examples("fit")
    held = desk.examples("validation", 5000)  # more than are predicted at once
    do(desk, "init")
    do(desk, "train")
    assert desk.result("train")["validation_loss"] is None
    delta = desk.bytes("delta.npz")
    do(desk, "train", validation_examples="validation")
    predictions = by_hand(load_tensors(desk.folder / "weights.npz"), held["x"])
    expected = loss_by_hand(predictions, held["y"])
    assert desk.result("train")["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert desk.bytes("delta.npz") == delta
