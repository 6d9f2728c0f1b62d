"""The data stages, the judgement and the forecast of counts of cases: rates by inhabitants, and quantiles."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fl_tasks import scenarios
from fl_tasks.contracts.champion import ChampionBody
from fl_tasks.contracts.config import load_scenario, load_series_source
from fl_tasks.contracts.data import (
    Prepared,
    Standardized,
    fit_examples,
    held_back_examples,
    standardized_path,
    standardized_record_path,
)
from fl_tasks.contracts.errors import ConfigError, DataRejected
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import write_spec
from fl_tasks.contracts.tensors import tensors_sha256, tensors_to_bytes
from fl_tasks.data.forecast_files import forecast_path
from fl_tasks.data.series import read_series
from fl_tasks.scenarios.hand_out import hand_out
from fl_tasks.scenarios.quantile_metrics import interval_score
from fl_tasks.stages import champions, enrol
from fl_tasks.stages.model_state import model_spec
from fl_tasks.stages.series import predict
from fl_tasks.stages.series.judge import errors
from tests.stages.data_stages import FEDERATION, ROOT, quality_of, run_all, spec_of

pd = pytest.importorskip("pandas")

SCENARIO, AGENCY = "epidemic", "lazio"
ZONE = ZoneInfo("Europe/Rome")
INTERVAL = (dt.datetime(2022, 12, 1, tzinfo=ZONE), dt.datetime(2023, 1, 1, tzinfo=ZONE))
MEMBERS = ("calabria", "campania", "emilia_romagna", "lazio", "liguria", "piemonte", "puglia", "toscana")
HERE = {"agency": AGENCY, "interval": INTERVAL, "scenario": SCENARIO}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An installation whose Lazio has passed its data stages."""
    folder = tmp_path_factory.mktemp("home")
    hand_out(SCENARIO, scenarios.load(SCENARIO).generate(7), Home(folder), FEDERATION)
    run_all(folder, **HERE)
    return folder


def spec(home, stage="validate", **more):
    return spec_of(home, stage, **{**HERE, **more})


def prepared(home):
    return Prepared.model_validate_json((spec(home).folder / "prepared.json").read_bytes())


def test_corrections_become_counts_and_the_examples_hold_rates(home):
    folder = spec(home).folder
    grid = read_series(standardized_path(folder))
    assert grid.names == ("new_cases",)
    assert grid.values.min() == 0.0
    record = Standardized.model_validate_json(standardized_record_path(folder).read_bytes())
    assert record.rows.rows_in == record.rows.rows_out == 1042
    source, y = load_series_source(FEDERATION, AGENCY, SCENARIO), np.load(fit_examples(folder) / "y.npy")
    assert prepared(home).population == source.population
    np.testing.assert_allclose(y[0], np.sqrt(grid.values[14:28, 0] / source.population * 1e5), rtol=1e-6)
    assert {check.name.split("/")[0] for check in quality_of(folder).failed("critical")} == set()


def test_the_test_part_is_the_last_fifth_and_no_training_saw_it(home):
    counts = prepared(home)
    days = len(read_series(standardized_path(spec(home).folder)).times)
    boundary = int(days * 0.8)
    assert counts.fit_windows == boundary - 28 + 1
    assert counts.test_windows == days - boundary - 14 + 1


def test_a_region_with_hardly_a_case_is_left_out(home, tmp_path):
    files = scenarios.load(SCENARIO).generate(7)
    header, *rows = gzip.decompress(files[AGENCY]["incoming/counts.csv.gz"]).decode().splitlines()
    at = header.split(",").index("nuovi_positivi")
    for index, line in enumerate(rows):
        cells = line.split(",")
        cells[at] = "0" if index % 20 else "3"
        rows[index] = ",".join(cells)
    content = gzip.compress("\n".join([header, *rows, ""]).encode())
    hand_out(SCENARIO, {AGENCY: {"incoming/counts.csv.gz": content}}, Home(tmp_path), FEDERATION)
    with pytest.raises(DataRejected, match=r"nonzero/.* at least 100 values other than zero to train on"):
        run_all(tmp_path, **HERE)


def test_errors_are_in_cases_and_the_naive_forecasts_have_quantiles_of_their_own_past(home):
    config, module, record = load_scenario(FEDERATION, SCENARIO).series, scenarios.load(SCENARIO), prepared(home)
    fit, test = fit_examples(spec(home).folder), held_back_examples(spec(home).folder)
    x, y, season = (np.load(test / f"{part}.npy") for part in ("x", "y", "season"))
    sure = np.repeat(y[..., None], 7, axis=2)  # who knows the truth
    found = errors(
        module,
        config,
        record,
        fit,
        y,
        {"federated": sure, "local_only": sure + np.float32(0.5)},
        {"persistence": module.persistence(x, 14), "seasonal_naive": season},
    )
    assert set(found) == {"federated", "local_only", "persistence", "seasonal_naive"}
    perfect = found["federated"]["14d"]
    assert (perfect.mae, perfect.wis, perfect.n) == (0.0, 0.0, 14 * len(y))
    grid, boundary = read_series(standardized_path(spec(home).folder)).values[:, 0], int(1042 * 0.8)
    truth = np.stack([grid[boundary + i : boundary + i + 14] for i in range(len(y))])
    before = np.stack([grid[boundary + i - 7 : boundary + i] for i in range(len(y))])
    naive = found["seasonal_naive"]["14d"]
    assert naive.mae == pytest.approx(np.abs(truth - np.tile(before, 2)).mean(), rel=1e-4)
    assert naive.scaled_mae == pytest.approx(naive.mae / grid[:boundary].std(), rel=1e-6)
    scale = record.population / 1e5
    past = np.load(fit / "y.npy") - np.load(fit / "season.npy")
    offsets = np.quantile(np.concatenate([past, -past]), config.quantiles, axis=0).T
    band = np.square(np.maximum(season[..., None] + offsets, 0.0)) * scale
    assert naive.wis == pytest.approx(interval_score(truth, band, config.quantiles).mean(), rel=1e-4)
    assert set(naive.coverage) == {"0.95", "0.8", "0.5"}


def model():
    config = load_scenario(FEDERATION, SCENARIO)
    return model_spec(config).model_copy(update={"learning": config.learning.model_copy(update={"units": 4})})


def weights():
    draw = np.random.default_rng(5)
    shapes = {"000/hidden/kernel": (17, 4), "001/hidden/bias": (4,), "002/gaps/kernel": (4, 84), "003/gaps/bias": (84,)}
    shapes |= {"004/correction/kernel": (4, 14), "005/correction/bias": (14,)}
    return {name: (0.2 * draw.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def promote(home, what):
    for agency in MEMBERS:
        enrol.init_agency(Home(home), FEDERATION, SCENARIO, agency)
    roster = enrol.init_coordinator(Home(home), FEDERATION, SCENARIO)
    for agency in MEMBERS:
        enrol.approve(Home(home), SCENARIO, agency, roster.sha256.hex())
    sha256 = tensors_sha256(weights()).hex()
    at = spec(home, "report", agency=None)
    champions.champions_exchange(at).put(champions.model_name(sha256), tensors_to_bytes(weights()))
    body = ChampionBody(
        number=1,
        action="promote",
        scenario=SCENARIO,
        version=3,
        model_sha256=sha256,
        model=what,
        run_id=f"{SCENARIO}__before",
        data_interval=INTERVAL,
        decided_at=dt.datetime.now(dt.UTC),
    )
    champions.append(at, body)


def test_a_forecast_of_14_days_has_its_quantiles_in_cases(home):
    promote(home, model())
    at = spec(home, "predict")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fl_tasks", "run", "predict", "--spec", str(write_spec(at))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HUILIU_HOME": str(home)},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table = pd.read_parquet(forecast_path(Home(home).agency(AGENCY), SCENARIO, at.run_id))
    levels = [name for name in table.columns if name.startswith("quantile_")]
    assert levels == [f"quantile_{level}" for level in (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)]
    assert len(table) == 14
    assert [str(table.timestamp.iloc[i].date()) for i in (0, -1)] == ["2023-01-01", "2023-01-14"]
    assert set(table.unit) == {"cases/day"}
    values = table[levels].to_numpy()
    assert (values >= 0).all()
    assert (np.diff(values, axis=1) >= 0).all()
    np.testing.assert_array_equal(table.forecast, table["quantile_0.5"])
    np.testing.assert_allclose(table.forecast, by_hand(home), rtol=1e-3)


def by_hand(home):
    """The median without TensorFlow."""
    grid = read_series(standardized_path(spec(home).folder))
    rate = load_series_source(FEDERATION, AGENCY, SCENARIO).population / 1e5
    last = np.sqrt(grid.values[-14:, 0] / rate)
    level = last[-7:].mean()
    angle = 2 * np.pi * 5 / 7  # 2022-12-31 was a Saturday
    seen = np.concatenate([last - level, [level, np.sin(angle), np.cos(angle)]])
    into, bias, _, _, out, shift = weights().values()
    hidden = np.maximum(seen @ into + bias, 0)
    return np.square(np.maximum(np.tile(last[-7:], 2) + hidden @ out + shift, 0)) * rate


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantiles": (0.1, 0.5, 0.9)}, "levels 0.1, 0.5, 0.9"),
        ({"rate": None}, "scaled by each agency itself"),
    ],
)
def test_a_champion_of_another_rate_or_other_levels_is_refused(change, said):
    config = load_scenario(FEDERATION, SCENARIO)
    body = ChampionBody.model_construct(
        version=3, scenario=SCENARIO, model=model_spec(config).model_copy(update=change)
    )
    with pytest.raises(ConfigError, match=rf"version 3 .*{said}.* now mean .*sqrt of cases/day by 100000 inhabitants"):
        predict.check_windows(body, config.series)
    same = ChampionBody.model_construct(version=3, scenario=SCENARIO, model=model_spec(config))
    predict.check_windows(same, config.series)
    assert not champions.same_shapes(body.model, same.model)
