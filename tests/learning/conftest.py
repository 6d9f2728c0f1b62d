"""A folder with examples and job files, as the learning process is given them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

STEPS, FEATURES, AHEAD = 4, 2, 3


def model_spec(**learning):
    """Return a small ModelSpec as the JSON of a job file holds it."""
    return {
        "scenario": "forecaster",
        "learning": {
            "model": "mlp",
            "units": 6,
            "local_epochs": 1,
            "batch_size": 8,
            "client_optimizer": {"name": "adam", "learning_rate": 0.01},
            "server_optimizer": {"name": "yogi", "learning_rate": 0.05},
            "seed": 5,
            **learning,
        },
        "input_shape": [STEPS, FEATURES],
        "output_shape": [AHEAD],
        "step_minutes": 5,
        "calendar": [],
    }


@dataclass
class Desk:
    """A folder with examples, and job files in it."""

    folder: Path
    learning: dict = field(default_factory=dict)

    def examples(self, name="fit", count=21, *, change=None):
        draw = np.random.default_rng(count)
        arrays = {
            "x": draw.normal(size=(count, STEPS, FEATURES)).astype(np.float32),
            "y": draw.normal(size=(count, AHEAD)).astype(np.float32),
        }
        if change:
            change(arrays)
        (self.folder / name).mkdir(exist_ok=True)
        for key, array in arrays.items():
            np.save(self.folder / name / f"{key}.npy", array)
        return arrays

    def job(self, kind, **fields):
        """Write a job file; fields that are not given are those of `init`'s files and of the examples `fit`."""
        known = {
            "init": {"weights_out": "weights.npz", "state_out": "state.npz"},
            "train": {"weights": "weights.npz", "examples": "fit", "shuffle_seed": 9, "delta_out": "delta.npz"},
            "server": {
                "weights": "weights.npz",
                "state": "state.npz",
                "delta": "delta.npz",
                "weights_out": "weights1.npz",
                "state_out": "state1.npz",
            },
            "predict": {
                "weights": {"federated": "weights1.npz"},
                "local_only": {
                    "initial_weights": "weights.npz",
                    "examples": "fit",
                    "epochs": 3,
                    "shuffle_seed": 9,
                },
                "examples": "test",
                "predictions_out": "predictions.npz",
            },
        }[kind]
        values = self._placed(known | fields)
        path = self.folder / f"{kind}.json"
        path.write_text(json.dumps({"job": {"kind": kind, "model": model_spec(**self.learning), **values}}))
        return path

    def _placed(self, value):
        """Texts are names in this folder."""
        if isinstance(value, dict):
            return {key: self._placed(inner) for key, inner in value.items()}
        return str(self.folder / value) if isinstance(value, str) else value

    def result(self, kind):
        return json.loads((self.folder / f"{kind}.json.result.json").read_text())

    def bytes(self, name):
        return (self.folder / name).read_bytes()


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)
