"""The scenarios about people, on real and made-up data: what is read, who stays together, if the policy is reached."""

from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pytest

from fl_tasks import scenarios
from fl_tasks.contracts.config import load_federation, load_source
from fl_tasks.contracts.errors import InputError
from fl_tasks.data import identifiers
from fl_tasks.scenarios.persons import IDENTIFYING
from fl_tasks.stages.suites import load_suite
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, load_hierarchies
from fl_tasks.stages.tables.release import release
from tests.benchmarks.learning_examples import FEDERATION, delivered, levels_of, prepared
from tests.data.identifier_fakes import is_resident_id

# What computes the target, or is computed from it, in the files as they are delivered.
DEFINING = {
    "welfare": {"eqIncome", "eqSS"}
    | {f"py{kind}n" for kind in ("010", "050", "090", "100", "110", "120", "130", "140")}
    | {f"hy{kind}n" for kind in ("040", "050", "070", "080", "090", "110", "130", "145")},
    "welfare_unemployment": set(),
    "medical": set(),
    "medical_medicaid": set(),
}
NAMES = tuple(DEFINING)
AGENCIES = {"welfare": 6, "welfare_unemployment": 8, "medical": 4, "medical_medicaid": 4}
GENERATED, REAL = "generated", "real"


def header_and_rows(content, encoding="utf-8"):
    header, *rows = csv.reader(io.StringIO(gzip.decompress(content).decode(encoding)))
    return header, rows


def encoding_of(scenario, agency):
    return load_source(FEDERATION, agency, scenario).encoding


def column(scenario, agency, files, name):
    (content,) = files[agency].values()
    header, rows = header_and_rows(content, encoding_of(scenario, agency))
    return [row[header.index(name)] for row in rows]


@pytest.fixture(scope="module", params=NAMES)
def scenario(request):
    return request.param


@pytest.fixture(scope="module")
def generated(scenario):
    return scenarios.load(scenario).generate(7)


@pytest.fixture(scope="module")
def real(scenario, shared_data):
    return scenarios.load(scenario).split_real(shared_data)


@pytest.fixture(scope="module", params=[GENERATED, REAL])
def agencies(request, scenario, tmp_path_factory):
    """Every agency's harmonized rows."""
    files = request.getfixturevalue(request.param)
    return delivered(scenario, files, tmp_path_factory.mktemp(f"{scenario}-{request.param}") / "home")


@pytest.fixture(scope="module")
def config(scenario):
    return load_federation(FEDERATION).scenarios[scenario].table


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(scenario, generated):
    module = scenarios.load(scenario)
    assert module.generate(7) == generated
    assert module.generate(8) != generated


def test_every_agency_of_the_federation_gets_a_file_and_its_data_checks_exist(scenario, generated, real):
    members = {agency.agency for agency in load_federation(FEDERATION).members(scenario)}
    assert set(generated) == set(real) == members
    assert len(members) == AGENCIES[scenario]
    assert load_suite(scenario).suites


def test_made_up_files_have_the_real_ones_columns_and_what_a_register_knows_beside(scenario, generated, real):
    for agency, files in generated.items():
        ((name, content),) = files.items()
        ours, theirs = (header_and_rows(one, encoding_of(scenario, agency))[0] for one in (content, real[agency][name]))
        assert set(ours) - set(theirs) == set(IDENTIFYING)
        assert set(theirs) <= set(ours)


def test_made_up_ids_pass_every_check_and_stand_in_notes_too(scenario, generated):
    for agency in generated:
        assert all(map(is_resident_id, column(scenario, agency, generated, "resident_id")))
        mobiles = {held.kind: held for held in identifiers.held(column(scenario, agency, generated, "mobile"))}
        assert mobiles["mobile"].cells == len(column(scenario, agency, generated, "mobile"))
        notes = column(scenario, agency, generated, "note")
        assert {held.kind for held in identifiers.held(notes) if held.cells} >= {"resident_id", "mobile"}
        assert any(sign in note for note in notes for sign in map(chr, range(0xFF10, 0xFF1A)))


def test_nothing_that_defines_the_target_is_read(scenario, agencies):
    for agency in agencies.values():
        read = set(agency.declared.needed) | set(agency.declared.welcome)
        assert not read & DEFINING[scenario]
        assert set(agency.declared.delivered) & set(agency.table.columns) == set(agency.table.columns) - {"resident_id"}


def test_rows_are_read_and_only_made_up_flaws_are_left_out(scenario, agencies, config):
    for agency in agencies.values():
        whole = len(agency.table) + agency.quarantined + agency.merged
        made_up = "resident_id" in agency.table.columns
        assert agency.quarantined <= config.quality.max_quarantined * whole
        assert (agency.quarantined > 0, agency.merged > 0) == (made_up, made_up)
        assert len(agency.table) * (config.split.train + config.split.validation) >= config.quality.min_rows


def test_a_household_is_in_one_agency_and_in_one_part(scenario, agencies, config):
    if not config.of("key"):
        pytest.skip("the survey is of single claimants")
    owners = {name: set(agency.table.columns["household"]) for name, agency in agencies.items()}
    assert sum(map(len, owners.values())) == len(set().union(*owners.values()))
    for agency in agencies.values():
        households = agency.table.columns["household"]
        places = _places(agency)
        assert len({*zip(households, places, strict=True)}) == len(set(households))
        assert len(set(households)) < len(households)


def test_the_policy_is_reached_at_every_agency_and_the_protected_groups_stay_apart(scenario, agencies, config):
    hierarchies = load_hierarchies(hierarchies_folder(FEDERATION, scenario), config)
    levels = dict(zip(hierarchies, levels_of(agencies, scenario), strict=True))
    for name, agency in agencies.items():
        report = release(agency.table, config, levels, hierarchies, where=name).report(config.privacy, sha256="0" * 64)
        assert report.short_of() == ()
        assert report.suppressed <= config.privacy.suppression * report.rows_in
    assert len(hierarchies[config.protected].levels[levels[config.protected]].labels) > 1


def test_made_up_features_carry_signal_but_do_not_give_the_target_away(scenario, generated, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    rows = delivered(scenario, generated, tmp_path / "home")
    made = prepared(scenario, rows, 1, levels_of(rows, scenario)).examples.values()
    fit, test = ([np.concatenate([parts[part][at] for parts in made]) for at in (0, 1)] for part in ("fit", "test"))
    model = LogisticRegression(max_iter=1000).fit(fit[0], fit[1][:, 1])
    assert 0.6 < roc_auc_score(test[1][:, 1], model.predict_proba(test[0])[:, 1]) < 0.95


def test_a_missing_folder_and_a_missing_file_are_refused_by_name(scenario, tmp_path):
    module = scenarios.load(scenario)
    with pytest.raises(InputError, match="there is no such folder; give the folder that holds welfare/"):
        module.split_real(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"\.csv\.gz: there is no such file"):
        module.split_real(tmp_path)


def _places(agency):
    from fl_tasks.data.tables.deidentify import split_places

    return split_places(agency.table, agency.declared, b"secret")
