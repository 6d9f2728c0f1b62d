"""The benchmark of classifiers: what its figures are; how well anything is learned is never tested."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks import learning_tables


def test_a_row_gives_the_share_of_the_pooled_models_gain_over_the_baseline():
    found = {"federated": [0.7, 0.74], "local_only": [0.6, 0.6], "pooled": [0.75, 0.75]}
    row = learning_tables.row({"scenario": "welfare"}, found)
    assert row["work"] == {"scenario": "welfare"}
    assert row["ours"] == {
        "federated": pytest.approx(0.72),
        "deviation": pytest.approx(0.02),
        "gain_of_pooled": pytest.approx(0.22 / 0.25),
    }
    assert row["peer"] == {"local_only": 0.6, "pooled": 0.75, "majority": 0.5}
    assert row["ratio"]["local_only"] == pytest.approx(1.2)


def test_a_pooled_model_without_a_gain_gives_no_share():
    found = {way: [0.5] for way in learning_tables.WAYS}
    assert learning_tables.row({}, found)["ours"]["gain_of_pooled"] is None


def test_agencies_are_judged_one_by_one_and_those_with_too_few_rows_of_a_class_not():
    many, few = np.eye(2, dtype="f4")[[0] * 10 + [1] * 10], np.eye(2, dtype="f4")[[0] * 10 + [1]]
    right = np.stack([np.zeros(20), np.arange(20.0)], axis=1)
    predictions = {
        f"{agency}/{way}": right[: len(y)]
        for way in learning_tables.WAYS
        for agency, y in (("north", many), ("south", few))
    }
    predictions["north/pooled"] = -right
    found = learning_tables.judged({"north": many, "south": few}, predictions)
    assert found == {"federated": 1.0, "local_only": 1.0, "pooled": 0.0}


def test_validation_rows_of_all_agencies_are_judged_together():
    y = np.eye(2, dtype="f4")[[0] * 5 + [1] * 5]
    logits = np.stack([np.zeros(10), np.arange(10.0)], axis=1)
    predictions = {f"{agency}/{way}": logits for way in learning_tables.WAYS for agency in ("north", "south")}
    assert learning_tables.judged({"north": y, "south": y}, predictions, together=True)["federated"] == 1.0
