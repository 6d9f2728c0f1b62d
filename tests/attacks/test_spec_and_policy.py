"""Attack 18 and rule 10: what a coordinator asks for beyond what the agency's own operator admitted.

Each attack is shown to work with the one check that stops it taken out of the real code, then refused by the real
code in a fresh process: own error, exit code 10, an entry in the journal.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from fl_tasks.contracts.data import flow_table_path, raw_path, standardized_path
from fl_tasks.contracts.errors import ConfigError
from fl_tasks.contracts.stage import write_spec
from fl_tasks.secagg import member as member_module
from fl_tasks.secagg import names
from fl_tasks.secagg.agency import Party, RoundSecret, mask_update
from fl_tasks.secagg.messages import Manifest, Reveal, Upload
from fl_tasks.secagg.shamir import combine, lagrange_weights
from fl_tasks.stages import enrol, installed_code, policy
from fl_tasks.stages.runner import run_stage
from fl_tasks.stages.series import predict
from tests.attacks.agency_site import AGENCY, REPOSITORY, RUN_ID, SCENARIO, Site
from tests.secagg.federation import Federation, model_of, secagg_config

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

import pyarrow.parquet as pq

from fl_tasks.data.series import read_series, write_series
from tests.stages.test_predict_stage import own_grid, promote, small_model

SPEED, SALARY = 50.0, 4000.0
VICTIM, LENGTH = 0, 11


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path).install()


def take_out(monkeypatch, where, name) -> None:
    """Take one check out of the real code."""
    assert callable(getattr(where, name))
    monkeypatch.setattr(where, name, lambda *_, **__: None)


# --- a roster under which masking protects nobody


def weak_roster(site: Site, monkeypatch):
    """A roster that calls itself `active` with t = 2 of 4; what approves it believed its hash alone."""
    with monkeypatch.context() as deceived:
        deceived.setattr(enrol, "checked_threshold", lambda *_: 2)
        site.change("scenarios", SCENARIO, lambda config: config["secagg"].update(t=2, n_c=0))
        roster = site.propose()
        site.approve(roster)
    site.open_session(roster)
    return roster


def recovered_by_two_views(folder: Path, update) -> np.ndarray:
    """What a coordinator computes of one agency under t = 2 of 4: it shows two manifests to two pairs of agencies."""
    federation = Federation(folder, 4, config=secagg_config(4).model_copy(update={"t": 2}))
    federation.set_up()
    for i in range(4):
        federation.upload(i, 1, update + np.uint32(i))
    federation.manifest(1, LENGTH)
    closed = federation.closed()
    whole = closed.read_manifest(federation.store[names.manifest(1)], 1)
    without = Manifest(whole.header, whole.members[1:]).encode(federation.coordinator_key)
    for pair, manifest in (((0, 1), federation.store[names.manifest(1)]), ((2, 3), without)):
        federation.store[names.manifest(1)] = manifest
        for step in (federation.ack, federation.reveal):
            for i in pair:
                step(i, 1)
    place = closed.ids.index(VICTIM)
    shares = {}
    for i in range(4):
        data = federation.store[names.reveal(1, federation.roster.names[i])]
        shares[i] = Reveal.decode(data, lambda reveal: federation.setting.member_key(reveal.sender), 4).shares[place]

    def secret(pair: tuple[int, int]) -> bytes:
        weights = lagrange_weights([i + 1 for i in pair])
        return combine({i + 1: shares[i] for i in pair}, dict(zip((i + 1 for i in pair), weights, strict=True)))

    both = RoundSecret(k=secret((2, 3)), b=secret((0, 1)))
    party = Party(federation.setting, VICTIM, federation.keys[VICTIM])
    mask = mask_update(party, closed, closed.header(1, model_of(1)), np.zeros(LENGTH, np.uint32), both, {})
    sent = federation.store[names.upload(1, federation.roster.names[VICTIM])]
    values = [np.frombuffer(data[Upload.HEAD_BYTES :], "<u4") for data in (sent, mask)]
    return values[0] - values[1]


def test_attack_18_masking_that_two_agencies_lift_shown(site, tmp_path, monkeypatch):
    weak_roster(site, monkeypatch)
    take_out(monkeypatch, policy.Gate, "check_roster")
    take_out(monkeypatch, member_module, "checked_threshold")  # the protocol's own word on the same matter
    site.stage("keys")
    assert site.exchange.find(names.keys(AGENCY)) is not None
    update = np.arange(LENGTH, dtype=np.uint32) * np.uint32(123_456_789)
    assert np.array_equal(recovered_by_two_views(tmp_path / "views", update), update)


def test_attack_18_masking_that_two_agencies_lift_refused(site, monkeypatch):
    weak_roster(site, monkeypatch)
    said = site.refused("keys", "PolicyRefused")
    assert "field scenarios.traffic_districts.masking: the run wants a roster in which secagg.t is 2" in said
    assert site.exchange.find(names.keys(AGENCY)) is None


def test_attack_18_masking_switched_off_in_the_spec_refused(site):
    """There is no such field anywhere: a spec that brings one is no spec."""
    path = write_spec(site.spec("keys"))
    path.write_text(path.read_text().replace("{", '{"masking":false,', 1))
    with pytest.raises(ConfigError, match="field masking: Extra inputs are not permitted"):
        run_stage(path)


# --- another data path


def other_source(site: Site) -> None:
    site.deliver("speed_5min.csv.gz", SPEED)
    site.deliver("salaries.csv", SALARY)

    def rename(config):
        config["scenarios"][SCENARIO] |= {"path": "incoming/salaries.csv", "maximum": 1e6}

    site.change("agencies", AGENCY, rename)


def test_attack_18_another_data_path_shown(site, monkeypatch):
    other_source(site)
    take_out(monkeypatch, policy.Gate, "check_config")
    site.stage("ingest")
    assert read_series(raw_path(site.spec("ingest").folder)).values.min() >= SALARY


def test_attack_18_another_data_path_refused(site):
    other_source(site)
    said = site.refused("ingest", "PolicyRefused")
    assert (
        "policy.yaml: field scenarios.traffic_districts.sources: the run wants incoming/salaries.csv, admitted is "
        "incoming/speed_5min.csv.gz" in said
    )
    assert not raw_path(site.spec("ingest").folder).exists()


# --- another version of the bundle

STOLEN = "stolen-rows"
THIEF = f"""
_read_own = _read
def _read(spec, agency, source):
    found = _read_own(spec, agency, source)
    (spec.places.exchange(spec.run_id) / "{STOLEN}").write_bytes(found[0].values.tobytes())
    return found
"""


def another_version(site: Site) -> dict[str, str]:
    """Install the whole product anew below the site, let the agency approve it, then slip a thief into it."""
    code = site.folder / "code"
    for name in ("fl_tasks", "expectations", "plugins"):
        shutil.copytree(REPOSITORY / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    env = {"PYTHONPATH": f"{code}:{code / 'plugins'}"}
    approval = installed_code.approval_path(site.home.agency(AGENCY))
    text = approval.read_text()
    here = installed_code.installed_files(site.home, site.federation)
    assert all(f'"{name}": "{sha256}"' in text for name, sha256 in here.items())  # the copy is what was approved
    site.deliver("speed_5min.csv.gz", SPEED)
    site.home.exchange(RUN_ID).mkdir(parents=True)
    with (code / "fl_tasks" / "stages" / "series" / "ingest.py").open("a") as file:
        file.write(THIEF)
    return env


def test_attack_18_another_bundle_version_shown(site):
    env = another_version(site)
    with (site.folder / "code" / "fl_tasks" / "stages" / "admission.py").open("a") as file:
        file.write("\n\ndef check_code(*_):\n    pass\n")
    assert site.run("ingest", env).returncode == 0
    stolen = np.frombuffer((site.home.exchange(RUN_ID) / STOLEN).read_bytes())
    assert stolen.min() == SPEED


def test_attack_18_another_bundle_version_refused(site):
    env = another_version(site)
    said = site.refused("ingest", "CodeNotApproved", env=env)
    assert "fl_tasks/stages/series/ingest.py (changed); look at the change, then fl agency approve-code" in said
    assert not (site.home.exchange(RUN_ID) / STOLEN).exists()


def test_attack_18_another_dag_file_refused(site):
    with (site.dags / "forecast.py").open("a") as file:
        file.write("import os\n")
    (site.dags / "helper.py").touch()
    said = site.refused("ingest", "CodeNotApproved")
    assert "dags/forecast.py (changed), dags/helper.py (new)" in said


def test_attack_18_a_spec_that_names_another_bundle_refused(site):
    other = Site(site.folder / "version_2")
    shutil.copytree(site.dags, other.dags)
    said = site.refused("ingest", "CodeNotApproved", federation=other.federation)
    assert f"the run comes from {other.federation}" in said


# --- too many rounds

MANY = 200


def many_rounds(site: Site) -> None:
    site.change("scenarios", SCENARIO, lambda config: config.update(rounds={"wanted": MANY, "spare": 0}))
    roster = site.propose()
    site.approve(roster)
    site.open_session(roster, rounds=MANY)


def test_attack_18_too_many_rounds_shown(site, monkeypatch):
    """Keys for two hundred sums of this agency's updates leave, where its operator admitted twelve."""
    many_rounds(site)
    take_out(monkeypatch, policy.Gate, "_at_most")
    site.stage("keys")
    sent = site.exchange.get(names.keys(AGENCY))
    assert len(sent) > MANY * 64  # a public key and a hash for each


def test_attack_18_too_many_rounds_refused(site):
    many_rounds(site)
    said = site.refused("keys", "PolicyRefused")
    assert "field scenarios.traffic_districts.max_rounds: the run wants 200, admitted is 12" in said
    assert site.exchange.find(names.keys(AGENCY)) is None


# --- a champion that is larger than what was admitted

WIDE = 4096


def wide_champion(site: Site) -> None:
    """The coordinator signs a champion that would take the agency's memory."""
    model = small_model()
    learning = model.learning.model_copy(update={"model": "gru", "units": WIDE})
    promote(site.home.root, model.model_copy(update={"learning": learning}))
    write_series(standardized_path(site.spec("predict").folder), own_grid())


class Built(Exception):
    """The learning process is asked for a model."""


def test_rule_10_a_champion_of_another_size_shown(site, monkeypatch):
    wide_champion(site)
    take_out(monkeypatch, policy.Gate, "check_model")

    def run_job(job, _):
        raise Built(job.model.learning.units)

    monkeypatch.setattr(predict, "run_job", run_job)
    with pytest.raises(Built, match=str(WIDE)):
        site.stage("predict")


def test_rule_10_a_champion_of_another_size_refused(site):
    wide_champion(site)
    said = site.refused("predict", "PolicyRefused")
    assert "models: the run wants gru with 4096 units, admitted is gru up to 64" in said


def test_rule_10_a_champion_of_too_many_parameters_refused(site):
    model = small_model()
    promote(site.home.root, model.model_copy(update={"learning": model.learning.model_copy(update={"model": "gru"})}))
    path = policy.policy_path(site.home.agency(AGENCY))
    path.write_text(path.read_text().replace("max_parameters: 10000000", "max_parameters: 100"))
    said = site.refused("predict", "PolicyRefused")
    assert "max_parameters: the run wants" in said
    assert "admitted is 100" in said


# --- a smaller k than the agency's own

SMALL_COUNT = 3


def smaller_k(site: Site) -> None:
    """The agency admitted its table of trips with k = 5; then the YAML says 2."""
    flow = {"path": "trips.csv", "time": "t", "origin": "a", "destination": "b", "count": "n", "limit": 5}
    site.change("agencies", AGENCY, lambda config: config["scenarios"][SCENARIO].update(flow_table=flow))
    path = policy.policy_path(site.home.agency(AGENCY))
    path.write_text(path.read_text().replace("flow_tables: {}", "flow_tables: {trips.csv: 5}"))
    flow["limit"] = 2
    site.change("agencies", AGENCY, lambda config: config["scenarios"][SCENARIO].update(flow_table=flow))
    rows = (f"1,{a},{b},{SMALL_COUNT if a == b else 40 + a + b}" for a in range(4) for b in range(4))
    (site.home.agency(AGENCY) / "trips.csv").write_text("t,a,b,n\n" + "\n".join(rows) + "\n")
    write_series(raw_path(site.spec("anonymize").folder), own_grid())


def test_rule_10_a_smaller_k_shown(site, monkeypatch):
    smaller_k(site)
    take_out(monkeypatch, policy.Gate, "check_config")
    site.stage("anonymize")
    table = pq.ParquetFile(flow_table_path(site.spec("anonymize").folder)).read()
    assert SMALL_COUNT in table.column("n").to_pylist()


def test_rule_10_a_smaller_k_refused(site):
    smaller_k(site)
    said = site.refused("anonymize", "PolicyRefused")
    assert "flow_tables.trips.csv: the run wants k = 2, admitted is k >= 5" in said
    assert not flow_table_path(site.spec("anonymize").folder).exists()
