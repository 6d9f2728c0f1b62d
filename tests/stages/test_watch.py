"""watch and drift: a verdict and a bounded index leave an agency, and enough verdicts start a retraining."""

from __future__ import annotations

import datetime as dt
import json
import math

import pytest

from fl_tasks.contracts.base import write_atomic
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.data import Accepted, accepted_path
from fl_tasks.contracts.paths import Home
from fl_tasks.contracts.stage import StageSpec
from fl_tasks.contracts.watch import MOST_SCORE, WatchBody
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages import champions, drift, watch
from fl_tasks.stages.context import StageSkipped, exchange_of, load_key, protocol_key_path
from fl_tasks.stages.series import anonymize, ingest, standardize
from tests.stages import data_stages
from tests.stages.test_predict_stage import AGENCIES, AGENCY, enrolled, promote, small_model

SCENARIO = data_stages.SCENARIO
FEDERATION = data_stages.FEDERATION
DAY = dt.timedelta(days=1)
DAYS = 10
TENTH = dt.datetime(2012, 4, 10, tzinfo=data_stages.ZONE)
LIMIT = load_scenario(FEDERATION, SCENARIO).drift.limit


def spec_of(home, stage, agency=AGENCY, end=TENTH) -> StageSpec:
    return StageSpec(
        stage=stage,
        scenario=SCENARIO,
        run_id=f"watch.{SCENARIO}__scheduled__{end.date()}",
        data_interval=(end - DAY, end),
        home=home,
        federation=FEDERATION,
        agency=agency,
    )


def rows(first_day: int, slower: float) -> list[str]:
    """Ten days of speeds from a day of March 2012 on, the first of which is 0."""
    steps = range(first_day * 288, (first_day + DAYS) * 288)
    return [
        data_stages.row(step, *(50 - slower + 10 * math.sin(step / 9 + series) for series in range(6)))
        for step in steps
    ]


def watched(home, slower: float) -> None:
    """Deliver ten days of April beside those of March, and run what comes before the watch."""
    data_stages.deliver(home, data_stages.csv_text([*rows(0, 0.0), *rows(31, slower)]))
    for stage, run in (("ingest", ingest.run), ("anonymize", anonymize.run), ("standardize", standardize.run)):
        run(spec_of(home, stage))


def word_of(home, agency=AGENCY, **more) -> WatchBody:
    exchange = exchange_of(spec_of(home, "watch", agency, **more))
    return WatchBody.model_validate(json.loads(exchange.get(watch.word_name(agency)))["body"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home in which a champion was promoted whose data of March one agency's real stages accepted."""
    home = tmp_path_factory.mktemp("home")
    enrolled(home)
    data_stages.deliver(home, data_stages.csv_text(rows(0, 0.0)))
    data_stages.run_all(home)
    return home, promote(home, small_model())


@pytest.fixture
def home(trained):
    """The same without what a test before left."""
    home, _ = trained
    for path in home.glob(f"exchange/watch.{SCENARIO}__*/watch/*"):
        path.unlink()
    return home


def test_data_as_those_of_the_champion_have_not_moved(home):
    watched(home, slower=0.0)
    result = watch.run(spec_of(home, "watch"))
    word = word_of(home)
    assert (word.moved, word.agency) == (False, AGENCY)
    assert word.score < LIMIT
    assert result.outputs[0].name == f"watch/{AGENCY}"


def test_slower_data_have_moved_and_the_index_is_bounded(home, trained):
    watched(home, slower=25.0)
    watch.run(spec_of(home, "watch"))
    word = word_of(home)
    assert word.moved
    assert word.score == MOST_SCORE
    assert word.model_sha256 == trained[1].model_sha256


def test_nothing_but_the_word_leaves(home):
    watched(home, slower=25.0)
    watch.run(spec_of(home, "watch"))
    exchange = exchange_of(spec_of(home, "watch"))
    assert exchange.names() == [watch.word_name(AGENCY)]
    assert set(json.loads(exchange.get(watch.word_name(AGENCY)))["body"]) == set(WatchBody.model_fields)


def test_an_agencys_policy_keeps_the_index_at_home(home):
    watched(home, slower=25.0)
    path = Home(home).agency(AGENCY) / "policy.yaml"
    before = path.read_text()
    path.write_text(before.replace("share_profile: true", "share_drift: false\n    share_profile: true"))
    assert path.read_text() != before
    try:
        watch.run(spec_of(home, "watch"))
    finally:
        path.write_text(before)
    assert (word_of(home).moved, word_of(home).score) == (True, None)


def test_a_second_call_posts_the_same_word(home):
    watched(home, slower=25.0)
    watch.run(spec_of(home, "watch"))
    first = exchange_of(spec_of(home, "watch")).get(watch.word_name(AGENCY))
    watched(home, slower=0.0)
    watch.run(spec_of(home, "watch"))
    assert exchange_of(spec_of(home, "watch")).get(watch.word_name(AGENCY)) == first


def test_the_champions_data_are_remembered_when_later_months_are_held(home):
    watched(home, slower=25.0)
    watch.run(spec_of(home, "watch"))
    path = accepted_path(Home(home).agency(AGENCY), SCENARIO)
    before = path.read_bytes()
    march = Accepted.model_validate_json(before)
    june = march.model_copy(update={"interval_end": march.interval_end + 61 * DAY, "previous": None})
    write_atomic(path, june.model_dump_json().encode())
    try:
        watch.run(spec_of(home, "watch", end=TENTH))
        watch.trained_on_path(Home(home).agency(AGENCY), SCENARIO).unlink()
        with pytest.raises(StageSkipped, match="no record of its data"):
            watch.run(spec_of(home, "watch"))
    finally:
        write_atomic(path, before)


def test_an_agency_that_was_not_part_of_the_training_is_not_judged(home):
    with pytest.raises(StageSkipped, match="no record of its data"):
        watch.run(spec_of(home, "watch", AGENCIES[1]))


def test_without_a_champion_there_is_nothing_to_watch(tmp_path):
    enrolled(tmp_path)
    with pytest.raises(StageSkipped, match="no champion yet"):
        watch.run(spec_of(tmp_path, "watch"))


def say(home, agency, *, moved, by=None, model=None, run_id=None):
    """Post a word as an agency would, or as somebody else."""
    spec = spec_of(home, "watch", agency)
    champion = champions.current(champions.own_chain(spec_of(home, "drift", None)))
    body = WatchBody(
        run_id=run_id or spec.run_id,
        agency=agency,
        model_sha256=model or champion.model_sha256,
        moved=moved,
        score=0.5 if moved else 0.1,
    )
    key = load_key(protocol_key_path(Home(home).agency(by or agency)))
    exchange_of(spec).put(watch.word_name(agency), sign_record(key, watch.LABEL, body))


def test_a_retraining_starts_once_more_agencies_than_the_scenarios_have_moved(home):
    limit = load_scenario(FEDERATION, SCENARIO).drift.agencies
    for place, agency in enumerate(AGENCIES, start=1):
        say(home, agency, moved=True)
        result = drift.run(spec_of(home, "drift", None))
        assert result.status == ("done" if place > limit else "skipped")
        assert result.members == AGENCIES[:place]
    assert f"{AGENCY} 0.50" in result.reason


def test_who_has_not_moved_is_not_counted(home):
    for agency in AGENCIES:
        say(home, agency, moved=agency == AGENCY)
    result = drift.run(spec_of(home, "drift", None))
    assert (result.status, result.members) == ("skipped", (AGENCY,))
    assert "1 agencies out of 4" in result.reason


@pytest.mark.parametrize("wrong", [{"by": AGENCIES[1]}, {"model": "0" * 64}, {"run_id": f"watch.{SCENARIO}__other"}])
def test_a_word_of_another_signer_model_or_run_does_not_count(home, wrong):
    for agency in AGENCIES[2:]:
        say(home, agency, moved=True)
    say(home, AGENCY, moved=True, **wrong)
    assert drift.run(spec_of(home, "drift", None)).members == AGENCIES[2:]
