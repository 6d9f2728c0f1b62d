"""What the learning process is asked for, and what it leaves: `python -m fl_tasks.learning job.json`.

Arrays go through npz files and memory-mapped npy files; nothing is pickled. `examples` is a folder with
x.npy, shape (n, ...) float32, and y.npy, shape (n, ...) float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fl_tasks.contracts.base import Contract, Name
from fl_tasks.contracts.config import LearningConfig
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.series_config import Cycle, RateConfig, SharedScale


class ModelSpec(Contract):
    """Which Keras model to build and what it reads; the scenario's builder gets shapes and learning configuration.

    Preparation, step, calendar, scale, rate and levels say what the numbers mean: weights that fit by shape alone may
    not. With quantiles a prediction has one more axis than y, their levels.
    """

    scenario: Name
    learning: LearningConfig
    input_shape: tuple[int, ...] = Field(min_length=1, description="Shape of one example's x.")
    output_shape: tuple[int, ...] = Field(min_length=1, description="Shape of one example's y.")
    classes: tuple[str, ...] = Field(default=(), description="Of a table: what each output stands for, in this order.")
    preparation: Preparation | None = Field(default=None, description="Of a table: recoding and scale of the columns.")
    step_minutes: int | None = Field(default=None, ge=1, description="Of series: minutes between an example's steps.")
    calendar: tuple[Cycle, ...] = Field(default=(), description="Cycles behind the value in x, in this order.")
    scale: SharedScale | None = Field(default=None, description="Of the value in x; without it each agency's own.")
    series_levels: bool = Field(default=False, description="Whether x ends in the series' mean and deviation.")
    rate: RateConfig | None = Field(default=None, description="What x's value is of a count; instead of a scale.")
    quantiles: tuple[float, ...] = Field(default=(), description="Levels of the forecasts, ascending; none: one value.")


class InitJob(Contract):
    """Make the initial model (round 0) and the server optimizer's initial state."""

    kind: Literal["init"] = "init"
    model: ModelSpec
    weights_out: Path
    state_out: Path


class TrainJob(Contract):
    """One agency's local training of one round: the model delta, initial minus trained."""

    kind: Literal["train"] = "train"
    model: ModelSpec
    weights: Path
    examples: Path
    validation_examples: Path | None = Field(
        default=None, description="The loss of `weights`, before training, is measured on these."
    )
    shuffle_seed: int = Field(ge=0, le=2**63 - 1, description="Decides the order of the batches.")
    delta_out: Path


class ServerJob(Contract):
    """One step of the server optimizer on the weighted mean delta."""

    kind: Literal["server"] = "server"
    model: ModelSpec
    weights: Path
    state: Path
    delta: Path
    weights_out: Path
    state_out: Path


class LocalOnly(Contract):
    """A model that is trained on one agency's examples alone, for comparison."""

    initial_weights: Path
    examples: Path
    epochs: int = Field(ge=1, description="Rounds x local epochs.")
    shuffle_seed: int = Field(ge=0, le=2**63 - 1)


class PredictJob(Contract):
    """Predictions of several models on the same examples.

    predictions_out is an npz, name -> y's shape, with quantiles (*y's shape, levels), float32.
    """

    kind: Literal["predict"] = "predict"
    model: ModelSpec
    weights: dict[Name, Path] = Field(min_length=1, description="Name of a model -> its weights.")
    local_only: LocalOnly | None = Field(default=None, description="Trained first, and predicted as `local_only`.")
    examples: Path = Field(description="Folder of which x.npy is read.")
    inputs: dict[Name, Path] = Field(
        default_factory=dict, description="Model that reads the same rows in its own scale -> folder of its x.npy."
    )
    predictions_out: Path


class JobResult(Contract):
    """What a job reports beside its files, as <job file>.result.json."""

    examples: int = Field(default=0, ge=0, description="Examples trained on, once per example.")
    loss: float = Field(default=0.0, description="Mean training loss over the examples seen.")
    validation_loss: float | None = Field(default=None, description="Mean loss over the validation examples.")
    parameters: int = Field(ge=0)
    seconds_import: float = Field(ge=0.0)
    seconds_work: float = Field(ge=0.0)


Job = Annotated[InitJob | TrainJob | ServerJob | PredictJob, Field(discriminator="kind")]


class JobFile(Contract):
    """The file that the learning process reads."""

    job: Job
