"""gate of a classifier: against the champion where it reads the same, else the majority; MLflow has the figures."""

from __future__ import annotations

import shutil

import pytest

from fl_tasks.contracts.report import ClassMetric, Evaluation, EvaluationBody, ForecastMetric
from fl_tasks.contracts.tensors import tensors_sha256
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages import gate
from fl_tasks.stages.context import load_key, protocol_key_path
from tests.stages.classifier_session import AGENCIES, RUN_ID, THEIRS, Session, preparation, weights

pytest.importorskip("mlflow")


def metric(auc, **changes):
    values = {"n": 300, "accuracy": 0.8, "log_loss": 0.5, "brier": 0.16, "calibration": 0.02, "opportunity_gap": 0.125}
    return ClassMetric(**{**values, "auc": auc, **changes})


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    Session(folder).install()
    return folder


@pytest.fixture
def session(installed, tmp_path):
    return Session(shutil.copytree(installed, tmp_path / "copy"))


FORECAST = ForecastMetric(
    mae=0.0, rmse=0.0, n=300, last_step_mae=0.0, last_step_rmse=0.0, scaled_mae=0.0, scaled_rmse=0.0
)


def evaluated(session, scored=None, /, stray=(), **aucs):
    """Every agency says the same of each model; a stray one gives the figures of a forecast."""
    session.end_rounds(champion=scored)
    session.keep(None)
    for agency in AGENCIES:
        body = EvaluationBody(
            run_id=RUN_ID,
            agency=agency,
            model_sha256=tensors_sha256(weights(1)).hex(),
            champion_sha256=scored,
            unit="share",
            evaluation=Evaluation(
                **{model: {"poor": FORECAST if agency in stray else metric(auc)} for model, auc in aucs.items()}
            ),
        )
        key = load_key(protocol_key_path(session.home.agency(agency)))
        session.exchange.put(f"evaluation/{agency}", sign_record(key, "evaluation", body))
    gate.run(session.spec("gate", None))
    return gate.read_gate(session.spec("gate", None))


def test_without_a_champion_the_majority_is_what_has_to_be_beaten(session):
    report = evaluated(session, federated=0.7, majority=0.5)
    assert (report.decision, report.reference, report.better) == ("promoted", "majority", AGENCIES)
    assert report.reason.startswith("there is no champion as of 2024-07-01: better than majority at 4 of 4 agencies")


def test_a_model_that_is_no_better_than_the_majority_is_held(session):
    report = evaluated(session, federated=0.5, majority=0.5)
    assert (report.decision, report.better, report.worse) == ("held", (), ())


def test_an_agency_that_kept_its_majority_to_itself_counts_as_not_better(session):
    report = evaluated(session, federated=0.7)
    assert report.decision == "held"
    assert "majority was not scored at east, north, south, west" in report.reason


def test_figures_of_a_forecast_count_as_missing(session):
    report = evaluated(session, stray=("west",), federated=0.7, majority=0.5)
    assert (report.decision, report.better) == ("promoted", AGENCIES[:3])


def test_a_champion_of_another_scale_is_what_has_to_be_beaten(session):
    champion = session.promote(THEIRS)
    report = evaluated(session, champion.model_sha256, federated=0.7, majority=0.5, champion=0.71)
    assert (report.decision, report.reference) == ("held", "version 7")


def test_a_champion_of_other_levels_cannot_be_scored_and_the_reason_says_so(session):
    session.promote(preparation(levels={"age": 1}))
    report = evaluated(session, federated=0.7, majority=0.5)
    assert (report.decision, report.reference) == ("promoted", "majority")
    assert report.reason.startswith(
        "version 7, the champion, was trained on other levels or features and cannot be scored: better than majority"
    )


def test_mlflow_has_every_figure_of_each_agency_and_their_mean(session):
    from mlflow.tracking import MlflowClient

    evaluated(session, federated=0.7, majority=0.5)
    client = MlflowClient(tracking_uri=f"sqlite:///{session.home.mlflow / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("welfare")
    metrics = client.search_runs([experiment.experiment_id])[0].data.metrics
    expected = {"accuracy": 0.8, "log_loss": 0.5, "brier": 0.16, "calibration": 0.02, "auc": 0.7}
    expected["opportunity_gap"] = 0.125
    for where in ("north", "overall"):
        found = {name: metrics[f"evaluation/{where}/federated/poor/{name}"] for name in expected}
        assert found == pytest.approx(expected)
    assert metrics["evaluation/overall/majority/poor/auc"] == 0.5
    assert not [name for name in metrics if name.endswith("/n")]
