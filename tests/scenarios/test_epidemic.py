"""The epidemic scenarios: generated files have the real ones' columns and flaws; every agency's YAML fits its data."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from fl_tasks import scenarios
from fl_tasks.contracts.config import load_federation
from fl_tasks.contracts.errors import InputError
from fl_tasks.contracts.paths import Home
from fl_tasks.data.ingest import read_source
from fl_tasks.data.standardize import standardize
from fl_tasks.scenarios.epidemic_files import FILE
from fl_tasks.scenarios.hand_out import hand_out

REPOSITORY = Path(__file__).parents[2]
FEDERATION = REPOSITORY / "dags" / "federation"
EXAMPLES = REPOSITORY / "docs" / "examples"
NAMES = ("epidemic", "epidemic_china", "epidemic_influenza")
ITALY = ["calabria", "campania", "emilia_romagna", "lazio", "liguria", "piemonte", "puglia", "toscana"]


@pytest.fixture(scope="module")
def generated():
    return {name: scenarios.load(name).generate(7) for name in NAMES}


def table(content):
    header, *rows = csv.reader(io.StringIO(gzip.decompress(content[FILE]).decode()))
    return header, rows


def column(content, name):
    header, rows = table(content)
    return [row[header.index(name)] for row in rows]


def numbers(content, name):
    return np.array([float(cell) for cell in column(content, name)])


def whole_federation(folder, scenario):
    """The repository's federation with what the scenario's example adds to it, as its page says."""
    for part in ("scenarios", "agencies"):
        (folder / part).mkdir()
        for source in (FEDERATION, EXAMPLES / scenario):
            for path in sorted((source / part).glob("*.yaml")):
                if f"{scenario}:" in path.read_text() or path.stem == scenario:
                    (folder / part / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(generated, name):
    module = scenarios.load(name)
    assert module.generate(7) == generated[name]
    other = module.generate(8)
    assert all(other[agency] != content for agency, content in generated[name].items())


@pytest.mark.parametrize("name", NAMES)
def test_generated_files_have_the_real_ones_columns_and_days(generated, name, shared_data):
    module = scenarios.load(name)
    real = module.split_real(shared_data)
    assert set(real) == set(generated[name]) == set(module.REGIONS)
    when = {"epidemic": "data", "epidemic_china": "date", "epidemic_influenza": "date"}[name]
    for agency, content in generated[name].items():
        assert table(content)[0] == table(real[agency])[0]
        ours, theirs = (sorted(set(column(one, when))) for one in (content, real[agency]))
        assert (ours[0], ours[-1]) == (theirs[0], theirs[-1])


def test_no_agency_is_the_unknown_province_or_the_country_as_a_whole(shared_data):
    china, states = (scenarios.load(name).split_real(shared_data) for name in NAMES[1:])
    assert {cell for content in china.values() for cell in column(content, "province")}.isdisjoint({"Unknown"})
    assert "US" not in {cell for content in states.values() for cell in column(content, "location")}
    assert (len(china), len(states)) == (33, 34)


def test_an_agency_gets_its_own_rows_alone(shared_data):
    for agency, content in scenarios.load("epidemic").split_real(shared_data).items():
        name = scenarios.load("epidemic").REGIONS[agency].name
        assert set(column(content, "denominazione_regione")) == {name}
        assert len(column(content, "data")) == 1042


def test_generated_regions_have_the_flaws_that_the_data_stages_have_to_handle(generated):
    italy = generated["epidemic"]
    days = {agency: column(content, "data") for agency, content in italy.items()}
    assert all((numbers(content, "nuovi_positivi") < 0).any() for content in italy.values())
    assert {len(set(one)) for one in days.values()} == {1042, 1039}  # one has days without a row
    assert any(len(one) > len(set(one)) for one in days.values())
    lazio = italy["lazio"]
    weekday = (np.array(column(lazio, "data"), dtype="datetime64[D]").astype(int) + 3) % 7
    cases = numbers(lazio, "nuovi_positivi")
    assert cases[weekday == 0].mean() < 0.7 * cases[weekday == 2].mean()  # Mondays tell of Sundays
    china = generated["epidemic_china"]
    steps = {agency: np.diff(numbers(content, "confirmed_cum")) for agency, content in china.items()}
    assert 0.3 < np.mean([(one == 0).mean() for one in steps.values()]) < 0.7
    assert sum((one < 0).any() for one in steps.values()) > 10
    assert steps["hubei"].argmax() == 21  # the change of definition
    states = generated["epidemic_influenza"]
    assert sum(cell == "" for content in states.values() for cell in column(content, "value")) == 14


@pytest.mark.parametrize("name", NAMES)
def test_every_agencys_yaml_says_its_population_and_reads_its_file(generated, name, tmp_path):
    module = scenarios.load(name)
    federation = whole_federation(tmp_path, name)
    loaded = load_federation(federation)
    assert {agency.agency for agency in loaded.members(name)} == set(module.REGIONS)
    hand_out(name, generated[name], Home(tmp_path / "home"), federation)
    config = loaded.scenarios[name].series
    for agency in loaded.members(name):
        source = agency.scenarios[name]
        assert source.population == module.REGIONS[agency.agency].population
        rows = read_source(source, Home(tmp_path / "home").agency(agency.agency), None, name=agency.agency)
        grid = standardize(rows.series, source, config).grid
        assert len(grid.names) == 1
        assert not (grid.values < 0).any()
        assert np.isfinite(grid.values).mean() > 0.9


def test_the_demo_has_eight_named_regions_and_twelve_states():
    loaded = load_federation(FEDERATION)
    assert [agency.agency for agency in loaded.members("epidemic")] == ITALY
    assert len(loaded.members("epidemic_influenza")) == 12


def test_only_agencies_of_the_federation_get_files(generated, tmp_path):
    hand_out("epidemic", generated["epidemic"], Home(tmp_path), FEDERATION)
    assert sorted(path.name for path in (tmp_path / "agencies").iterdir()) == ITALY


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_real_file_is_named(name, tmp_path):
    with pytest.raises(InputError, match=r"\.csv\.gz: there is no such file"):
        scenarios.load(name).split_real(tmp_path)
    with pytest.raises(InputError, match="give the folder that holds epidemic/"):
        scenarios.load(name).split_real(tmp_path / "nowhere")
