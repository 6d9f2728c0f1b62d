"""evaluate of a classifier: every model's figures on the held-back rows, the champion's in its own scale."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fl_tasks.contracts.errors import DataRejected
from fl_tasks.contracts.report import EvaluationBody
from fl_tasks.contracts.tensors import load_tensors, save_tensors
from fl_tasks.scenarios.class_metrics import majority, metrics, probabilities
from fl_tasks.secagg.errors import ModelMismatch
from fl_tasks.secagg.records import read_record
from fl_tasks.stages import champions, evaluate
from fl_tasks.stages.context import load_key, protocol_key_path
from fl_tasks.stages.tables.judge import _may_leave
from tests.stages.classifier_session import (
    AGENCY,
    OURS,
    THEIRS,
    Persons,
    Session,
    logits_of,
    preparation,
    weights,
)

FIT, TEST = Persons(500, seed=1), Persons(300, seed=2)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    Session(folder).install()
    return folder


@pytest.fixture
def session(installed, tmp_path):
    return Session(shutil.copytree(installed, tmp_path / "copy"))


@pytest.fixture
def linear(monkeypatch):
    """Predicts in this process, whatever the job says, without training; notes the jobs."""
    jobs = []

    def run_job(job, path):
        jobs.append(job)
        models = {name: load_tensors(file) for name, file in job.weights.items()}
        if job.local_only is not None:
            models["local_only"] = load_tensors(job.local_only.initial_weights)
        x = {name: np.load(job.inputs.get(name, job.examples) / "x.npy") for name in models}
        save_tensors(job.predictions_out, {name: logits_of(model, x[name]) for name, model in models.items()})

    monkeypatch.setattr(evaluate, "run_job", run_job)
    return jobs


def said(session) -> EvaluationBody:
    """What the agency signed and posted."""
    key = load_key(protocol_key_path(session.home.agency(AGENCY))).public_key().public_bytes_raw()
    return read_record(session.exchange.get(f"evaluation/{AGENCY}"), key, "evaluation", EvaluationBody)


def figures(model, x, persons=TEST):
    return metrics(persons.y, probabilities(logits_of(model, x)), "poor", persons.sex)


def test_the_models_and_the_majority_are_judged_on_the_held_back_rows(session, linear):
    session.end_rounds()
    session.hold(FIT, TEST)
    evaluate.run(session.spec("evaluate"))
    body = said(session)
    assert (body.unit, body.champion_sha256, body.profile) == ("share", None, ())
    x = TEST.x(OURS)
    assert body.evaluation.federated == figures(weights(1), x)
    assert body.evaluation.local_only == figures(weights(0), x)
    assert body.evaluation.majority == metrics(TEST.y, majority(FIT.y, 300), "poor", TEST.sex)
    assert body.evaluation.majority["poor"].auc == 0.5
    assert body.evaluation.federated["poor"].opportunity_gap is not None
    assert (body.evaluation.champion, body.evaluation.persistence) == ({}, {})


def test_a_run_may_go_without_the_local_only_baseline(session, linear):
    session.end_rounds()
    session.hold(FIT, TEST)
    evaluate.run(session.spec("evaluate").model_copy(update={"local_only": False}))
    assert linear[0].local_only is None
    assert (said(session).evaluation.local_only, said(session).evaluation.federated) == (
        {},
        figures(weights(1), TEST.x(OURS)),
    )


def test_a_champion_of_another_scale_is_shown_the_rows_in_its_own(session, linear):
    champion = session.promote(THEIRS)
    session.end_rounds(champion=champion.model_sha256)
    session.hold(FIT, TEST)
    evaluate.run(session.spec("evaluate"))
    body = said(session)
    found, expected = body.evaluation.champion["poor"], figures(weights(2), TEST.x(THEIRS))["poor"]
    assert found.log_loss == pytest.approx(expected.log_loss, rel=1e-6)
    assert (found.n, found.accuracy, found.auc) == (expected.n, expected.accuracy, pytest.approx(expected.auc))
    as_it_stands = figures(weights(2), TEST.x(OURS))["poor"]
    assert abs(as_it_stands.log_loss - expected.log_loss) > 0.01
    assert body.evaluation.federated == figures(weights(1), TEST.x(OURS))
    assert body.champion_sha256 == champion.model_sha256
    # Rows of persons are not left lying about a second time.
    work = session.spec("evaluate").folder / "jobs" / "evaluate"
    assert not [path for path in work.rglob("*") if path.name in ("x.npy", "predictions.npz")]


def test_a_champion_of_the_same_scale_reads_the_rows_as_they_are(session, linear):
    champion = session.promote(OURS)
    session.end_rounds(champion=champion.model_sha256)
    session.hold(FIT, TEST)
    evaluate.run(session.spec("evaluate"))
    assert linear[0].inputs == {}
    assert said(session).evaluation.champion == figures(weights(2), TEST.x(OURS))


OTHERS = {
    "levels": preparation(levels={"age": 1}),
    "features": preparation(features=("income", "age", *OURS.features[2:])),
    "scales": preparation(scales={"age": OURS.scales["age"]}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_champion_of_other_levels_or_features_is_not_scored(session, linear, other):
    champion = session.promote(other)
    session.end_rounds(champion=champion.model_sha256)
    session.hold(FIT, TEST)
    with pytest.raises(ModelMismatch, match="version 7 as champion, which reads other examples"):
        evaluate.run(session.spec("evaluate"))
    assert not linear
    assert session.exchange.find(f"evaluation/{AGENCY}") is None
    assert not champions.same_shapes(champion.model, session_model(session))


def session_model(session):
    return evaluate.model_spec(session.config, OURS)


def test_another_scale_alone_leaves_models_comparable(session):
    ours, theirs = (evaluate.model_spec(session.config, one) for one in (OURS, THEIRS))
    assert champions.same_shapes(ours, theirs)
    assert not champions.same_shapes(ours, theirs.model_copy(update={"preparation": None}))


def test_a_majority_whose_figures_would_count_single_persons_stays_at_home(session, linear):
    session.end_rounds()
    test = Persons(300, seed=2)
    test.poor[:] = 0
    test.poor[:4] = 1
    session.hold(FIT, test)
    evaluate.run(session.spec("evaluate"))
    evaluation = said(session).evaluation
    assert evaluation.majority == {}
    assert evaluation.federated["poor"].auc is None
    assert evaluation.federated["poor"].opportunity_gap is None


def test_a_majority_of_five_persons_beside_is_said(session, linear):
    session.end_rounds()
    test = Persons(300, seed=2)
    test.poor[:] = 0
    test.poor[:5] = 1
    session.hold(FIT, test)
    evaluate.run(session.spec("evaluate"))
    assert said(session).evaluation.majority["poor"].accuracy == pytest.approx(295 / 300)


@pytest.mark.parametrize(
    ("counts", "leaves"),
    [
        ((5, 5), True),
        ((40, 4), False),
        ((4, 40), False),
        ((40, 0), True),
        ((4, 20, 20), True),  # which class the four are of, is not told
        ((40, 2, 2), False),
        ((40, 3, 2), True),
    ],
)
def test_the_majority_never_counts_a_small_cell_of_a_class_that_can_be_told(counts, leaves):
    y = np.repeat(np.eye(len(counts), dtype=np.float32), counts, axis=0)
    commonest = np.eye(len(counts))[0]
    assert _may_leave(y, np.tile(commonest, (len(y), 1))) == leaves


def test_figures_over_fewer_rows_than_the_limit_stay_at_home(session, linear):
    session.end_rounds()
    session.hold(FIT, Persons(9))
    with pytest.raises(DataRejected, match="fewer than 10 examples"):
        evaluate.run(session.spec("evaluate"))
    assert not linear


def test_the_real_learning_process_gives_the_same_figures(session):
    champion = session.promote(THEIRS)
    session.end_rounds(champion=champion.model_sha256)
    session.hold(FIT, TEST)
    evaluate.run(session.spec("evaluate"))
    evaluation = said(session).evaluation
    for found, model, scale in ((evaluation.federated, 1, OURS), (evaluation.champion, 2, THEIRS)):
        expected = figures(weights(model), TEST.x(scale))["poor"]
        assert found["poor"].log_loss == pytest.approx(expected.log_loss, rel=1e-5)
        assert found["poor"].accuracy == expected.accuracy
    assert evaluation.local_only["poor"].log_loss < figures(weights(0), TEST.x(OURS))["poor"].log_loss
