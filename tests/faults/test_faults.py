"""Parties are killed and vanish in the middle of real runs: who is lost where, what is resumed, what comes out.

All runs share one server. Each has a data interval of its own, or the same survivors: an agency refuses a second
survivor set under one model and interval.
"""

from __future__ import annotations

import pytest

from tests.faults.faulty_run import FaultyRun, change_scenario
from tests.stages.federation_run import AGENCIES, SCENARIO

pytestmark = pytest.mark.timeout(2400)
NORTHEAST, _, SOUTHEAST, SOUTHWEST = AGENCIES
TRIES = 3
USABLE = ("promoted", "held")


@pytest.fixture(scope="module")
def killed(federation, undisturbed):
    """A run on the undisturbed one's interval: a training and an aggregation are killed once, another every time.

    Gives the run, red and then cleared to its end, and what was done before each of the two aggregations.
    """
    run = FaultyRun(*federation, "2012-04-01")
    run.kill_training(NORTHEAST)
    before = []
    for round_, times in ((1, 1), (2, TRIES)):
        run.kill_stage("aggregate", f"aggregate-{round_}")
        before.append(run.done())
        for _ in range(times - 1):
            run.kill_stage("aggregate", f"aggregate-{round_}")
    run.end("failed")
    red = run.report(), run.tasks()
    run.clear("round_02.aggregate")
    run.end()
    return run, before, red


def test_a_training_that_was_killed_is_tried_again_and_its_agency_survives(killed):
    run, _, _ = killed
    assert run.tasks()[f"round_01.train.{NORTHEAST}"]["try_number"] == 2
    assert run.report()["rounds"][0]["survivors"] == list(AGENCIES)


def test_an_aggregation_that_was_killed_is_resumed_and_nothing_before_it_runs_again(killed):
    run, before, _ = killed
    after = run.done()
    assert after["round_01.aggregate"][0] == 2
    for done, round_ in zip(before, (1, 2), strict=True):
        assert f"round_0{round_}.manifest" in done
        assert f"round_0{round_}.aggregate" not in done
        assert done == {name: after[name] for name in done}


def test_an_aggregation_killed_at_every_try_makes_the_run_red_and_clearing_it_lets_the_run_go_on(killed):
    run, _, (report, tasks) = killed
    assert report["status"] == "failed"
    aggregate = tasks["round_02.aggregate"]
    assert (aggregate["state"], aggregate["try_number"]) == ("failed", TRIES)
    tries = {name: count for name, (count, _) in run.done().items() if count > 1}
    assert tries == {
        f"round_01.train.{NORTHEAST}": 2,
        "round_01.aggregate": 2,
        "round_02.aggregate": TRIES + 1,
        # Over at once when all before it had failed, and written for the red run too.
        "all_evaluated": 2,
        "report": 2,
    }
    assert run.report()["status"] in USABLE


def test_a_run_with_kills_ends_with_the_undisturbed_model(killed, undisturbed):
    run, _, _ = killed
    quiet, _ = undisturbed
    assert run.report()["model"]["sha256"] == quiet.report()["model"]["sha256"]
    models = [[record["model_sha256"] for record in one.report()["rounds"]] for one in (run, quiet)]
    assert models[0] == models[1]


@pytest.fixture(scope="module")
def without_daemon(federation, undisturbed):
    """A run on the undisturbed one's interval, whose daemon is killed in a training, and again between two stages."""
    run = FaultyRun(*federation, "2012-04-01")
    run.until_training(NORTHEAST)
    run.kill_daemon()
    run.until_sent("r/2/model.npz")
    run.kill_idle_daemon()
    run.end()
    return run


def test_a_daemon_killed_in_a_training_costs_its_tasks_a_try_and_one_killed_between_stages_none(without_daemon):
    run = without_daemon
    again = {name for name, (count, _) in run.done().items() if count > 1}
    assert f"round_01.train.{NORTHEAST}" in again
    assert again <= {f"round_01.train.{agency}" for agency in AGENCIES}
    assert [record["survivors"] for record in run.report()["rounds"][:2]] == [list(AGENCIES)] * 2


def test_a_run_whose_daemon_was_killed_ends_with_the_undisturbed_model(without_daemon, undisturbed):
    quiet, _ = undisturbed
    assert without_daemon.report()["model"]["sha256"] == quiet.report()["model"]["sha256"]


def goes_down(federation, sent, end, rounds):
    """A run in which one agency is away from a message on until the end."""
    run = FaultyRun(*federation, end, rounds=rounds)
    run.until_sent(sent)
    run.take_away(SOUTHWEST)
    try:
        run.end()
    finally:
        run.bring_back(SOUTHWEST)
    return run


def check_lost(report, *stages):
    """The agency was lost at one stage in each round that was done, and the others carried the run to its end."""
    assert report["status"] in USABLE
    done = report["rounds"][: len(stages)]
    assert [record["status"] for record in done] == ["aggregated"] * len(stages)
    assert [record["lost"] for record in done] == [{SOUTHWEST: stage} for stage in stages]
    assert sorted(report["evaluation"]["agencies"]) == sorted(set(AGENCIES) - {SOUTHWEST})


@pytest.fixture(scope="module")
def worse(installation, federation, undisturbed):
    """A run that has a champion to beat, loses an agency before its ack, and does not learn."""
    path = installation[2] / "federation" / "scenarios" / f"{SCENARIO}.yaml"
    before = path.read_text()

    def does_not_learn(config):
        config["learning"]["client_optimizer"]["learning_rate"] = 1e-9
        config["gate"] = {"share_better": 0.75, "tolerance": 0.02}

    change_scenario(installation[2], SCENARIO, does_not_learn)
    try:
        return goes_down(federation, f"r/1/up/{SOUTHWEST}", "2012-04-03", rounds=1)
    finally:
        path.write_text(before)


def test_an_agency_down_from_its_upload_on_is_lost_in_train(federation):
    check_lost(goes_down(federation, "setup/close", "2012-04-02", rounds=1).report(), "train")


def test_an_agency_down_from_its_ack_on_is_lost_in_ack(worse):
    check_lost(worse.report(), "ack")


def test_an_agency_down_from_its_reveal_on_is_lost_in_reveal_and_then_in_train(federation):
    run = goes_down(federation, f"r/1/ack/{SOUTHWEST}", "2012-04-04", rounds=2)
    check_lost(run.report(), "reveal", "train")


def test_a_worse_challenger_is_held(worse):
    report = worse.report()
    assert report["status"] == report["gate"]["decision"] == "held"
    assert report["gate"]["reference"].startswith("version ")
    assert report["gate"]["worse"]
    assert worse.tasks()["promote"]["state"] == "skipped"


def test_two_of_four_lost_in_a_round_burn_it_and_the_next_starts_from_the_same_model(federation):
    run = FaultyRun(*federation, "2012-04-05", rounds=1)
    run.until_sent("setup/close")
    for agency in (SOUTHEAST, SOUTHWEST):
        run.take_away(agency)
    try:
        run.until_sent("r/1/burnt")
    finally:
        for agency in (SOUTHEAST, SOUTHWEST):
            run.bring_back(agency)
    run.end()
    report = run.report()
    assert [record["status"] for record in report["rounds"]] == ["burnt", "aggregated", "skipped"]
    assert report["rounds"][0]["lost"] == {SOUTHEAST: "train", SOUTHWEST: "train"}
    assert report["rounds"][1]["survivors"] == list(AGENCIES)
    assert (run.exchange / "r/2/model.npz").read_bytes() == (run.exchange / "r/1/model.npz").read_bytes()
    assert report["status"] in USABLE
