"""An agency trains on exactly the model whose hash was signed, whatever the exchange answers the second time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.tensors import load_tensors, tensors_sha256, tensors_to_bytes
from fl_tasks.secagg.errors import ModelMismatch
from fl_tasks.stages import evaluate, train
from tests.stages.federation_run import SCENARIO
from tests.stages.test_predict_stage import FEDERATION

SIGNED = {"000/kernel": np.ones((2, 2), dtype=np.float32)}
OTHER = {"000/kernel": np.zeros((2, 2), dtype=np.float32)}


class TwoFaced:
    """An exchange that shows the signed model once, and from then on another one."""

    def __init__(self) -> None:
        self._answers = [tensors_to_bytes(SIGNED)]

    def get(self, _name: str) -> bytes:
        return self._answers.pop() if self._answers else tensors_to_bytes(OTHER)


class TrainingBegan(Exception):
    pass


def desk(folder) -> SimpleNamespace:
    return SimpleNamespace(
        spec=SimpleNamespace(folder=folder),
        round=1,
        exchange=TwoFaced(),
        config=load_scenario(FEDERATION, SCENARIO),
        cohort=SimpleNamespace(model_sha256=tensors_sha256(SIGNED).hex(), preparation=None),
    )


def test_what_is_trained_on_is_what_was_checked(tmp_path, monkeypatch):
    def look(job, _path):
        assert tensors_sha256(load_tensors(job.weights)) == tensors_sha256(SIGNED)
        raise TrainingBegan

    monkeypatch.setattr(train, "run_job", look)
    monkeypatch.setattr(train, "_check_weight", lambda _: None)
    monkeypatch.setattr(train, "training_seed", lambda *_: bytes(32))
    with pytest.raises(TrainingBegan):
        train._make_update(desk(tmp_path), tensors_sha256(SIGNED))
    with pytest.raises(ModelMismatch):
        train._make_update(desk(tmp_path), tensors_sha256(OTHER))


def test_the_model_trained_alone_starts_from_the_signed_cohorts(tmp_path):
    asked = desk(tmp_path)
    assert tensors_sha256(evaluate._initial_model(asked)) == tensors_sha256(SIGNED)
    with pytest.raises(ModelMismatch, match="signed cohort"):
        evaluate._initial_model(asked)
