"""What an agency's own policy.yaml admits: held at every stage, whoever asks, and only its operator changes it."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from fl_tasks.contracts.base import describe
from fl_tasks.contracts.config import load_federation, load_scenario, load_source, load_yaml
from fl_tasks.contracts.errors import ConfigError, PolicyRefused
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.policy import AdmittedSource, Policy, ScenarioPolicy
from fl_tasks.contracts.stage import AGENCY_STAGES, ROUND_STAGES, SURVEY_STAGES, StageSpec, write_spec
from fl_tasks.stages import enrol
from fl_tasks.stages.context import journal_paths
from fl_tasks.stages.policy import Gate, open_gate, policy_path
from fl_tasks.stages.runner import run_stage
from tests.stages.federation_run import AGENCIES, INTERVAL, REPOSITORY, SCENARIO

AGENCY = AGENCIES[0]
FLOWS = {"path": "od.csv", "time": "t", "origin": "a", "destination": "b", "count": "n", "limit": 5}


class Place:
    """One agency's folder, whose operator admitted the scenario as it stood, flow table and identifiers included."""

    def __init__(self, folder):
        self.home = Home(folder / "home")
        self.federation = folder / "dags" / "federation"
        shutil.copytree(REPOSITORY / "dags" / "federation", self.federation)
        self.change("agencies", AGENCY, lambda c: c["scenarios"][SCENARIO].update(flow_table=FLOWS))
        self.change("agencies", AGENCY, lambda c: c["scenarios"][SCENARIO].update(identifiers={"plate": "hash"}))
        for agency in AGENCIES:
            enrol.init_agency(self.home, self.federation, SCENARIO, agency)

    @property
    def path(self):
        return policy_path(self.home.agency(AGENCY))

    def change(self, kind, name, change):
        path = self.federation / kind / f"{name}.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config))

    def spec(self, stage="ingest", scenario=SCENARIO):
        return StageSpec(
            stage=stage,
            scenario=scenario,
            run_id=f"survey.{scenario}__test" if stage in SURVEY_STAGES else f"{scenario}__test",
            data_interval=INTERVAL,
            home=self.home.root,
            federation=self.federation,
            agency=AGENCY,
            round=1 if stage in ROUND_STAGES else None,
        )

    def stage(self, *args):
        return run_stage(write_spec(self.spec(*args)))

    def journaled(self):
        path, _ = journal_paths(self.home.agency(AGENCY), SCENARIO)
        return [(e["kind"], e["facts"]["step"], e["facts"]["code"]) for e in map(json.loads, path.open())]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def set_in(path, value):
    """A change of a YAML: the field at a dotted path becomes a value."""

    def change(config):
        *way, last = path.split(".")
        for part in way:
            config = config[part]
        config[last] = value

    return change


SOURCE = f"scenarios.{SCENARIO}"
WANTED = [
    ("agencies", f"{SOURCE}.path", "keys/protocol.csv", "sources: the run wants keys/protocol.csv"),
    ("agencies", f"{SOURCE}.identifiers", {}, "identifiers.plate: the run wants to keep it, admitted is hash"),
    ("agencies", f"{SOURCE}.flow_table.path", "all.csv", "flow_tables: the run wants all.csv, admitted is od.csv"),
    ("agencies", f"{SOURCE}.flow_table.limit", 4, "flow_tables.od.csv: the run wants k = 4, admitted is k >= 5"),
    ("scenarios", "schedule.lookback_months", 4, "max_lookback_months: the run wants 4, admitted is 3"),
    ("scenarios", "rounds.spare", 3, "max_rounds: the run wants 13, admitted is 12"),
    ("scenarios", "learning.local_epochs", 3, "max_local_epochs: the run wants 3, admitted is 2"),
    ("scenarios", "learning.units", 65, "models: the run wants gru with 65 units, admitted is gru up to 64"),
    ("scenarios", "learning.model", "mlp", "models: the run wants mlp with 64 units, admitted is gru up to 64"),
    ("scenarios", "secagg.clip", 20.5, "max_clip: the run wants 20.5, admitted is 20.0"),
]


@pytest.mark.parametrize(("kind", "field", "value", "said"), WANTED, ids=[f"{w[1]}={w[2]}" for w in WANTED])
def test_what_the_yaml_wants_beyond_the_policy_is_refused_and_journaled(place, kind, field, value, said):
    place.change(kind, AGENCY if kind == "agencies" else SCENARIO, set_in(field, value))
    with pytest.raises(PolicyRefused) as caught:
        place.stage()
    assert f"{place.path}: field scenarios.{SCENARIO}.{said}" in str(caught.value)
    assert place.journaled() == [("refused", "ingest", "PolicyRefused")]


@pytest.mark.parametrize("stage", AGENCY_STAGES)
def test_every_stage_of_an_agency_is_held_against_its_policy(place, stage):
    place.change("scenarios", SCENARIO, set_in("learning.local_epochs", 100))
    with pytest.raises(PolicyRefused):
        place.stage(stage)
    step = f"{stage}-1" if stage in ROUND_STAGES else stage
    assert place.journaled() == [("refused", step, "PolicyRefused")]


def test_what_is_stricter_than_the_policy_is_admitted(place):
    for field, value in ((f"{SOURCE}.identifiers", {"plate": "drop"}), (f"{SOURCE}.flow_table.limit", 9)):
        place.change("agencies", AGENCY, set_in(field, value))
    for field, value in (("learning.units", 8), ("learning.local_epochs", 1), ("secagg.clip", 1.0)):
        place.change("scenarios", SCENARIO, set_in(field, value))
    gate_of(place)


def gate_of(place):
    gate = open_gate(place.spec())
    config = load_scenario(place.federation, SCENARIO)
    gate.check_config(config, load_source(place.federation, AGENCY, SCENARIO))
    return gate


def test_a_roster_is_held_against_the_policy_at_every_stage_from_its_approval_on(place):
    roster = enrol.init_coordinator(place.home, place.federation, SCENARIO)
    gate = open_gate(place.spec())
    gate.check_roster(roster)
    for changed, said in (
        (roster.model_copy(update={"r_max": 13}), "max_rounds: the run wants 13, admitted is 12"),
        (secagg(roster, clip=21.0), "max_clip: the run wants 21.0, admitted is 20.0"),
        (secagg(roster, t=2, n_c=0), "masking: the run wants a roster in which secagg.t is 2"),
    ):
        with pytest.raises(PolicyRefused, match=said):
            gate.check_roster(changed)
    pinned = Gate(gate.path, SCENARIO, gate.policy.model_copy(update={"roster": "a" * 64}))
    with pytest.raises(PolicyRefused, match=f"roster: the run wants {roster.sha256.hex()}, admitted is aaaa"):
        pinned.check_roster(roster)
    enrol.approve(place.home, SCENARIO, AGENCY, roster.sha256.hex())
    place.path.write_text(place.path.read_text().replace("roster: null", f"roster: {'a' * 64}"))
    with pytest.raises(PolicyRefused, match="roster: the run wants"):
        place.stage()


def secagg(roster, **changes):
    return roster.model_copy(update={"secagg": roster.secagg.model_copy(update=changes)})


def test_a_roster_whose_threshold_protects_nobody_cannot_be_approved(place):
    path = place.home.roster(SCENARIO) / "rosters" / "1.json"
    roster = enrol.init_coordinator(place.home, place.federation, SCENARIO)
    path.unlink()
    path.write_text(secagg(roster, t=2, n_c=0).model_dump_json(by_alias=True))
    weak = secagg(roster, t=2, n_c=0).sha256.hex()
    with pytest.raises(ConfigError, match=r"secagg\.t is 2"):
        enrol.approve(place.home, SCENARIO, AGENCY, weak)


def test_a_scenario_that_was_not_admitted_is_refused(place):
    place.change("agencies", AGENCY, lambda c: c["scenarios"].update(traffic=c["scenarios"][SCENARIO]))
    with pytest.raises(
        PolicyRefused, match=r"field scenarios: the run wants 'traffic', admitted are traffic_districts"
    ):
        place.stage("ingest", "traffic")


def test_another_agencys_policy_is_refused(place):
    place.path.write_text(place.path.read_text().replace(f"agency: {AGENCY}", f"agency: {AGENCIES[1]}"))
    with pytest.raises(PolicyRefused, match=f"field agency: the run wants '{AGENCY}', admitted is '{AGENCIES[1]}'"):
        place.stage()


def test_joining_another_scenario_adds_it_and_changes_nothing_that_the_operator_wrote(place):
    mine = place.path.read_text().replace("max_clip: 20.0", "max_clip: 1.5  # ours")
    place.path.write_text(mine)
    place.change("agencies", AGENCY, lambda c: c["scenarios"].update(traffic=c["scenarios"][SCENARIO]))
    enrol.init_agency(place.home, place.federation, SCENARIO, AGENCY)
    assert place.path.read_text() == mine
    enrol.init_agency(place.home, place.federation, "traffic", AGENCY)
    assert place.path.read_text().startswith(mine)
    policy = load_yaml(place.path, Policy)
    assert list(policy.scenarios) == [SCENARIO, "traffic"]
    assert policy.scenarios[SCENARIO].max_clip == 1.5
    assert place.path.stat().st_mode & 0o077 == 0


def test_a_policy_to_which_no_scenario_can_be_added_is_left_alone(place):
    place.change("agencies", AGENCY, lambda c: c["scenarios"].update(traffic=c["scenarios"][SCENARIO]))
    text = json.dumps(yaml.safe_load(place.path.read_text()))
    place.path.write_text(text)
    with pytest.raises(ConfigError, match="scenario traffic cannot be added at its end"):
        enrol.init_agency(place.home, place.federation, "traffic", AGENCY)
    assert place.path.read_text() == text


def test_a_first_policy_admits_every_scenario_of_the_repository_as_it_stands(tmp_path):
    federation = REPOSITORY / "dags" / "federation"
    home = Home(tmp_path)
    for scenario, config in load_federation(federation).scenarios.items():
        for member in load_federation(federation).members(scenario):
            enrol.init_agency(home, federation, scenario, member.agency)
            path = policy_path(home.agency(member.agency))
            gate = Gate(path, scenario, load_yaml(path, Policy).scenarios[scenario])
            gate.check_config(config, member.scenarios[scenario])


def test_every_field_of_a_policy_is_described_there(place):
    text = " ".join(line.strip().removeprefix("# ") for line in place.path.read_text().splitlines())
    for name, field in ScenarioPolicy.model_fields.items():
        assert field.description
        assert field.description in text, name


@pytest.mark.parametrize(
    "fields", [{}, {"path": "a", "table": "b", "url_file": "c"}, {"table": "b"}, {"url_file": "c"}]
)
def test_a_source_is_a_path_or_a_table_with_its_url_file(fields):
    with pytest.raises(ValueError, match="either path, or url_file and table") as caught:
        AdmittedSource(**fields)
    assert "either path" in describe(caught.value)
