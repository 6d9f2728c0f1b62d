"""What a coordinator tries on a survey: to learn one agency's numbers from two sums, to pass one session off as the
other, to have rows recoded as it likes.

Each attack is shown to work with the one check that stops it taken out of the real code, then refused by the real code
in a fresh process: own error, exit code 10, an entry in the journal.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import itertools
import json
import shutil
from collections.abc import Iterator

import pytest

if importlib.util.find_spec("pyarrow") is None:
    pytest.skip("the data stages run in the Airflow environment", allow_module_level=True)

from fl_tasks.contracts.data import deidentified_path
from fl_tasks.contracts.preparation import ColumnScale
from fl_tasks.secagg import member as member_module
from fl_tasks.secagg import names
from fl_tasks.secagg.errors import BadSignature, PreparationRefused
from fl_tasks.secagg.records import sign_record
from fl_tasks.secagg.sums import decode_integers
from fl_tasks.stages import context
from fl_tasks.stages.context import load_key, open_desk, protocol_key_path
from fl_tasks.stages.policy import policy_path
from fl_tasks.stages.survey import count, opening, recode
from fl_tasks.stages.survey.published import PREPARATION, PREPARATION_LABEL
from fl_tasks.stages.tables.preparation import agreed
from tests.attacks.test_spec_and_policy import take_out
from tests.stages.survey_run import AGENCIES, SCENARIO, SurveyRun

NUMBERS = itertools.count()
VICTIM, OTHERS = "west", ("east", "north", "south")


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> SurveyRun:
    """An honest survey of all four agencies, to its end; every attack begins there, in a run of its own."""
    run = SurveyRun(tmp_path_factory.mktemp("survey")).install(rows=60)
    run.survey()
    return run


@pytest.fixture
def first(ended) -> Iterator[SurveyRun]:
    """The same, put in order again afterwards: policy, what was published, and nothing of a training."""
    kept = [policy_path(ended.home.agency("east")), ended.home.exchange(f"survey.{ended.run_id}") / PREPARATION]
    before = [path.read_bytes() for path in kept]
    yield ended
    for path, data in zip(kept, before, strict=True):
        path.write_bytes(data)
    for name in ("setup", "head"):
        shutil.rmtree(ended.home.exchange(ended.run_id) / name, ignore_errors=True)


@pytest.fixture
def second(first) -> SurveyRun:
    """A second run over the same interval; its data are read."""
    run = SurveyRun(first.home.root.parent, run_id=f"{SCENARIO}__again{next(NUMBERS)}")
    run.each("ingest")
    return run


def coordinator_key(run: SurveyRun):
    return load_key(protocol_key_path(run.home.coordinator))


def sums(run: SurveyRun) -> list[int]:
    """The numbers that a coordinator opens."""
    return recode._open(open_desk(run.spec("recode")), run.request())[0]


def own_numbers(run: SurveyRun, agency: str) -> list[int]:
    """What an agency's own rows give, as its honest answer holds them."""
    desk = open_desk(run.spec("count", agency))
    request = run.request()
    return decode_integers(count._answer(desk, request.sha256), request.limbs, 1)


def refused(run: SurveyRun, stage: str, agency: str, code: str, **changes) -> str:
    """Run one stage of an agency in a fresh process; it has to end for good with this error, journaled."""
    done = run.command(stage, agency, **changes)
    assert done.returncode == 10, done.stdout + done.stderr
    assert f"error: {code}: " in done.stderr
    path, _ = context.journal_paths(run.home.agency(agency), SCENARIO)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    last = [entry["facts"] for entry in entries if entry["kind"] == "refused"][-1]
    assert (last["step"], last["code"]) == (run.spec(stage, agency, **changes).label, code)
    return done.stderr


# --- the same sum asked for twice, of other agencies


def answered_by(run: SurveyRun, agencies) -> None:
    """A survey up to the manifest, in which only some of the cohort answer."""
    run.stage("survey")
    run.set_up()
    run.each("count", agencies)
    run.stage("manifest")


def test_a_sum_asked_for_twice_with_other_members_shown(first, second, monkeypatch):
    """The second sum lacks one agency: the difference is that agency's own numbers."""
    take_out(monkeypatch, member_module.Member, "_fix_survivors")
    answered_by(second, OTHERS)
    second.each("ack", OTHERS)
    second.each("reveal", OTHERS)
    stolen = [whole - part for whole, part in zip(sums(first), sums(second), strict=True)]
    assert stolen == own_numbers(first, VICTIM)
    assert stolen[0] == 60


def test_a_sum_asked_for_twice_with_other_members_refused(first, second):
    answered_by(second, OTHERS)
    for agency in OTHERS:
        assert "another set of agencies was summed under the same" in refused(
            second, "ack", agency, "DifferencingRefused"
        )
    assert not second.survey_exchange.names("r/1/ack")


def test_the_same_sum_of_the_same_members_is_given_again(first, second):
    assert second.survey().members == AGENCIES
    assert second.published().preparation == first.published().preparation


# --- a request that the coordinator changed


def changed_request(run: SurveyRun, monkeypatch, **changes) -> None:
    """The same question under another name: the agencies' memory of it does not hold any more."""
    real = opening.own_request

    def other(*arguments):
        request = real(*arguments)
        return request.model_copy(update=changes or {"judged": (*request.judged, "nothing")})

    with monkeypatch.context() as dishonest:
        dishonest.setattr(opening, "own_request", other)
        dishonest.setattr(context, "check_survey", lambda *_: None)  # the coordinator's own installation
        run.stage("survey")


def test_a_changed_request_shown(first, second, monkeypatch):
    changed_request(second, monkeypatch)
    take_out(monkeypatch, context, "check_survey")
    take_out(monkeypatch, count, "check_named")
    second.set_up()
    second.each("count", OTHERS)
    second.stage("manifest")
    second.each("ack", OTHERS)
    second.each("reveal", OTHERS)
    stolen = [whole - part for whole, part in zip(sums(first), sums(second), strict=True)]
    assert stolen == own_numbers(first, VICTIM)


def test_a_changed_request_refused(first, second, monkeypatch):
    changed_request(second, monkeypatch)
    assert "differs in judged from what this installation's" in refused(second, "keys", "east", "SurveyMismatch")
    assert not second.survey_exchange.names("setup/keys")


def test_a_request_whose_signed_text_is_right_and_whose_hash_is_not_refused(first, second):
    """What agencies read is their own request; what the messages of the round name is another one."""
    cohort = first.cohort(first.survey_exchange)
    body = cohort.model_copy(
        update={"run_id": f"survey.{second.run_id}", "session": "ab" * 16, "model_sha256": "c" * 64}
    )
    second.survey_exchange.put("request", first.survey_exchange.get("request"))
    second.survey_exchange.put(names.COHORT, sign_record(coordinator_key(first), "cohort", body))
    assert "the survey's cohort names another request" in refused(second, "keys", "east", "SurveyMismatch")


# --- one session passed off as the other

SMALL = "max_parameters: 10"


def large_model(run: SurveyRun) -> None:
    """The agency admits ten parameters, and a survey of a million words; the coordinator wants a model of thousands."""
    path = policy_path(run.home.agency("east"))
    path.write_text(path.read_text().replace("max_parameters: 10000000", SMALL))
    sign_training(run, parameters=5000, preparation=run.published().preparation)


def sign_training(run: SurveyRun, **changes) -> None:
    """A cohort in the training's exchange that is the survey's but for what is changed, signed by the coordinator."""
    fields = {"run_id": run.run_id, "session": f"{next(NUMBERS):032x}", **changes}
    body = run.cohort(run.survey_exchange).model_copy(update=fields)
    run.exchange.put(names.COHORT, sign_record(coordinator_key(run), "cohort", body))


def test_a_survey_cohort_presented_as_a_training_cohort_shown(first, monkeypatch):
    large_model(first)
    take_out(monkeypatch, context, "check_purpose")
    first.stage("keys", "east", survey=False)
    assert first.exchange.find(names.keys("east")) is not None


def test_a_survey_cohort_presented_as_a_training_cohort_refused(first):
    large_model(first)
    said = refused(first, "keys", "east", "WrongSession", survey=False)
    assert "the cohort is a survey's, this run is a training" in said
    assert first.exchange.find(names.keys("east")) is None


def test_a_training_cohort_presented_as_a_survey_cohort_refused(first, second):
    cohort = first.cohort(first.survey_exchange)
    run_id = f"survey.{second.run_id}"
    body = cohort.model_copy(update={"run_id": run_id, "session": "ab" * 16, "purpose": "training"})
    second.survey_exchange.put("request", first.survey_exchange.get("request"))
    second.survey_exchange.put(names.COHORT, sign_record(coordinator_key(first), "cohort", body))
    assert "the cohort is a training's, this run is a survey" in refused(second, "keys", "east", "WrongSession")


def test_a_survey_under_the_session_of_a_training_refused(first):
    """Keys of one session are never asked for a second purpose: the agency opened it for another run."""
    session = first.cohort(first.survey_exchange).session
    sign_training(first, session=session, purpose="training", preparation=first.published().preparation)
    assert "belongs to run survey.welfare__test" in refused(first, "keys", "east", "WrongSession", survey=False)


# --- a preparation that the survey did not end with


def training_cohort(run: SurveyRun, preparation) -> None:
    sign_training(run, purpose="training", parameters=26, preparation=preparation)


def other_scale(preparation):
    scales = {"income": ColumnScale(mean=1.0, std=1.0)}
    return preparation.model_copy(update={"scales": scales})


def test_a_training_under_another_preparation_shown(first, monkeypatch):
    """Trained on numbers scaled in one way, the model says that they were scaled in another."""
    training_cohort(first, other_scale(first.published().preparation))
    take_out(monkeypatch, context, "check_training")
    first.stage("keys", "east", survey=False)


@pytest.mark.parametrize("kind", ["another", "none"])
def test_a_training_under_another_preparation_refused(first, kind):
    training_cohort(first, other_scale(first.published().preparation) if kind == "another" else None)
    refused(first, "keys", "east", "PreparationRefused", survey=False)


def republish(run: SurveyRun, key=None, **changes) -> None:
    """Put another preparation in the place of the published one, signed by the coordinator."""
    body = run.published().model_copy(update=changes)
    path = run.home.exchange(f"survey.{run.run_id}") / PREPARATION
    path.unlink()
    run.survey_exchange.put(PREPARATION, sign_record(key or coordinator_key(run), PREPARATION_LABEL, body))


WRONG = {
    "run": lambda body: {"run_id": "survey.welfare__other"},
    "session": lambda body: {"session": "ef" * 16},
    "data interval": lambda body: {"data_interval": tuple(t + dt.timedelta(days=30) for t in body.data_interval)},
    "request": lambda body: {"request_sha256": "0" * 64},
    "agencies": lambda body: {"agencies": ("east", "north")},
    "levels": lambda body: {"preparation": body.preparation.model_copy(update={"levels": {"age": 9, "county": 0}})},
    "scales": lambda body: {"preparation": body.preparation.model_copy(update={"scales": {}})},
    "features": lambda body: {
        "preparation": body.preparation.model_copy(update={"features": body.preparation.features[::-1]})
    },
}


@pytest.mark.parametrize("what", WRONG)
def test_a_preparation_that_the_survey_cannot_have_ended_with_refused(first, what):
    republish(first, **WRONG[what](first.published()))
    with pytest.raises(PreparationRefused, match=f"ended with: {what};"):
        agreed(first.spec("anonymize", "north"))


def test_a_preparation_that_an_agency_signed_refused(first):
    republish(first, key=load_key(protocol_key_path(first.home.agency("west"))))
    with pytest.raises(BadSignature):
        agreed(first.spec("anonymize", "north"))


def test_the_finest_levels_do_not_lower_what_an_agency_holds_refused(first):
    """Whatever the coordinator says was chosen, k is counted on the agency's own rows before they go on."""
    hierarchies = recode.own_hierarchies(first.federation, first.config)
    levels = {"age": 0, "county": 0}
    features = recode.feature_names(first.config.table, levels, hierarchies)
    changed = first.published().preparation.model_copy(update={"levels": levels, "features": features})
    republish(first, preparation=changed)
    done = first.command("anonymize", "south")
    assert done.returncode == 10
    assert "error: DataRejected: agency south" in done.stderr
    assert not deidentified_path(first.spec("anonymize", "south").folder).exists()
