"""predict: the signed champion on the agency's own data, in its own unit, into its own folder and nowhere else."""

from __future__ import annotations

import datetime as dt
import os
import stat
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import load_scenario, load_series_source, load_source
from fl_tasks.contracts.data import Prepared, RowCounts, prepared_path, standardized_path
from fl_tasks.contracts.errors import ConfigError, DataRejected, MissingInput
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.series_config import SeriesConfig
from fl_tasks.contracts.source import SourceConfig
from fl_tasks.contracts.stage import StageSpec, read_result, write_spec
from fl_tasks.contracts.tensors import tensors_sha256, tensors_to_bytes
from fl_tasks.data.forecast_files import forecast_path, picture_path
from fl_tasks.data.series import Series, write_series
from fl_tasks.data.value_scale import Scale
from fl_tasks.stages import champions, enrol
from fl_tasks.stages.model_state import model_spec
from fl_tasks.stages.runner import run_stage
from fl_tasks.stages.series import predict

pd = pytest.importorskip("pandas")

REPOSITORY = Path(__file__).parents[2]
SCENARIO = "traffic_districts"
AGENCIES = tuple(f"district_{corner}" for corner in ("northeast", "northwest", "southeast", "southwest"))
AGENCY = AGENCIES[0]
ZONE = ZoneInfo("America/Los_Angeles")
INTERVAL = (dt.datetime(2012, 3, 1, tzinfo=ZONE), dt.datetime(2012, 4, 1, tzinfo=ZONE))
TRAINING_RUN = f"{SCENARIO}__scheduled__2012-04-01"
START = np.datetime64("2012-03-30T00:00", "us")
STEP = np.timedelta64(5, "m")
STEPS = 2 * 288
FEDERATION = REPOSITORY / "dags" / "federation"


def spec_of(home: Path, stage: str = "predict", agency: str | None = AGENCY) -> StageSpec:
    return StageSpec(
        stage=stage,
        scenario=SCENARIO,
        run_id=f"{SCENARIO}__forecast__1",
        data_interval=INTERVAL,
        home=home,
        federation=FEDERATION,
        agency=agency,
    )


def small_model() -> ModelSpec:
    config = load_scenario(FEDERATION, SCENARIO)
    learning = config.learning.model_copy(update={"model": "mlp", "units": 4})
    return model_spec(config).model_copy(update={"learning": learning})


def windows(**changes) -> SeriesConfig:
    return load_scenario(FEDERATION, SCENARIO).data.model_copy(update=changes)


def source(unit: str) -> SourceConfig:
    return load_series_source(FEDERATION, AGENCY, SCENARIO).model_copy(update={"unit": unit})


def weights_of(model: ModelSpec) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(11)
    inputs, steps = int(np.prod(model.input_shape)), model.output_shape[0]
    shapes = {"000/hidden/kernel": (inputs, 4), "001/hidden/bias": (4,)}
    shapes |= {"002/correction/kernel": (4, steps), "003/correction/bias": (steps,)}
    return {name: (draw.normal(size=shape) * 0.2).astype(np.float32) for name, shape in shapes.items()}


def by_hand(weights: dict[str, np.ndarray], window: np.ndarray) -> np.ndarray:
    """The forecaster without TensorFlow: last value + Dense(relu(Dense(flat window)))."""
    hidden = np.maximum(window.ravel() @ weights["000/hidden/kernel"] + weights["001/hidden/bias"], 0.0)
    return window[-1, 0] + hidden @ weights["002/correction/kernel"] + weights["003/correction/bias"]


def own_grid() -> Series:
    """Two days: whole, at its end 15 minutes short, silent for more than a day, and near the largest speed."""
    times = START + np.arange(STEPS) * STEP
    values = 55.0 + 10.0 * np.sin(np.arange(STEPS)[:, None] / 40 + np.arange(8)[None, :])
    values[-3:, 1] = np.nan
    values[-300:, 2] = np.nan
    values[:, 3] = 119.9
    return Series(times, tuple(f"西安_{i}" for i in range(8)), values)


def enrolled(home: Path) -> None:
    for agency in AGENCIES:
        enrol.init_agency(Home(home), FEDERATION, SCENARIO, agency)
        policy = Home(home).agency(agency) / "policy.yaml"
        policy.write_text(policy.read_text().replace("gru: 64", "gru: 64\n      mlp: 4"))
    roster = enrol.init_coordinator(Home(home), FEDERATION, SCENARIO)
    for agency in AGENCIES:
        enrol.approve(Home(home), SCENARIO, agency, roster.sha256.hex())


def promote(home: Path, model: ModelSpec) -> ChampionBody:
    weights = weights_of(model)
    sha256 = tensors_sha256(weights).hex()
    spec = spec_of(home, "report", None)
    champions.champions_exchange(spec).put(champions.model_name(sha256), tensors_to_bytes(weights))
    body = ChampionBody(
        number=1,
        action="promote",
        scenario=SCENARIO,
        version=7,
        model_sha256=sha256,
        model=model,
        run_id=TRAINING_RUN,
        data_interval=INTERVAL,
        decided_at=dt.datetime.now(dt.UTC),
    )
    champions.append(spec, body)
    return body


def prepared(**changes) -> Prepared:
    values = {"series": 8, "fit_windows": 900, "validation_windows": 0, "test_windows": 90, "unit": "mph"}
    values |= {"rows": RowCounts(rows_in=9, rows_out=9, quarantined=0, merged=0), "sha256": "a" * 64}
    return Prepared(**{**values, "mean": 57.0, "std": 9.0, "level": 57.0, "spread": 9.0, **changes})


@pytest.fixture(scope="module")
def forecast_run(tmp_path_factory):
    """One forecast by hand, as an operator would: the command, the real learning process, a champion of version 7."""
    home = tmp_path_factory.mktemp("home")
    enrolled(home)
    champion = promote(home, small_model())
    spec = spec_of(home)
    write_series(standardized_path(spec.folder), own_grid())
    record = prepared_path(Home(home).agency_run(AGENCY, TRAINING_RUN))
    record.parent.mkdir(parents=True)
    record.write_text(prepared().model_dump_json())
    before = {path for path in home.rglob("*") if path.is_file()}
    with (home / "output").open("w") as output:
        argv = [sys.executable, "-m", "fl_tasks", "run", "predict", "--spec", str(write_spec(spec))]
        env = os.environ | {"HUILIU_HOME": str(home)}
        code = subprocess.run(argv, stdout=output, stderr=output, check=False, timeout=120, env=env).returncode
    assert code == 0, (home / "output").read_text()
    made = {path for path in home.rglob("*") if path.is_file()} - before - {home / "output"}
    return home, spec, champion, made


def test_each_series_is_forecast_from_its_newest_window_in_the_agencys_unit(forecast_run):
    home, spec, champion, _ = forecast_run
    table = pd.read_parquet(forecast_path(Home(home).agency(AGENCY), SCENARIO, spec.run_id))
    grid, weights = own_grid(), weights_of(champion.model)
    assert sorted(set(table.series)) == [f"西安_{i}" for i in range(8) if i != 2]
    for index, end in ((0, STEPS), (1, STEPS - 3), (5, STEPS)):
        rows = table[table.series == f"西安_{index}"]
        assert list(rows.horizon_step) == list(range(1, 13))
        expected_times = grid.times[end - 1] + np.arange(1, 13) * STEP
        assert (rows.timestamp.to_numpy() == expected_times).all()
        times = grid.times[end - 12 : end]
        angle = 2 * np.pi * ((times - times.astype("datetime64[D]")) / np.timedelta64(1, "D"))
        own = grid.values[:, index]
        window = np.stack([(own[end - 12 : end] - 57.0) / 9.0, np.sin(angle), np.cos(angle)], axis=1)
        levels = ((np.nanmean(own) - 57.0) / 9.0, np.nanstd(own) / 9.0)
        window = np.concatenate([window, np.tile(levels, (12, 1))], axis=1)
        expected = np.clip(by_hand(weights, window) * 9.0 + 57.0, 0.0, 120.0)
        np.testing.assert_allclose(rows.forecast, expected, rtol=1e-5)
    assert set(table.unit) == {"mph"}
    assert set(table.model_version) == {7}
    assert set(table.model_sha256) == {champion.model_sha256}


def test_no_forecast_leaves_the_range_that_is_possible(forecast_run):
    home, spec, _, _ = forecast_run
    table = pd.read_parquet(forecast_path(Home(home).agency(AGENCY), SCENARIO, spec.run_id))
    near_the_end = table[table.series == "西安_3"].forecast
    assert near_the_end.max() == 120.0
    assert table.forecast.min() >= 0.0


def test_forecasts_and_picture_lie_in_the_agencys_folder_alone_and_are_the_owners(forecast_run):
    home, spec, _, made = forecast_run
    folder = Home(home).agency(AGENCY)
    wanted = {path(folder, SCENARIO, spec.run_id) for path in (forecast_path, picture_path)}
    assert wanted <= made
    assert all(path.is_relative_to(folder) for path in made)
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.suffix != ".lock"} == {0o600}
    assert not [path for path in made if path.name in ("x.npy", "predictions.npz")]


def test_the_result_names_version_and_digests_and_holds_no_value(forecast_run):
    home, spec, champion, _ = forecast_run
    result = read_result(spec)
    assert (result.version, result.counts, result.digests["model"]) == (7, {"series": 7}, champion.model_sha256)
    assert [ref.name for ref in result.outputs] == [
        f"forecasts/{SCENARIO}/{spec.run_id}/forecast.{suffix}" for suffix in ("parquet", "png")
    ]
    log = (home / "output").read_text()
    assert "stage=predict agency=district_northeast version=7" in log
    table = pd.read_parquet(forecast_path(Home(home).agency(AGENCY), SCENARIO, spec.run_id))
    for text in (log, result.model_dump_json()):
        assert "西安" not in text
        assert not [value for value in table.forecast if f"{value:.3f}" in text]


def test_without_a_champion_the_stage_skips_and_says_what_to_do(tmp_path):
    enrolled(tmp_path)
    result = run_stage(write_spec(spec_of(tmp_path)))
    assert result.status == "skipped"
    assert "no champion yet" in result.reason
    assert "federated_retraining__traffic_districts" in result.reason


def test_a_champion_for_other_windows_is_refused_before_anything_is_read(tmp_path):
    enrolled(tmp_path)
    promote(tmp_path, small_model().model_copy(update={"output_shape": (3,)}))
    with pytest.raises(ConfigError, match=r"version 7 of traffic_districts .* forecasts \(3,\)"):
        predict.run(spec_of(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"), [({"calendar": ("week",)}, "calendar week"), ({"step_minutes": 15}, "steps of 15 minutes")]
)
def test_a_champion_whose_shapes_fit_but_mean_something_else_is_refused(tmp_path, change, said):
    enrolled(tmp_path)
    promote(tmp_path, small_model().model_copy(update=change))
    with pytest.raises(ConfigError, match=rf"version 7 .* {said}.* steps of 5 minutes, calendar day"):
        predict.run(spec_of(tmp_path))


def test_data_of_a_dead_feed_give_no_forecast_of_the_past(tmp_path):
    enrolled(tmp_path)
    promote(tmp_path, small_model())
    spec = spec_of(tmp_path)
    grid = own_grid()
    write_series(standardized_path(spec.folder), Series(grid.times - np.timedelta64(6, "W"), grid.names, grid.values))
    with pytest.raises(DataRejected, match=r"42\.1 days before the data interval's end .*, 31 are admitted .* deliver"):
        predict.run(spec)
    assert not forecast_path(Home(tmp_path).agency(AGENCY), SCENARIO, spec.run_id).exists()
    assert not DataRejected.retryable


def test_data_as_old_as_is_admitted_are_forecast_from():
    grid = own_grid()
    end = grid.times[-1].astype(dt.datetime) + dt.timedelta(days=7)
    predict.check_age(grid, end, 7)
    with pytest.raises(DataRejected, match=r"7\.1 days .*, 7 are admitted"):
        predict.check_age(grid, end + dt.timedelta(minutes=1), 7)


def test_a_forecast_needs_the_standardized_rows_of_its_run(tmp_path):
    enrolled(tmp_path)
    promote(tmp_path, small_model())
    with pytest.raises(MissingInput, match=r"standardized\.parquet"):
        predict.run(spec_of(tmp_path))


def test_the_scale_is_the_one_that_the_champion_was_trained_with_at_this_agency():
    assert predict.scale_for(own_grid(), prepared(), windows(), source("mph")) == Scale(57.0, 9.0)
    metric = predict.scale_for(own_grid(), prepared(), windows(), source("km/h"))
    assert (metric.mean, metric.std) == pytest.approx((57.0 * 1.609344, 9.0 * 1.609344))
    with pytest.raises(ConfigError, match="do not convert"):
        predict.scale_for(own_grid(), prepared(), windows(), source("vehicles/h"))


def test_an_agency_that_was_not_in_that_run_scales_by_what_is_shared_or_by_its_own_grid():
    grid = own_grid()
    assert predict.scale_for(grid, None, windows(), source("mph")) == Scale(55.0, 20.0)
    scale = predict.scale_for(grid, None, windows(scale=None), source("mph"))
    assert (scale.mean, scale.std) == pytest.approx((np.nanmean(grid.values), np.nanstd(grid.values)))
    for values in (np.full((30, 2), np.nan), np.full((30, 2), 4.0)):
        with pytest.raises(DataRejected, match="cannot be scaled"):
            predict.scale_for(Series(START + np.arange(30) * STEP, ("a", "b"), values), None, windows(), source("mph"))


@pytest.mark.parametrize("steps", [1, 11, 288])
def test_too_short_or_broken_a_history_gives_no_forecast_but_an_error(steps):
    config = load_scenario(FEDERATION, SCENARIO).data
    values = np.arange(float(steps))[:, None]
    values[::10] = np.nan
    with pytest.raises(DataRejected, match="12 steps of 5 minutes without a gap"):
        predict.newest(Series(START + np.arange(steps) * STEP, ("a",), values), config, Scale(0.0, 1.0))


def test_z_scores_become_values_within_the_sources_range():
    source = load_source(FEDERATION, AGENCY, SCENARIO)
    values = predict.in_own_unit(np.array([[-9.0, 0.5, 9.0]], dtype=np.float32), Scale(60.0, 10.0), source)
    assert values.tolist() == [[0.0, 65.0, 120.0]]
    assert values.dtype == np.float64
