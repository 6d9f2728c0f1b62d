"""The coordinator's model and optimizer state, one object a round, and its publication."""

from __future__ import annotations

import time
from pathlib import Path

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import ScenarioConfig
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.report import RoundRecord
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.contracts.tensors import Tensors, load_tensors, save_tensors, tensors_sha256, tensors_to_bytes
from fl_tasks.exchange.store import Exchange
from fl_tasks.scenarios import load
from fl_tasks.secagg.messages import RoundModel
from fl_tasks.stages.context import load_key, protocol_key_path

FINAL_MODEL = "final/model"
FINAL_WEIGHTS = "final/model.npz"
_MODEL, _STATE = "model/", "optimizer/"


def model_spec(config: ScenarioConfig, preparation: Preparation | None = None) -> ModelSpec:
    """Which model a scenario's configuration means; of a table with what its survey ended with."""
    scenario = load(config.scenario)
    if isinstance(config.data, TableConfig):
        inputs, outputs = scenario.shapes(config.data, preparation)
        return ModelSpec(
            scenario=config.scenario,
            learning=config.learning,
            input_shape=inputs,
            output_shape=outputs,
            classes=config.data.classes,
            preparation=preparation,
        )
    inputs, outputs = scenario.shapes(config.data)
    return ModelSpec(
        scenario=config.scenario,
        learning=config.learning,
        input_shape=inputs,
        output_shape=outputs,
        step_minutes=config.data.step_minutes,
        calendar=config.data.calendar,
        scale=config.data.scale,
        series_levels=config.data.series_levels,
        rate=config.data.rate,
        quantiles=config.data.quantiles,
    )


def state_path(spec: StageSpec, round_: int) -> Path:
    """Model and optimizer state after a round; 0 is the initial model."""
    return spec.places.coordinator_run(spec.run_id) / "rounds" / f"{round_}.npz"


def record_path(spec: StageSpec, round_: int) -> Path:
    """The round's commit record."""
    return state_path(spec, round_).with_suffix(".json")


def seconds_since_start(spec: StageSpec, round_: int) -> float:
    """Wall time since the round's model was published, seconds."""
    return max(0.0, time.time() - float(_started_path(spec, round_).read_bytes()))


def _started_path(spec: StageSpec, round_: int) -> Path:
    return state_path(spec, round_).with_suffix(".started")


def save_state(spec: StageSpec, round_: int, model: Tensors, state: Tensors) -> None:
    """Store model and optimizer state as one object, atomically."""
    both: Tensors = {f"{_MODEL}{name}": array for name, array in model.items()}
    both.update({f"{_STATE}{name}": array for name, array in state.items()})
    save_tensors(state_path(spec, round_), both)


def load_state(spec: StageSpec, round_: int) -> tuple[Tensors, Tensors]:
    """Read model and optimizer state of a round."""
    both = load_tensors(state_path(spec, round_))
    model = {name.removeprefix(_MODEL): array for name, array in both.items() if name.startswith(_MODEL)}
    return model, {name.removeprefix(_STATE): array for name, array in both.items() if name.startswith(_STATE)}


def save_record(spec: StageSpec, record: RoundRecord) -> None:
    """Commit a round: from here on it counts."""
    write_atomic(record_path(spec, record.round), record.model_dump_json().encode())


def load_record(spec: StageSpec, round_: int) -> RoundRecord | None:
    """Read a round's commit record, or None if it was not aggregated."""
    path = record_path(spec, round_)
    return RoundRecord.model_validate_json(path.read_bytes()) if path.exists() else None


def load_records(spec: StageSpec, last: int) -> list[RoundRecord]:
    """Read the commit records of the aggregated rounds up to one, in order."""
    found = (load_record(spec, round_) for round_ in range(1, last + 1))
    return [record for record in found if record is not None]


def publish(
    spec: StageSpec, exchange: Exchange, session: bytes, round_: int, model: Tensors, names: tuple[str, str]
) -> None:
    """Leave a model and, signed, its hash for the agencies.

    Args:
        spec: The coordinator's stage.
        exchange: Of the run.
        session: 16 bytes.
        round_: The round that starts from this model.
        model: The weights.
        names: Exchange names of the signed hash and of the weights.
    """
    key = load_key(protocol_key_path(spec.places.coordinator))
    if not _started_path(spec, round_).exists():
        write_atomic(_started_path(spec, round_), str(time.time()).encode())
    exchange.put(names[1], tensors_to_bytes(model))
    exchange.put(names[0], RoundModel(session, round_, tensors_sha256(model)).encode(key))
