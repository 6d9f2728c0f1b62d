"""A whole survey over four agencies: what is chosen from the sums, and what becomes of it when agencies are lost."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from fl_tasks.anonymize.errors import NoRecoding
from fl_tasks.anonymize.lattice import Lattice
from fl_tasks.anonymize.nodes import table_cells
from fl_tasks.contracts.anonymize import PrivacyReport
from fl_tasks.contracts.data import (
    SMALL_CELL,
    Deidentified,
    deidentified_record_path,
    preparation_path,
    privacy_path,
)
from fl_tasks.contracts.errors import ConfigError, MissingInput, PolicyRefused, QuorumMissing
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.report import Report
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.data.tables.features import feature_names
from fl_tasks.secagg import names
from fl_tasks.stages import enrol
from fl_tasks.stages.policy import policy_path
from fl_tasks.stages.survey.published import PREPARATION
from fl_tasks.stages.survey.request import own_hierarchies, own_request
from fl_tasks.stages.tables.preparation import agreed
from tests.stages.survey_run import AGENCIES, INTERVAL, RUN_ID, SCENARIO, SURVEY_ID, SurveyRun, people


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> SurveyRun:
    """All four agencies to the end of the survey and of their preparation, and the training's cohort."""
    run = SurveyRun(tmp_path_factory.mktemp("survey")).install()
    run.survey()
    run.validated()
    run.give_initial_model(run.published().preparation)
    run.stage("cohort")
    run.stage("report")
    return run


@pytest.fixture
def run(tmp_path) -> SurveyRun:
    return SurveyRun(tmp_path).install()


def report_of(run: SurveyRun) -> Report:
    run.stage("report")
    return Report.model_validate_json((run.home.report(run.run_id) / "report.json").read_bytes())


def outcomes(run: SurveyRun, node: tuple[int, ...]):
    """What each agency's own rows say of a node, with its number of rows."""
    hierarchies = own_hierarchies(run.federation, run.config)
    for agency in AGENCIES:
        cells, _ = table_cells(run.raw(agency).columns, run.config.table, hierarchies)
        yield Lattice(cells, tuple(hierarchies.values()), run.config.table.privacy).look_at(node), cells.rows


# --- the end


def test_the_levels_are_those_of_least_loss_at_which_no_agency_exceeds(ended):
    limit = ended.config.table.privacy.suppression
    losses = {}
    for node in itertools.product(*map(range, ended.request().shape)):
        found = list(outcomes(ended, node))
        if all(outcome.suppressed <= limit * rows for outcome, rows in found):
            losses[node] = sum(outcome.loss * rows for outcome, rows in found)
    assert 1 < len(losses) < ended.request().nodes
    chosen = ended.published().preparation.levels
    assert tuple(chosen.values()) == min(losses, key=losses.get)
    assert tuple(chosen) == ("age", "county")


def test_mean_and_deviation_are_scikit_learns_over_the_pooled_rows(ended):
    pooled = np.concatenate([ended.raw(agency).columns["income"] for agency in AGENCIES])
    there = pooled[~np.isnan(pooled)]
    assert len(there) < len(pooled)
    oracle, scale = StandardScaler().fit(there[:, np.newaxis]), ended.published().preparation.scales["income"]
    assert scale.mean == pytest.approx(oracle.mean_[0], rel=1e-9)
    assert scale.std == pytest.approx(oracle.scale_[0], rel=1e-9)
    width = 90_000 / 64
    assert np.abs(scale.quantiles - np.quantile(there, (0.05, 0.25, 0.5, 0.75, 0.95))).max() <= width


def test_the_features_follow_from_levels_and_schema(ended):
    preparation = ended.published().preparation
    hierarchies = own_hierarchies(ended.federation, ended.config)
    assert preparation.features == feature_names(ended.config.table, preparation.levels, hierarchies)


def test_every_agency_applies_what_was_published_and_keeps_it(ended):
    for agency in AGENCIES:
        spec = ended.spec("anonymize", agency)
        assert agreed(spec) == ended.published().preparation
        kept = Preparation.model_validate_json(preparation_path(spec.folder).read_bytes())
        assert kept == ended.published().preparation


def test_what_an_agency_suppresses_is_what_it_had_counted_at_the_chosen_levels(ended):
    node = tuple(ended.published().preparation.levels.values())
    for agency, (outcome, rows) in zip(AGENCIES, outcomes(ended, node), strict=True):
        folder = ended.spec("anonymize", agency).folder
        record = Deidentified.model_validate_json(deidentified_record_path(folder).read_bytes())
        privacy = PrivacyReport.model_validate_json(privacy_path(folder).read_bytes())
        assert (record.rows.rows_out, privacy.suppressed) == (rows - outcome.suppressed, outcome.suppressed)
        assert privacy.k >= 4


def test_the_trainings_cohort_carries_what_the_survey_ended_with(ended):
    cohort, before = ended.cohort(ended.exchange), ended.cohort(ended.survey_exchange)
    assert (cohort.purpose, before.purpose) == ("training", "survey")
    assert cohort.preparation == ended.published().preparation
    assert cohort.agencies == before.agencies == AGENCIES
    assert cohort.session != before.session
    assert (before.rounds, before.parameters) == (1, ended.request().words)
    assert before.model_sha256 == ended.request().sha256.hex()
    ended.set_up(survey=False)


def test_the_request_says_nothing_of_run_session_or_members(ended):
    """Or one who asks twice, of other agencies, would not be recognized by it."""
    text = ended.request().model_dump_json()
    assert not any(word in text for word in (RUN_ID, ended.cohort(ended.survey_exchange).session, *AGENCIES))
    assert own_request(ended.config, own_hierarchies(ended.federation, ended.config)) == ended.request()


def test_a_second_try_sends_and_publishes_the_same_bytes_whatever_the_data_are_now(ended):
    before = {name: ended.survey_exchange.get(name) for name in ended.survey_exchange.names()}
    raw = ended.home.agency_run("east", RUN_ID) / "raw.parquet"
    data = raw.read_bytes()
    raw.write_bytes((ended.home.agency_run("north", RUN_ID) / "raw.parquet").read_bytes())
    try:
        ended.stage("survey")
        ended.stage("count", "east")
        ended.stage("recode")
    finally:
        raw.write_bytes(data)
    assert {name: ended.survey_exchange.get(name) for name in before} == before


def test_the_report_lists_what_left_for_the_survey_and_how_it_ended(ended):
    found = report_of(ended)
    assert found.survey.status == "done"
    assert (found.survey.survivors, found.survey.lost, found.survey.excluded) == (AGENCIES, {}, {})
    assert found.survey.levels == ended.published().preparation.levels
    for agency in AGENCIES:
        sums = [sent for sent in found.egress[agency] if sent.purpose == "masked sums of the survey"]
        assert [sent.file for sent in sums] == [f"{SURVEY_ID}/r/1/up/{agency}"]
        assert sums[0].bytes == 156 + 4 * (ended.request().words + 5)
        assert {f"{SURVEY_ID}/checks/{agency}", f"checks/{agency}"} <= {sent.file for sent in found.egress[agency]}
    page = (ended.home.report(RUN_ID) / "report.html").read_text()
    assert "of least loss that hold at every agency: age 1, county" in page


def test_lineage_tells_a_surveys_messages_from_those_of_the_training(ended):
    for stage, agency, name in (("count", "east", "r/1/up/east"), ("recode", None, PREPARATION)):
        result = json.loads(ended.spec(stage, agency).result_path.read_bytes())
        assert {"namespace": "exchange", "name": f"survey/{name}", "facts": None} in result["outputs"]
        assert all(ref["name"].startswith("survey/") for ref in result["outputs"])


def test_no_result_and_no_message_but_the_masked_one_tells_a_count(ended):
    """The coordinator keeps no sum; what it publishes are levels, features and scales."""
    kept = [path for path in ended.home.coordinator_run(SURVEY_ID).rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept} <= {"specs", "results", SURVEY_ID}
    assert {path.name for path in kept if path.parent.name == SURVEY_ID} == {"session", "manifest.lock"}
    for path in kept:
        if path.parent.name == "results":
            assert json.loads(path.read_bytes())["counts"] == {}
    for agency in AGENCIES:
        assert json.loads(ended.spec("count", agency).result_path.read_bytes())["counts"] == {}


# --- losses


def test_an_agency_that_is_lost_in_the_survey_goes_on_with_what_was_published(run):
    """West counts nothing; it prepares its rows like the others. The survey's own stages as the scheduler runs them."""

    def done(stage, agency=None):
        finished = run.command(stage, agency)
        assert finished.returncode == 0, finished.stdout + finished.stderr

    others = AGENCIES[:3]
    run.each("ingest")
    done("survey")
    run.set_up()
    for agency in others:
        done("count", agency)
    run.stage("manifest")
    run.each("ack", others)
    run.each("reveal", others)
    done("recode")
    assert run.published().agencies == others
    pooled = np.concatenate([run.raw(agency).columns["income"] for agency in others])
    assert run.published().preparation.scales["income"].mean == pytest.approx(np.nanmean(pooled), rel=1e-9)
    run.validated()
    run.give_initial_model(run.published().preparation)
    run.stage("cohort")
    assert run.cohort(run.exchange).agencies == AGENCIES
    assert report_of(run).survey.lost == {"west": "count"}


def test_an_agency_whose_raw_data_fail_is_left_out_of_the_survey_with_its_reason(run):
    run.deliver("west", people(8, 3))
    run.each("ingest", AGENCIES[:3])
    failed = run.command("ingest", "west")
    assert failed.returncode == 10
    result = run.stage("survey")
    assert result.members == AGENCIES[:3]
    assert run.cohort(run.survey_exchange).excluded["west"].startswith("ingest: DataRejected: ")
    assert run.exchange.names("checks") != []  # the word stands for the training, too
    assert run.stage("keys", "west").status == "skipped"


def test_a_survey_of_fewer_than_t_agencies_fails_and_the_report_says_why(run):
    run.each("ingest", AGENCIES[:2])
    with pytest.raises(QuorumMissing, match=r"2 agencies may take part, 3 are needed.* south: absent"):
        run.stage("survey")
    found = report_of(run)
    assert found.status == "failed"
    assert "the survey failed: QuorumMissing: 2 agencies may take part" in found.reason
    assert set(found.excluded) == {"south", "west"}


def test_an_answer_that_is_none_is_left_out_and_the_report_says_why(run):
    run.each("ingest")
    run.stage("survey")
    run.set_up()
    run.survey_exchange.put(names.upload(1, "west"), b"no answer")
    run.answer(counting=AGENCIES[:3])
    run.stage("recode")
    assert run.published().agencies == AGENCIES[:3]
    found = report_of(run).survey
    assert (found.lost, found.notes) == ({"west": "count"}, ("manifest: west: MalformedMessage",))
    assert "Noted at manifest: west: MalformedMessage." in (run.home.report(RUN_ID) / "report.html").read_text()


def test_too_few_answers_burn_the_one_round_and_the_run_fails(run):
    run.each("ingest")
    run.stage("survey")
    run.set_up()
    assert run.answer(counting=AGENCIES[:2]).burnt
    with pytest.raises(QuorumMissing, match="one round is burnt: fewer than 3 agencies"):
        run.stage("recode")
    assert run.survey_exchange.find(PREPARATION) is None
    found = report_of(run)
    assert found.survey.lost == {"south": "count", "west": "count"}
    assert "the survey failed: QuorumMissing: the survey's one round is burnt" in found.reason
    with pytest.raises(MissingInput):
        run.stage("anonymize", "east")


def test_a_policy_that_one_agency_reaches_at_no_levels_is_refused_by_name(run):
    """Twenty people of one county who differ in nothing but age cannot have two values of the target each."""
    run.change("scenarios", SCENARIO, lambda config: config["data"]["privacy"].update(l=2, suppression=0.0))
    run.deliver("west", [(*row[:5], "no", row[6]) for row in people(40, 3)])
    with pytest.raises(NoRecoding, match="k = 4, distinct l = 2 with at most 0 % of the rows suppressed at all 4 agen"):
        run.survey()
    found = report_of(run)
    assert found.survey.reason.startswith("NoRecoding: no levels of the 2 quasi-identifiers reach k = 4")
    assert run.survey_exchange.find(PREPARATION) is None


def test_a_failure_that_is_made_good_is_forgotten(run):
    run.each("ingest", AGENCIES[:2])
    with pytest.raises(QuorumMissing):
        run.stage("survey")
    run.stage("ingest", "south")
    run.stage("survey")
    assert report_of(run).survey.reason == "it did not come to its end"


def test_too_few_values_of_a_column_are_not_scaled(run):
    rows = {agency: people(60, seed) for seed, agency in enumerate(AGENCIES)}
    for agency, found in rows.items():
        given = 1 if agency != "west" else SMALL_CELL - len(AGENCIES)
        run.deliver(agency, [(*r[:3], 5000 if i < given else "", *r[4:]) for i, r in enumerate(found)])
    run.change("scenarios", SCENARIO, lambda config: config["data"]["quality"].update(min_completeness=0.1))
    with pytest.raises(Exception, match="column 'income': fewer than 5 rows of all agencies have a value"):
        run.survey()


# --- a champion in force


def test_the_champions_levels_stay_while_no_agency_exceeds_there(run):
    hierarchies = own_hierarchies(run.federation, run.config)
    levels = {"age": 2, "county": 1}
    known = Preparation(
        levels=levels,
        hierarchies={one.column: one.sha256 for one in own_request(run.config, hierarchies).hierarchies},
        features=feature_names(run.config.table, levels, hierarchies),
        scales={"income": {"mean": 1.0, "std": 2.0}},
    )
    run.promote(known)
    assert "the champion's levels are kept: age 2, county 1" in run.survey().reason
    body = run.published()
    assert (body.kept, body.preparation.levels, body.preparation.features) == (True, levels, known.features)
    assert body.preparation.scales != known.scales
    assert body.preparation.same_features(known)


def test_a_forecast_applies_what_its_champion_carries(run):
    known = Preparation(levels={"age": 3, "county": 2}, features=("income",), scales={})
    spec = run.spec("anonymize", "east", run_id=f"forecast.{RUN_ID}")
    with pytest.raises(Exception, match="no champion"):
        agreed(spec)
    run.promote(known)
    assert agreed(spec) == known


# --- before it


def test_a_dry_run_says_who_would_take_part_and_signs_nothing(run):
    run.each("ingest", dry_run=True)
    result = run.stage("survey", dry_run=True)
    assert result.finished
    assert result.reason.startswith("dry run: 4 agencies would take part, 3 are needed (enough); 214 words would be")
    assert {name.partition("/")[0] for name in run.survey_exchange.names()} == {"checks"}


@pytest.mark.parametrize("most", [0, 213])
def test_an_agency_sums_no_more_words_than_its_policy_admits(run, most):
    path = policy_path(run.home.agency("east"))
    assert "max_survey_values: 1000000" in path.read_text()
    path.write_text(path.read_text().replace("max_survey_values: 1000000", f"max_survey_values: {most}"))
    run.each("ingest")
    run.stage("survey")
    with pytest.raises(PolicyRefused, match=rf"max_survey_values: the run wants 214, admitted is {most};"):
        run.stage("keys", "east")
    path.write_text(path.read_text().replace(f"max_survey_values: {most}", "max_survey_values: 214"))
    run.stage("keys", "east")


def test_the_first_policy_of_a_scenario_without_a_survey_admits_none(run):
    pixels = [{"column": f"p{i}", "role": "feature", "kind": "numeric", "minimum": 0, "maximum": 16} for i in range(4)]

    def picture(config):
        config["data"].pop("privacy")
        config["data"]["columns"] = [*pixels, {"column": "entitled", "role": "target", "values": ["no", "yes"]}]
        config["data"]["image"] = {"height": 2, "width": 2, "side": 2, "maximum": 16}

    run.change("scenarios", SCENARIO, picture)
    policy_path(run.home.agency("east")).unlink()
    enrol.init_agency(run.home, run.federation, SCENARIO, "east")
    assert "max_survey_values: 0" in policy_path(run.home.agency("east")).read_text()
    with pytest.raises(ConfigError, match="it needs no survey"):
        run.stage("survey")


@pytest.mark.parametrize(
    ("stage", "run_id", "said"),
    [
        ("count", RUN_ID, "is none of a retraining"),
        ("recode", RUN_ID, "is none of a retraining"),
        ("train", SURVEY_ID, "is none of a survey"),
        ("validate", SURVEY_ID, "is none of a survey"),
        ("cohort", SURVEY_ID, "is none of a survey"),
    ],
)
def test_no_stage_of_a_training_runs_in_a_survey_nor_the_other_way_round(run, stage, run_id, said):
    agency = "east" if stage in ("count", "train", "validate") else None
    with pytest.raises(ValueError, match=said):
        run.spec(stage, agency, run_id=run_id)


def test_a_surveys_message_has_the_length_that_the_request_says(ended):
    sent = ended.survey_exchange.get(names.upload(1, "east"))
    assert len(sent) == 156 + 4 * (ended.request().words + 5)
    assert ended.request().words == 2 + 12 * 6 + (2 + 5 + 5 + 64 * 2)


def test_a_spec_knows_its_survey_and_what_it_prepares():
    fields = {"scenario": SCENARIO, "data_interval": INTERVAL, "home": Path("/home"), "federation": Path("/federation")}
    training = StageSpec(stage="report", run_id=RUN_ID, **fields)
    survey = StageSpec(stage="survey", run_id=SURVEY_ID, **fields)
    assert (training.surveys, survey.surveys) == (False, True)
    assert (training.retrains, survey.retrains) == (True, False)
    assert training.survey_run_id == survey.survey_run_id == SURVEY_ID
    assert training.prepared_run_id == survey.prepared_run_id == RUN_ID
