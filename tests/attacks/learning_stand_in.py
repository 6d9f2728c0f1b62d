"""Stands in for the learning environment's Python: a model of a few numbers, no TensorFlow, no import to wait for.

It does `-m fl_tasks.learning job.json`, and is a daemon's `-m fl_tasks.learning.zygote`: the real one, but for the job.
A training gives the same delta for the same seed, as the real one does; one that is repeated after a result was there
draws anew, as one does whose library or machine is not deterministic. Each delta is noted in $HUILIU_HOME/truth.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.jobs import InitJob, JobFile, JobResult, PredictJob, ServerJob, TrainJob
from fl_tasks.contracts.tensors import load_tensors, save_tensors
from fl_tasks.learning import zygote

SIZE = 101
STEP = 0.05


def main(path: Path) -> int:
    """Do one job."""
    job = JobFile.model_validate_json(path.read_bytes()).job
    result = path.with_name(f"{path.name}.result.json")
    examples = 0
    match job:
        case InitJob():
            save_tensors(job.weights_out, {"w": np.linspace(-1, 1, SIZE, dtype=np.float32)})
            save_tensors(job.state_out, {"s": np.zeros(1, np.float32)})
        case TrainJob():
            draw = np.random.default_rng(None if result.exists() else job.shuffle_seed)
            delta = (draw.normal(size=SIZE) * STEP).astype(np.float32)
            save_tensors(job.delta_out, {"w": delta})
            # .../agencies/<agency>/runs/<run>/jobs/train-<round>/job.json
            run, agency = path.parents[2], path.parents[4].name
            truth = Path(os.environ["HUILIU_HOME"]) / "truth" / run.name / f"{agency}-{path.parent.name}.npz"
            save_tensors(truth, {"w": delta})
            examples = len(np.load(job.examples / "x.npy", mmap_mode="r"))
        case ServerJob():
            save_tensors(job.weights_out, {"w": load_tensors(job.weights)["w"] - load_tensors(job.delta)["w"]})
            save_tensors(job.state_out, load_tensors(job.state))
        case PredictJob():
            x = np.load(job.examples / "x.npy", mmap_mode="r")
            last = np.repeat(x[:, -1:, 0], job.model.output_shape[0], axis=1).astype(np.float32)
            models = [*job.weights, *([] if job.local_only is None else ["local_only"])]
            save_tensors(job.predictions_out, dict.fromkeys(models, last))
    done = JobResult(examples=examples, loss=0.5, parameters=SIZE, seconds_import=0.0, seconds_work=0.0)
    write_atomic(result, done.model_dump_json().encode())
    return 0


def fork_workers(arguments: list[str]) -> int:
    """Be the zygote, without what it imports ahead."""
    for name in ("client", "examples", "predict", "server"):
        sys.modules[f"fl_tasks.learning.{name}"] = ModuleType(name)
    zygote.do_job = lambda words: main(Path(words[0]))
    return zygote.main(arguments)


if __name__ == "__main__":
    is_zygote = "fl_tasks.learning.zygote" in sys.argv
    sys.exit(fork_workers(sys.argv[-2:]) if is_zygote else main(Path(sys.argv[-1])))
