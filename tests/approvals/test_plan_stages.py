"""The coordinator says what a run wants, each agency takes that over: the same bytes each time, or not at all."""

from __future__ import annotations

import datetime as dt
import lzma

import pytest
import yaml

from fl_tasks.approvals.delivery import hashes, unpack
from fl_tasks.approvals.errors import CodeMismatch, DeliveryAltered, DeliveryConflict, PlanMismatch
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.errors import ConfigError, MissingInput
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.exchange.errors import ExchangeConflict
from fl_tasks.stages.context import load_roster
from fl_tasks.stages.installed_code import approve_code, installed_files
from fl_tasks.stages.plan import CODE, plan_name, run, terms_of
from tests.approvals.site import AGENCY, APRIL, INTERVALS, MARCH
from tests.stages.federation_run import AGENCIES, REPOSITORY, SCENARIO


def sent(site, run_id=MARCH):
    """What the coordinator sent."""
    folder = site.home.exchange(run_id) / "plan"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "answer"
    }


def change_yaml(site, old, new):
    path = site.federation / "scenarios" / f"{SCENARIO}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def change_code(site):
    with (site.federation.parent / "retraining.py").open("a") as file:
        file.write("# later\n")


def test_each_agency_of_the_roster_gets_its_own_plan_and_all_get_the_code(planned):
    assert sent(planned).keys() == {"code", *(f"to/{agency}" for agency in AGENCIES)}
    assert len(set(sent(planned).values())) == 1 + len(AGENCIES)
    assert hashes(unpack(sent(planned)["code"])) == installed_files(planned.home, planned.federation)


def test_a_second_call_sends_the_same_bytes(planned):
    before = sent(planned)
    assert planned.stage("plan").digests[AGENCY] == planned.plan().sha256
    assert sent(planned) == before


def test_a_second_call_keeps_an_archive_that_another_xz_packed(planned):
    """After an upgrade of the library the same files may be packed to other bytes."""
    path = planned.home.exchange(MARCH) / CODE
    other = lzma.compress(lzma.decompress(path.read_bytes()), preset=1)
    for gone in (planned.home.exchange(MARCH) / "plan" / "to").iterdir():
        gone.unlink()
    path.unlink()
    path.write_bytes(other)
    planned.stage("plan")
    assert sent(planned)["code"] == other


@pytest.mark.parametrize("change", [change_code, lambda site: change_yaml(site, "spare: 2", "spare: 2 # later")])
def test_a_scheduler_that_writes_another_offset_or_a_comment_changes_no_plan(planned, change):
    if change is change_code:
        spec = planned.spec("plan")
        utc = tuple(moment.astimezone(dt.UTC) for moment in spec.data_interval)
        assert run(spec.model_copy(update={"data_interval": utc})).digests[AGENCY] == planned.plan().sha256
    else:
        change(planned)
        assert planned.stage("plan").digests[AGENCY] == planned.plan().sha256


def test_a_plan_never_changes_once_it_was_sent(planned):
    change_code(planned)
    with pytest.raises(ExchangeConflict, match="plan/code"):
        planned.stage("plan")
    (planned.home.exchange(MARCH) / CODE).unlink()
    with pytest.raises(ExchangeConflict, match="plan/to"):
        planned.stage("plan")


def test_a_configuration_that_does_not_fit_the_roster_is_not_planned(planned):
    change_yaml(planned, "spare: 2", "spare: 3")
    with pytest.raises(ConfigError, match="differ from the approved roster"):
        planned.stage("plan")


def test_fewer_agencies_of_a_manual_run_get_fewer_plans(planned):
    spec = planned.spec("plan", f"{SCENARIO}__manual__x", data_interval=INTERVALS[MARCH], agencies=AGENCIES[1:])
    assert run(spec).members == AGENCIES[1:]
    assert sent(planned, spec.run_id).keys() == {"code", *(f"to/{agency}" for agency in AGENCIES[1:])}


def test_the_terms_stay_and_the_plan_changes_with_the_month(planned):
    march, april = planned.plan(MARCH), planned.plan(APRIL)
    assert march.terms_sha256 == april.terms_sha256
    assert march.sha256 != april.sha256


def test_a_plan_that_was_not_sent_yet_is_waited_for(planned):
    spec = planned.spec("receive", agency=AGENCY)
    (planned.home.exchange(MARCH) / plan_name(AGENCY)).unlink()
    with pytest.raises(MissingInput):
        planned.stage(spec.stage, agency=AGENCY)


def test_receiving_twice_changes_nothing_and_leaves_digests_alone(planned):
    before = {path: path.stat().st_mtime_ns for path in planned.laid_out().iterdir()}
    result = planned.stage("receive", agency=AGENCY)
    plan = planned.plan()
    assert result.digests == {"plan": plan.sha256, "terms": plan.terms_sha256, "code": plan.terms.code_sha256}
    assert {path: path.stat().st_mtime_ns for path in planned.laid_out().iterdir()} == before


def test_another_plan_later_is_refused_with_its_own_error(planned):
    """The coordinator wipes the exchange and plans the run anew, in step with the agency's installation."""
    before = planned.plan()
    change_code(planned)
    for name in sent(planned):
        (planned.home.exchange(MARCH) / "plan" / name).unlink()
    planned.stage("plan")
    approve_code(planned.home, planned.federation, AGENCY)
    with pytest.raises(DeliveryConflict):
        planned.stage("receive", agency=AGENCY)
    assert planned.plan() == before


def test_nothing_is_laid_out_of_a_delivery_that_was_altered(planned):
    for path in planned.laid_out().iterdir():
        path.unlink()
    planned.laid_out().rmdir()
    code = planned.home.exchange(MARCH) / CODE
    kept = code.read_bytes()
    code.write_bytes(kept[:-1] + b"x")
    with pytest.raises(DeliveryAltered):
        planned.stage("receive", agency=AGENCY)
    assert not planned.laid_out().exists()
    code.write_bytes(kept)
    planned.stage("receive", agency=AGENCY)
    assert planned.laid_out().exists()


def test_a_plan_that_this_installation_would_not_follow_is_refused_before_the_officer_sees_it(planned):
    change_code(planned)
    approve_code(planned.home, planned.federation, AGENCY)
    with pytest.raises(CodeMismatch, match=r"dags/retraining\.py"):
        planned.stage("receive", agency=AGENCY)
    (planned.federation.parent / "retraining.py").write_text("# a DAG of airflow\n")
    approve_code(planned.home, planned.federation, AGENCY)
    change_yaml(planned, "local_epochs: 2", "local_epochs: 1")
    with pytest.raises(PlanMismatch, match="different are config_sha256"):
        planned.stage("receive", agency=AGENCY)
    change_yaml(planned, "local_epochs: 1", "local_epochs: 2")
    planned.stage("receive", agency=AGENCY)


def terms(planned, scenario, agency, change=None):
    """Terms of another scenario of the repository, under this site's roster."""
    federation = REPOSITORY / "dags" / "federation"
    if change is not None:
        federation = planned.federation
        path = federation / "agencies" / f"{agency}.yaml"
        config = yaml.safe_load(path.read_text())
        config["scenarios"][scenario].update(change)
        path.write_text(yaml.safe_dump(config))
    config = load_scenario(federation, scenario)
    spec = StageSpec(
        stage="plan",
        scenario=scenario,
        run_id=f"{scenario}__x",
        data_interval=INTERVALS[MARCH],
        home=planned.home.root,
        federation=federation,
    )
    return config, terms_of(spec, config, load_roster(planned.home.coordinator, SCENARIO), agency, "0" * 64)


def test_the_terms_of_a_table_name_every_column_that_is_read_and_its_role(planned):
    config, told = terms(planned, "welfare", "lower_austria")
    renamed = {"db030": "key", "rb030": "direct_identifier, dropped", "rb090": "quasi_identifier"}
    own = {"name": "direct_identifier, dropped", "resident_id": "direct_identifier, hashed"}
    expected = renamed | own | {"age": "quasi_identifier", "workers": "feature", "poor_at_risk": "target"}
    assert {name: told.columns.get(name) for name in expected} == expected
    assert len(told.columns) == len(config.table.columns) + 5
    asked = config.table.privacy
    limits = {"k": asked.k, "l": asked.l, "t": asked.t, "most_suppressed": asked.suppression}
    assert told.privacy == {"least_agencies": 3.0, **limits}
    assert (told.source, told.model) == ("incoming/persons.csv.gz", config.learning.model)


def test_the_terms_of_series_name_time_values_identifiers_rows_and_trips(planned):
    flows = {"path": "od.csv", "time": "t", "origin": "a", "destination": "b", "count": "n", "limit": 7}
    change = {
        "values": {"north": "north", "south": "south"},
        "identifiers": {"plate": "hash", "owner": "drop"},
        "only": {"lane": ["1"]},
        "flow_table": flows,
    }
    _, told = terms(planned, SCENARIO, AGENCY, change)
    assert told.columns == {
        "timestamp": "time",
        "north": "value",
        "south": "value",
        "lane": "chooses rows",
        "plate": "identifier, hashed",
        "owner": "identifier, dropped",
        "od.csv: t": "time",
        "od.csv: a": "origin",
        "od.csv: b": "destination",
        "od.csv: n": "count",
    }
    assert told.privacy == {"least_agencies": 3.0, "flow_table_k": 7.0}


def test_whatever_the_agency_declares_of_its_data_is_in_the_terms(planned):
    before = terms(planned, SCENARIO, AGENCY)[1]
    after = terms(planned, SCENARIO, AGENCY, {"replay_shift_weeks": 1})[1]
    assert before.model_copy(update={"source_sha256": after.source_sha256}) == after
    assert before.source_sha256 != after.source_sha256
