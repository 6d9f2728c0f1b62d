"""predict: an agency uses the champion on its own data. The forecasts stay in its own folder, in its own unit."""

from __future__ import annotations

import datetime as dt
import io
import logging
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import sha256_file, write_atomic
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import load_scenario, load_series_source
from fl_tasks.contracts.data import Prepared, prepared_path, standardized_path
from fl_tasks.contracts.errors import ConfigError, DataRejected
from fl_tasks.contracts.jobs import ModelSpec, PredictJob
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.tensors import Tensors, load_tensors, save_tensors
from fl_tasks.contracts.units import conversion
from fl_tasks.data.forecast_files import Forecast, draw_forecast, forecast_path, picture_path, write_forecast
from fl_tasks.data.ingest import local_interval
from fl_tasks.data.series import Series, read_series
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.value_scale import Scale, model_scale
from fl_tasks.data.windows import Latest, latest_windows
from fl_tasks.stages.champions import NoChampion, accept_champion
from fl_tasks.stages.context import StageSkipped
from fl_tasks.stages.learning_process import run_job
from fl_tasks.stages.lineage import as_input, champion_ref, facts_of, of_run, own
from fl_tasks.stages.policy import open_gate
from fl_tasks.stages.series import lineage

log = logging.getLogger(__name__)

_MODEL = "champion"


def run(spec: StageSpec) -> StageResult:
    """Forecast the next steps of every series with today's champion; a second call replaces the files.

    Raises:
        StageSkipped: If no model was promoted yet.
        MissingInput: If standardize has not run.
        ConfigError: If the champion was made for other windows than the scenario has now.
        DataRejected: If the newest row is too old, or no series has a complete window at its end.
        ProtocolError: If the champion is not the coordinator's, or older than one used here before.
        PolicyRefused: If the agency's policy does not admit the champion's architecture or number of parameters.
    """
    agency = str(spec.agency)
    scenario = load_scenario(spec.federation, spec.scenario)
    config = scenario.series
    source = load_series_source(spec.federation, agency, spec.scenario)
    try:
        champion, weights = accept_champion(spec)
    except NoChampion as error:
        raise StageSkipped(
            f"{error}; run the DAG federated_retraining__{spec.scenario}, and read its report if it was held"
        ) from error
    open_gate(spec).check_model(champion.model, sum(array.size for array in weights.values()))
    check_windows(champion, config)
    grid = read_series(standardized_path(spec.folder))
    check_age(grid, local_interval(scenario.schedule, spec.data_interval)[1], config.quality.max_age_days)
    scale = scale_for(grid, _prepared(spec, champion), config, source)
    latest = newest(grid, config, scale)
    values = in_own_unit(_predict(spec, champion, weights, latest.x), scale, source)
    levels = config.quantiles
    forecast = Forecast(
        names=latest.names,
        ends=latest.ends,
        values=values[..., len(levels) // 2] if levels else values,
        quantiles=dict(zip(levels, np.moveaxis(values, -1, 0), strict=True)) if levels else {},
        step_minutes=config.step_minutes,
        unit=source.unit,
        version=champion.version,
        model_sha256=champion.model_sha256,
    )
    folder = spec.places.agency(agency)
    table, picture = (path(folder, spec.scenario, spec.run_id) for path in (forecast_path, picture_path))
    draw_forecast(picture, grid, forecast)
    write_forecast(table, forecast)
    digest = sha256_file(table)
    log.info("stage=predict agency=%s version=%d sha256=%s", agency, champion.version, digest)
    return StageResult(
        stage="predict",
        status="done",
        version=champion.version,
        counts=publishable({"series": len(forecast.names)}),
        digests={"forecast": digest, "model": champion.model_sha256},
        inputs=(
            champion_ref(champion),
            of_run(spec, standardized_path(spec.folder).name, as_input(lineage.standardized(source, config))),
        ),
        outputs=(
            own(spec, table.relative_to(folder).as_posix(), facts_of(lineage.forecasts(of=1))),
            own(spec, picture.relative_to(folder).as_posix()),
        ),
    )


def check_windows(champion: ChampionBody, config: SeriesConfig) -> None:
    """Refuse a champion that was made for other windows than the scenario has now; raises ConfigError."""
    model = champion.model
    made_for = _windows(model, model.input_shape, model.output_shape)
    needed = _windows(config, (config.input_steps, config.features), (config.target_steps,))
    if made_for != needed:
        raise ConfigError(
            f"version {champion.version} of {champion.scenario} takes windows of {made_for}; the scenario's "
            f"step_minutes, calendar, scale, rate, series_levels, quantiles, input_steps and horizons now mean "
            f"{needed}: "
            "retrain with them, or set them back until a new model is promoted"
        )


def check_age(grid: Series, end: dt.datetime, limit: int) -> None:
    """Refuse data of which a forecast would be one of the past.

    Args:
        grid: The standardized rows; the last one is the newest that was delivered.
        end: Of the run's data interval, local wall time.
        limit: Days before `end` at which the newest row may lie.

    Raises:
        DataRejected: If it lies earlier; the message names its age.
    """
    age = float((np.datetime64(end, "us") - grid.times[-1]) / np.timedelta64(1, "D"))
    if age > limit:
        raise DataRejected(
            f"the newest row lies {math.ceil(10 * age) / 10:g} days before the data interval's end "
            f"({end:%Y-%m-%d %H:%M} local time), {limit} are admitted (the scenario's data.quality.max_age_days): "
            "deliver newer rows and run ingest again, or forecast for the interval that the data belong to"
        )


def scale_for(grid: Series, prepared: Prepared | None, config: SeriesConfig, source: SourceConfig) -> Scale:
    """Return the scale by which the champion sees this agency's values.

    Args:
        grid: The current data.
        prepared: What the agency learned the champion on; None if it did not take part, or no longer has it.
        config: Of the scenario.
        source: Unit of the grid, and population.

    Returns:
        That of rates; else the scale that it learned with, in the grid's unit; without one, the shared scale, or that
        of the grid.

    Raises:
        DataRejected: If the grid has to serve and holds fewer than two different values.
        ConfigError: If the unit measures something else by now, or a population is needed and not there.
    """
    if config.rate is not None:
        return model_scale(config, source.unit, Scale(0.0, 1.0), source.population)
    if prepared is not None:
        factor = conversion(prepared.unit, source.unit)
        return Scale(prepared.mean * factor, prepared.std * factor)
    values = grid.values[np.isfinite(grid.values)]
    if not (values.size and float(values.std()) > 0.0):
        raise DataRejected(
            "the values are all missing or all the same, so that they cannot be scaled; "
            "check the sensors and the source's range"
        )
    return model_scale(config, source.unit, Scale(float(values.mean()), float(values.std())))


def newest(grid: Series, config: SeriesConfig, scale: Scale) -> Latest:
    """Return the windows to forecast from, as latest_windows; raises DataRejected if no series has one."""
    latest = latest_windows(grid, config, scale)
    if not latest.names:
        raise DataRejected(
            f"no series has {config.input_steps} steps of {config.step_minutes} minutes without a gap that end within "
            f"{max(1, config.step_minutes // 1440)} days of the newest row, which a forecast starts from; deliver the "
            "missing rows, and run ingest again"
        )
    return latest


def in_own_unit(predictions: NDArray[np.generic], scale: Scale, source: SourceConfig) -> NDArray[np.float64]:
    """Return scaled predictions in the source's unit, within the range that is possible there."""
    return np.clip(scale.inverse(predictions), source.minimum, source.maximum)


def _windows(meaning: ModelSpec | SeriesConfig, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> str:
    """Say everything that a model and the windows it is given have to agree on."""
    shared, rate = meaning.scale, meaning.rate
    scale = f"scaled by {f'{shared.mean:g} and {shared.std:g} {shared.unit}' if shared else 'each agency itself'}"
    if rate is not None:
        scale = f"{rate.function} of {rate.unit} by {rate.inhabitants} inhabitants"
    levels = f" at the levels {', '.join(f'{level:g}' for level in meaning.quantiles)}" if meaning.quantiles else ""
    return (
        f"{inputs} in steps of {meaning.step_minutes} minutes, calendar {', '.join(meaning.calendar) or 'none'}, "
        f"{scale}, {'with' if meaning.series_levels else 'without'} levels of the series, and forecasts "
        f"{outputs}{levels}"
    )


def _prepared(spec: StageSpec, champion: ChampionBody) -> Prepared | None:
    path = prepared_path(spec.places.agency_run(str(spec.agency), champion.run_id))
    return Prepared.model_validate_json(path.read_bytes()) if path.exists() else None


def _predict(spec: StageSpec, champion: ChampionBody, weights: Tensors, x: NDArray[np.float32]) -> NDArray[np.generic]:
    """Let the learning process predict, shape (s, steps), or (s, steps, levels), scaled; its files are deleted."""
    work = spec.folder / "jobs" / "predict"
    job = PredictJob(
        model=champion.model,
        weights={_MODEL: work / "weights.npz"},
        examples=work,
        predictions_out=work / "predictions.npz",
    )
    try:
        save_tensors(job.weights[_MODEL], weights)
        _write_array(work / "x.npy", x)
        run_job(job, work / "job.json")
        return load_tensors(job.predictions_out)[_MODEL]
    finally:
        for path in (work / "x.npy", job.predictions_out):
            path.unlink(missing_ok=True)


def _write_array(path: Path, array: NDArray[np.float32]) -> None:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_atomic(path, content.getvalue())
