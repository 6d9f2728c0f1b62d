"""One learning job in a process of its own: `python -m fl_tasks.learning job.json`.

Writes the job's npz files and then `<job file>.result.json`, each atomically. Exit code 0: done. 10: refused,
with `CODE: message` on stderr. 1: an error in the program, with its traceback.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import assert_never

from pydantic import ValidationError

from fl_tasks.contracts.base import describe, write_atomic
from fl_tasks.contracts.errors import ConfigError, FLError, MissingInput
from fl_tasks.contracts.jobs import InitJob, Job, JobFile, JobResult, PredictJob, ServerJob, TrainJob
from fl_tasks.contracts.stage import EXIT_FINAL
from fl_tasks.contracts.tensors import Tensors, load_tensors, save_tensors
from fl_tasks.learning import scratch


def main(arguments: list[str] | None = None) -> int:
    """Do the job of one job file and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fl_tasks.learning", description="Do one learning job.")
    parser.add_argument("job", type=Path, help="a JobFile as JSON")
    path: Path = parser.parse_args(arguments).job
    result_path = path.with_name(f"{path.name}.result.json")
    try:
        # A result that an earlier try left must not speak for this one.
        result_path.unlink(missing_ok=True)
        result = run(read_job(path))
        write_atomic(result_path, json.dumps(result.model_dump(mode="json"), indent=1).encode())
    except FLError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return EXIT_FINAL
    return 0


def read_job(path: Path) -> Job:
    """Read a job file.

    Raises:
        ConfigError: If it is missing, or a field is unknown, missing, of the wrong type or out of range.
    """
    try:
        return JobFile.model_validate_json(path.read_bytes()).job
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such job file") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from error


def run(job: Job) -> JobResult:
    """Do a job: read what it names, write what it names, and report.

    Raises:
        FLError: If an input is missing or does not fit, or the result is not finite.
    """
    started = time.monotonic()
    # Here, so that a wrong job file is refused at once and not after ten seconds of imports.
    from fl_tasks.learning import client, predict, server  # noqa: PLC0415
    from fl_tasks.learning.examples import open_examples, open_inputs  # noqa: PLC0415

    imported = time.monotonic()
    examples, loss = 0, 0.0
    validation_loss: float | None = None
    match job:
        case InitJob():
            weights, state = server.initial(job.model)
            save_tensors(job.weights_out, weights)
            save_tensors(job.state_out, state)
        case TrainJob():
            weights = _load(job.weights)
            if job.validation_examples is not None:
                validation_loss = predict.mean_loss(
                    job.model, weights, open_examples(job.validation_examples, job.model)
                )
            update = client.local_training(job.model).run(
                weights,
                open_examples(job.examples, job.model),
                epochs=job.model.learning.local_epochs,
                seed=job.shuffle_seed,
            )
            save_tensors(job.delta_out, update.delta)
            examples, loss = update.examples, update.loss
        case ServerJob():
            weights, state = server.step(job.model, _load(job.weights), _load(job.state), _load(job.delta))
            save_tensors(job.weights_out, weights)
            save_tensors(job.state_out, state)
        case PredictJob():
            models = {name: _load(path) for name, path in job.weights.items()}
            weights = next(iter(models.values()))
            if job.local_only is not None:
                models["local_only"] = predict.local_only(
                    job.model,
                    _load(job.local_only.initial_weights),
                    open_examples(job.local_only.examples, job.model),
                    epochs=job.local_only.epochs,
                    seed=job.local_only.shuffle_seed,
                )
            x = {name: open_inputs(job.inputs.get(name, job.examples), job.model) for name in models}
            predictions: Tensors = {name: predict.predict(job.model, model, x[name]) for name, model in models.items()}
            save_tensors(job.predictions_out, predictions)
        case _:
            assert_never(job)
    return JobResult(
        examples=examples,
        loss=loss,
        validation_loss=validation_loss,
        parameters=sum(int(array.size) for array in weights.values()),
        seconds_import=imported - started,
        seconds_work=time.monotonic() - imported,
    )


def _load(path: Path) -> Tensors:
    try:
        return load_tensors(path)
    except FileNotFoundError as error:
        raise MissingInput(f"{path}: there is no such file; the step that writes it has to run first") from error


if __name__ == "__main__":
    scratch.sweep()
    folder = scratch.take()
    try:
        sys.exit(main())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
